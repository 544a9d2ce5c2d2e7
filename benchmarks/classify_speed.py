"""How long a head takes to answer for a million galaxies without a label, from their features to the table on disk.

    python -m benchmarks.classify_speed
    python -m benchmarks.classify_speed --rows 100000 --features 2048

The features are noise, read once before, so that they are in the page cache; a linear head of ten classes answers, on two
threads. Time is that of the wall, memory the peak of the process above that after imports, and for a tenth of the rows too.
"""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import torch

from benchmarks.measuring import describe_machine, make_parser, peak_bytes, run_apart
from galaxies.backbones.spec import BackboneSpec
from galaxies.data.catalog import Catalog, CatalogRows, write_catalog
from galaxies.data.field_of_view import FieldOfView
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.splits import SPLIT_NAMES, UNLABELLED, Splits, write_splits
from galaxies.features.identity import Identity
from galaxies.features.store import Layout, Store, create_store
from galaxies.features.survey import Survey
from galaxies.files import file_sha256
from galaxies.heads.calibration import Calibration
from galaxies.heads.class_meaning import ClassMeaning
from galaxies.heads.head import Head, TrainedHead
from galaxies.heads.novelty import fit_novelty
from galaxies.paths import CATALOG, GALAXIES, SPLITS, store_path
from galaxies.prediction.pool import PoolAnswers
from galaxies.prediction.shortlist import Shortlist

_LAYER = "layer4"
_NAMES = tuple(f"class {number}" for number in range(10))
_FEWER = 10


def main() -> None:
    """Print a line for a tenth of the galaxies and one for all, or, with ``--folder``, answer once and print JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=512)
    parser.add_argument("--folder", type=Path, help="used by the benchmark itself")
    arguments = parser.parse_args()
    if arguments.folder:
        print(json.dumps(measure(arguments.folder, arguments.features)), flush=True)
        return
    print(describe_machine(torch.device("cpu")))
    for rows in (arguments.rows // _FEWER, arguments.rows):
        with tempfile.TemporaryDirectory() as name:
            write_survey(Path(name), rows, arguments.features)
            found = run_apart("benchmarks.classify_speed", "--folder", name, "--features", str(arguments.features))
        print(
            f"{rows:>9,} x {arguments.features}: {found['seconds']:.1f} s, {found['peak'] / 2**20:.0f} MiB at most, "
            f"{found['bytes'] / 2**20:.0f} MiB on disk"
        )


def write_survey(folder: Path, num_rows: int, num_features: int) -> None:
    """Write what the stages before have written: galaxies without images, catalog, splits, and a store of noise."""
    generator = np.random.default_rng(0)
    (folder / "data").mkdir()
    with h5py.File(folder / GALAXIES, "w") as file:
        # Never written, and so no larger than its description.
        file.create_dataset("images", (num_rows, 2, 2, 3), np.uint8, chunks=(1024, 2, 2, 3))
        for column in ("ra", "dec", "pxscale"):
            file[column] = generator.random(num_rows)
    digests = generator.integers(0, 256, (num_rows, 32), np.uint8)
    ids = pa.array(np.arange(num_rows)).cast(pa.string())
    write_catalog(folder / CATALOG, CatalogRows(np.arange(num_rows), ids, digests))
    label, rows = np.full(num_rows, UNLABELLED, np.int16), np.arange(num_rows)
    nothing, pool = np.zeros(num_rows, np.uint8), np.full(num_rows, SPLIT_NAMES.index("pool"), np.uint8)
    write_splits(folder / SPLITS, Splits(label, rows, pool, nothing, nothing, {}))
    path, layout = folder / store_path(_LAYER), Layout((1, num_features), "float32", compressed=False)
    array = create_store(path, num_rows=num_rows, layout=layout, identity=_identify())
    shard_rows = array.shards[0] if array.shards else num_rows
    for start in range(0, num_rows, shard_rows):
        stop = min(start + shard_rows, num_rows)
        array[start:stop] = generator.random((stop - start, 1, num_features), np.float32)


def measure(folder: Path, num_features: int) -> dict[str, float]:
    """Answer for all, after a look at every byte of the store."""
    torch.set_num_threads(2)
    head = Head(num_features, len(_NAMES)).eval()
    features = torch.from_numpy(np.random.default_rng(1).random((2000, num_features), np.float32))
    meaning = ClassMeaning(Calibration(1.0, (0.1,) * len(_NAMES), 0.5), _NAMES, (100,) * len(_NAMES))
    field = FieldOfView(224, None, None, None)
    trained = TrainedHead(head, meaning, _identify(), field, fit_novelty(features[:1000], features[1000:]), None)
    for path in (folder / store_path(_LAYER)).rglob("*"):
        if path.is_file():
            file_sha256(path)
    survey = Survey(Catalog(folder / CATALOG), Store(folder / store_path(_LAYER)), folder)
    out = folder / "pool.parquet"
    with GalaxyFile(folder / GALAXIES) as galaxies, measured_peak() as peak:
        start = time.perf_counter()
        PoolAnswers(survey, galaxies, trained, "c0ffee").write(out, Shortlist(len(_NAMES)))
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak": peak[0], "bytes": out.stat().st_size}


@contextmanager
def measured_peak() -> Iterator[list[int]]:
    """Yield a list that holds, in the end, by how much the process grew."""
    before, peak = peak_bytes(), [0]
    yield peak
    peak[0] = peak_bytes() - before


def _identify() -> Identity:
    return Identity("c0ffee", _LAYER, BackboneSpec("resnet18"))


if __name__ == "__main__":
    main()
