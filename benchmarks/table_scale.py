"""The tables of `split` at size: seconds and memory of each step, with image digests and positions given.

    python -m benchmarks.table_scale
    python -m benchmarks.table_scale --rows 10000000

Galaxies lie by chance on the sky, 458 in a square degree as those of GZ DESI, in ten classes; every thousandth stands there
twice. Each number of rows is a process of its own. The last lines are what a later stage or a worker reads: the catalog's size
and digest, all splits, the catalog's rows of one shard, a thousand rows. Memory is the peak of the process so far, above that
after its imports.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from benchmarks.measuring import describe_machine, make_parser, peak_bytes, run_apart
from galaxies.data.catalog import DIGEST_BYTES, Catalog, CatalogRows, write_catalog
from galaxies.data.division import make_splits
from galaxies.data.selection import Candidates, SplitParams, select_galaxies
from galaxies.data.splits import read_splits, write_splits

_PER_SQUARE_DEGREE = 458
_NUM_CLASSES = 10
_TWIN = 1000
_SHARD_ROWS = 512
_PARAMS = SplitParams(0, 0.15, 0.15, 1.0, 67.0, "drop", "drop", None, None, 1)


def main() -> None:
    """Print a column for each number of rows."""
    parser = make_parser(__doc__)
    parser.add_argument("--rows", type=int, action="append", help="default 100,000 and 1,000,000")
    parser.add_argument("--alone", type=int, help="used by the benchmark itself")
    arguments = parser.parse_args()
    if arguments.alone:
        print(json.dumps(measure(arguments.alone)))
        return
    counts = arguments.rows or [100_000, 1_000_000]
    print(describe_machine(torch.device("cpu")))
    found = [run_apart("benchmarks.table_scale", "--alone", count) for count in counts]
    print(f"{'':<26}" + "".join(f"{count:>26,}" for count in counts))
    for name in found[0]:
        cells = "".join(f"{column[name][0]:>12.3f} s{column[name][1] / 1e6:>9.0f} MB" for column in found)
        print(f"{name:<26}{cells}")


def make_candidates(num_rows: int) -> Candidates:
    """Return galaxies by chance on as much of the sky, from the north pole on, as gives the density."""
    generator = np.random.default_rng(0)
    share = num_rows / _PER_SQUARE_DEGREE / 41_253
    dec = np.rad2deg(np.arcsin(1 - 2 * min(share, 1) * generator.random(num_rows)))
    digests = generator.integers(0, 256, (num_rows, DIGEST_BYTES), dtype=np.uint8)
    digests[1::_TWIN] = digests[::_TWIN][: len(digests[1::_TWIN])]
    labels = generator.integers(0, _NUM_CLASSES, num_rows)
    labels[1::_TWIN] = labels[::_TWIN][: len(labels[1::_TWIN])]
    return Candidates(labels, digests, np.zeros(num_rows, bool), generator.random(num_rows) * 360, dec)


def measure(num_rows: int) -> dict[str, tuple[float, float]]:
    """Return seconds of each step, and how much higher than at the start memory had been by its end."""
    found: dict[str, tuple[float, float]] = {}

    def timed(name: str, call: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = call()
        found[name] = time.perf_counter() - started, peak_bytes() - before
        return result

    before = peak_bytes()
    candidates = timed("(make galaxies)", lambda: make_candidates(num_rows))
    ids = pa.array(np.arange(num_rows)).cast(pa.string())
    names = [f"class {number}" for number in range(_NUM_CLASSES)]
    selection = timed("select", lambda: select_galaxies(candidates, candidates.labels, _PARAMS))
    splits = timed("divide", lambda: make_splits(selection, candidates.labels, names, _PARAMS))
    used = selection.used
    with tempfile.TemporaryDirectory() as folder:
        catalog_path, splits_path = Path(folder) / "catalog.parquet", Path(folder) / "splits.parquet"
        rows = CatalogRows(used, ids.take(used), candidates.image_sha256[used])
        timed("write catalog", lambda: write_catalog(catalog_path, rows))
        timed("write splits", lambda: write_splits(splits_path, splits))
        sizes = [path.stat().st_size / len(used) for path in (catalog_path, splits_path)]
        print(f"{num_rows:,} rows: catalog {sizes[0]:.1f}, splits {sizes[1]:.1f} bytes a row on disk", file=sys.stderr)
        catalog = timed("open catalog", lambda: Catalog(catalog_path))
        timed("read splits", lambda: read_splits(splits_path, catalog))
        timed("read rows of a shard", lambda: catalog.read(len(used) // 2, len(used) // 2 + _SHARD_ROWS))
        timed("take 1,000 rows", lambda: catalog.take(np.linspace(0, len(used) - 1, 1000).astype(np.int64)))
    return found


if __name__ == "__main__":
    main()
