"""Images encoded in Parquet files, read where they are: rate of all cores against one, and memory at two numbers of images.

    python -m benchmarks.parquet_images
    python -m benchmarks.parquet_images --galaxies 200000 --size 128

JPEGs of smoothed noise in files of 10,000 and row groups of 1,000, as Hugging Face's library writes them. `scan` is what
`split` does: read, decode, digest and check every image. Its rate on all cores is compared with that of one process on one core
times the number of cores, with and without the time that worker processes take to start; `read` is what the readers of
`extract` do: threads decode. Runs interleave. Memory is the peak of the process above that after imports, and of the largest
worker process with all that it imports.
"""

import argparse
import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from benchmarks.measuring import describe_machine, interleave, make_parser, median_ratio, run_apart
from galaxies.sources.parquet_images import import_parquet

_FILE_GALAXIES, _GROUP_GALAXIES, _DIFFERENT = 10_000, 1000, 500


def main() -> None:
    """Print the rates, their ratios and the memory."""
    parser = make_parser(__doc__)
    parser.add_argument("--galaxies", type=int, default=200_000)
    parser.add_argument("--size", type=int, default=128, help="px")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    print(describe_machine(torch.device("cpu")))
    with tempfile.TemporaryDirectory() as name:
        compare(Path(name), arguments)


def compare(folder: Path, arguments: argparse.Namespace) -> None:
    """Write the images, then measure."""
    num_cores = len(os.sched_getaffinity(0))
    num_bytes = write_set(folder / "set", arguments.galaxies, arguments.size)
    each = num_bytes / arguments.galaxies / 1000
    print(f"{arguments.galaxies:,} JPEGs of {arguments.size} px, {each:.1f} kB each; {num_cores} cores")
    fewer = arguments.galaxies // 4
    files = {number: folder / f"{number}.h5" for number in (fewer, arguments.galaxies)}
    for number, file in files.items():
        tables = sorted((folder / "set").iterdir())[: -(-number // _FILE_GALAXIES)]
        listed = folder / "files.txt"
        listed.write_text("".join(f"set/{table.name}\n" for table in tables))
        import_parquet(file, path=listed, image=None, sha256="any")
    found: dict[str, list[dict[str, float]]] = {}

    def turn(name: str, number: int, work: str, workers: int) -> float:
        result = run_apart("benchmarks.parquet_work", files[number], work, workers)
        found.setdefault(name, []).append(result)
        return float(result["rate"])

    turns = {
        "scan, one core": lambda: turn("scan, one core", fewer, "scan", 1),
        "scan, all cores": lambda: turn("scan, all cores", arguments.galaxies, "scan", num_cores),
        "read, one thread": lambda: turn("read, one thread", fewer, "read", 1),
        "read, a thread a core": lambda: turn("read, a thread a core", fewer, "read", num_cores),
    }
    rates = interleave(turns, arguments.rounds)
    for name, several in rates.items():
        print(f"  {name:<24}{np.median(several):>10,.0f} images/s")
    one, steady = rates["scan, one core"], [result["steady_rate"] for result in found["scan, all cores"]]
    ratios = {
        "scan, all cores / (one x cores)": median_ratio(rates["scan, all cores"], one),
        "  without the start of workers": median_ratio(steady, one),
        "read, all threads / (one x cores)": median_ratio(rates["read, a thread a core"], rates["read, one thread"]),
    }
    for name, ratio in ratios.items():
        print(f"  {name:<36}{ratio / num_cores:.2f}")
    small = run_apart("benchmarks.parquet_work", files[fewer], "scan", num_cores)
    for number, result in ((fewer, small), (arguments.galaxies, found["scan, all cores"][-1])):
        peaks = f"{result['parent'] / 1e6:.0f} MB in the process, {result['worker'] / 1e6:.0f} MB in all of a worker"
        print(f"  memory with {number:>9,}: {peaks}")


def write_set(folder: Path, num_galaxies: int, size: int) -> int:
    """Write the files, and return their bytes."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    different = []
    for _ in range(_DIFFERENT):
        smooth = gaussian_filter(generator.random((size, size, 3)), (2, 2, 0))
        content = io.BytesIO()
        Image.fromarray((smooth * 400).clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=90)
        different.append({"bytes": content.getvalue(), "path": "a.jpg"})
    for number, start in enumerate(range(0, num_galaxies, _FILE_GALAXIES)):
        rows = range(start, min(start + _FILE_GALAXIES, num_galaxies))
        columns = {"image": [different[row % _DIFFERENT] for row in rows], "id_str": [str(row) for row in rows]}
        pq.write_table(
            pa.table(columns), folder / f"train-{number:05}.parquet", row_group_size=_GROUP_GALAXIES, use_dictionary=False
        )
    return sum(file.stat().st_size for file in folder.iterdir())


if __name__ == "__main__":
    main()
