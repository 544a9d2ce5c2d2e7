"""The tables of `split` at size: seconds and memory of each step, with image digests and positions given.

    python -m benchmarks.table_scale
    python -m benchmarks.table_scale --rows 10000000 --labels 100000
    python -m benchmarks.table_scale --rows 1000000 --density 8000

Galaxies lie by chance on the sky, 458 in a square degree as those of GZ DESI, in ten classes; every thousandth stands there
twice; those without a label form the pool. At 8,000 groups of neighbours percolate, and the sky is divided in cells, of which
the shares of labelled galaxies near borders and in the splits are told. The last lines are what a later stage or a worker
reads, in a process of its own: the catalog's size and digest, all splits, the catalog's rows of one shard, a thousand rows.
Memory is the peak of the process so far above that after imports.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import torch

from benchmarks.measuring import describe_machine, make_parser, peak_bytes, run_apart
from galaxies.data.catalog import DIGEST_BYTES, Catalog, CatalogRows, write_catalog
from galaxies.data.census import count_classes, describe_data, describe_division
from galaxies.data.division import make_splits
from galaxies.data.selection import Candidates, SplitParams, select_galaxies
from galaxies.data.splits import SPLIT_NAMES, UNLABELLED, read_splits, write_splits

_NUM_CLASSES = 10
_TWIN = 1000
_SHARD_ROWS = 512
_PARAMS = SplitParams()

Result = TypeVar("Result")


def main() -> None:
    """Print a column for each number of rows."""
    parser = make_parser(__doc__)
    parser.add_argument("--rows", type=int, action="append", help="default 100,000 and 1,000,000")
    parser.add_argument("--labels", type=int, help="how many galaxies have one; default all")
    parser.add_argument("--density", type=float, default=458.0, help="galaxies in a square degree")
    parser.add_argument("--write", type=int, help="used by the benchmark itself")
    parser.add_argument("--folder", type=Path, help="used by the benchmark itself")
    arguments = parser.parse_args()
    if arguments.folder:
        print(json.dumps(write(arguments) if arguments.write else read(arguments.folder)))
        return
    print(describe_machine(torch.device("cpu")))
    print(f"{'':<26}{'seconds':>10}{'peak':>12}")
    for count in arguments.rows or [100_000, 1_000_000]:
        print(f"{count:,} galaxies")
        with tempfile.TemporaryDirectory() as folder:
            labels = count if arguments.labels is None else arguments.labels
            for options in (["--write", count, "--labels", labels, "--density", arguments.density], []):
                found = run_apart("benchmarks.table_scale", "--folder", folder, *options)
                for name, (seconds, peak) in found.items():
                    print(f"  {name:<24}{seconds:>10.3f}{peak / 1e6:>9.0f} MB", flush=True)


def make_candidates(num_rows: int, num_labels: int, density: float) -> Candidates:
    """Return galaxies by chance on as much of the sky, from the north pole on, as gives the density."""
    generator = np.random.default_rng(0)
    share = num_rows / density / 41_253
    dec = np.rad2deg(np.arcsin(1 - 2 * min(share, 1) * generator.random(num_rows)))
    digests = generator.integers(0, 256, (num_rows, DIGEST_BYTES), dtype=np.uint8)
    digests[1::_TWIN] = digests[::_TWIN][: len(digests[1::_TWIN])]
    labels = generator.integers(0, _NUM_CLASSES, num_rows)
    labels[1::_TWIN] = labels[::_TWIN][: len(labels[1::_TWIN])]
    labels[generator.permutation(num_rows)[num_labels:]] = UNLABELLED
    return Candidates(labels, digests, np.zeros(num_rows, bool), generator.random(num_rows) * 360, dec)


class Steps:
    """Seconds of each step, and how much higher than at the start memory had been by its end."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[float, float]] = {}
        self._before = peak_bytes()

    def run(self, name: str, call: Callable[[], Result]) -> Result:
        """Return what ``call`` gives."""
        started = time.perf_counter()
        result = call()
        self.found[name] = time.perf_counter() - started, peak_bytes() - self._before
        return result


def write(options: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Do what `split` does, and measure it."""
    steps, folder, num_rows = Steps(), options.folder, options.write
    candidates = steps.run("(make galaxies)", lambda: make_candidates(num_rows, options.labels, options.density))
    ids = pa.array(np.arange(num_rows)).cast(pa.string())
    names = [f"class {number}" for number in range(_NUM_CLASSES)]
    selection = steps.run("select", lambda: select_galaxies(candidates, _PARAMS))
    splits = steps.run("divide", lambda: make_splits(selection, candidates, names, _PARAMS))
    used = selection.used
    rows = CatalogRows(used, ids.take(used), candidates.image_sha256[used])
    steps.run("write catalog", lambda: write_catalog(folder / "catalog.parquet", rows))
    steps.run("write splits", lambda: write_splits(folder / "splits.parquet", splits))
    steps.run(
        "count", lambda: (describe_data(selection, splits, redshift=candidates.ra, ra=candidates.ra), count_classes(splits))
    )
    division = describe_division(splits, _PARAMS.fractions, uses_cells=selection.directions is not None)
    print(f"  {division}", file=sys.stderr)
    sizes = [path.stat().st_size / len(used) for path in sorted(folder.glob("*.parquet"))]
    print(f"  on disk: catalog {sizes[0]:.1f}, splits {sizes[1]:.1f} bytes a row", file=sys.stderr)
    return steps.found


def read(folder: Path) -> dict[str, tuple[float, float]]:
    """Do what a later stage or a worker does, and measure it."""
    steps = Steps()
    catalog = steps.run("open catalog", lambda: Catalog(folder / "catalog.parquet"))
    middle = len(catalog) // 2
    splits = steps.run("read splits", lambda: read_splits(folder / "splits.parquet", catalog))
    steps.run("rows and targets", lambda: [(splits.rows(name), splits.targets) for name in SPLIT_NAMES])
    steps.run("read rows of a shard", lambda: catalog.read(middle, middle + _SHARD_ROWS))
    steps.run("take 1,000 rows", lambda: catalog.take(np.linspace(0, len(catalog) - 1, 1000).astype(np.int64)))
    return steps.found


if __name__ == "__main__":
    main()
