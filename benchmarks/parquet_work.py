"""What `benchmarks.parquet_images` measures, in a process without PyTorch, as `split` is: FILE scan|read WORKERS."""

import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from galaxies.data import scan as scanning
from galaxies.data.galaxy_file import BLOCK_GALAXIES, GalaxyFile
from galaxies.data.scan import scan_images
from galaxies.stations import in_order


def measure(file: Path, work: str, workers: int) -> dict[str, float]:
    """Do the work once in this process, and return rates in images/s and peaks in bytes."""
    scanning._MANY_IMAGES = 0 if workers > 1 else 1 << 60
    before = _peak_bytes("SELF")
    with GalaxyFile(file) as galaxies:
        started = time.perf_counter()
        first = _scan(galaxies, workers) if work == "scan" else _read(galaxies, workers)
        ended = time.perf_counter()
        rest = galaxies.num_galaxies - first[1]
        return {
            "rate": galaxies.num_galaxies / (ended - started),
            "steady_rate": rest / (ended - first[0]),
            "parent": _peak_bytes("SELF") - before,
            "worker": _peak_bytes("CHILDREN"),
        }


def _peak_bytes(whose: Literal["SELF", "CHILDREN"]) -> int:
    return resource.getrusage(getattr(resource, f"RUSAGE_{whose}")).ru_maxrss * 1024  # Linux counts in KiB.


def _scan(galaxies: GalaxyFile, workers: int) -> tuple[float, int]:
    """Scan, and return when the first block was done and how many images it had."""
    seen: list[tuple[float, int]] = []

    class Noting(scanning.tqdm):  # type: ignore[misc, type-arg]
        def update(self, n: float | None = 1) -> bool | None:
            seen.append((time.perf_counter(), int(n or 0)))
            return super().update(n)

    scanning.tqdm = Noting  # type: ignore[misc]
    scan_images(galaxies, num_workers=workers)
    return seen[0]


def _read(galaxies: GalaxyFile, workers: int) -> tuple[float, int]:
    blocks = galaxies.split_rows(BLOCK_GALAXIES)
    read: Iterator[int] = in_order(lambda block: len(galaxies.read_images(np.array(block))), blocks, num_threads=workers)
    first = next(read)
    noted = time.perf_counter()
    for _ in read:
        pass
    return noted, first


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
