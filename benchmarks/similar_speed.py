"""`galaxies similar` and the answers of a head on a kept survey of a million galaxies, from the page cache; and memory.

    python -m benchmarks.similar_speed
    python -m benchmarks.similar_speed --rows 200000 --features 2048

The features are noise, the same in every block, each a file of its own: 2 GB. They have just been written, and are read from
the page cache. Memory is that of a process that only asks.
"""

import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measuring import describe_machine, make_parser, peak_bytes, run_apart
from galaxies.backbones.backbone import Backbone
from galaxies.backbones.spec import BackboneSpec, Transform
from galaxies.data.field_of_view import FieldOfView
from galaxies.features.framing import Framing
from galaxies.features.identity import Identity
from galaxies.features.shard_encoder import encode_shard
from galaxies.features.store import ARRAY_NAME, Layout, create_store, shard_name
from galaxies.files import file_sha256
from galaxies.heads.calibration import Calibration
from galaxies.heads.class_meaning import ClassMeaning
from galaxies.heads.head import Head, TrainedHead
from galaxies.heads.novelty import fit_novelty
from galaxies.prediction.answers import AskedHead
from galaxies.prediction.kept_table import Read, TableWriter, part_name, table_path
from galaxies.prediction.model import Model
from galaxies.prediction.result_file import write_result
from galaxies.prediction.similarity import find_nearest
from galaxies.prediction.stored_survey import open_survey
from galaxies.prediction.table import tabulate_inputs
from galaxies.sources.decoding import Decoded
from galaxies.sources.inputs import Input

_FEWER = 100
_NUM_CLASSES = 10
_FIELD = FieldOfView(224, 0.262, 0.262, 0.262)
_IDENTITY = Identity("", "layer", BackboneSpec("none")).found("none", Transform(224, (0.5,) * 3, (0.5,) * 3, "bilinear"))


def main() -> None:
    """Print a row for each number of rows, or, with ``--survey``, ask one survey and print the figures as JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--survey", type=Path, help="used by the benchmark itself")
    arguments = parser.parse_args()
    if arguments.survey:
        print(json.dumps(measure(arguments.survey, arguments.features, arguments.rounds)), flush=True)
        return
    print(describe_machine(torch.device("cpu")))
    print(f"{'':<20}{'open':>9}{'similar':>9}{'answer':>9}{'peak':>10}{'more a row':>12}")
    peaks = []
    counts = (arguments.rows // _FEWER, arguments.rows)
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            survey = Path(name) / "survey.zarr"
            write_survey(survey, count, arguments.features)
            options = ("--features", arguments.features, "--rounds", arguments.rounds)
            found = run_apart("benchmarks.similar_speed", "--survey", survey, *options)
        peaks.append(found["peak"])
        more = "" if len(peaks) == 1 else f"{(peaks[1] - peaks[0]) / (counts[1] - counts[0]):>10.0f} B"
        times = "".join(f"{found[step]:>7.2f} s" for step in ("open", "similar", "answer"))
        print(f"{count:>11,} x {arguments.features:<6}{times}{peaks[-1] / 1e6:>7.0f} MB{more}", flush=True)


def write_survey(path: Path, num_rows: int, num_features: int) -> None:
    """Write a survey whose blocks are all the same noise."""
    layout = Layout((1, num_features), "float32", compressed=False)
    identity = _IDENTITY.kept(Framing(_FIELD))
    create_store(path, num_rows=num_rows, layout=layout, identity=identity)
    noise = np.random.default_rng(0).standard_normal((layout.shard_rows, 1, num_features), np.float32)
    array, table = path / ARRAY_NAME, table_path(path)
    writer = TableWriter(table, identity.key, lambda start, stop: "")
    num_blocks = -(-num_rows // layout.shard_rows)
    for number in (0, num_blocks - 1):
        block = range(number * layout.shard_rows, min((number + 1) * layout.shard_rows, num_rows))
        chunks = layout.shard_rows // layout.chunk_rows
        content = encode_shard(noise[: len(block)], chunk_rows=layout.chunk_rows, num_chunks=chunks, compressed=False)
        (array / shard_name(number, 3)).write_bytes(b"".join(content))
        read = tabulate_inputs([Decoded(Input(f"J{row:09d}", (Path(f"{row}.jpg"),)), None) for row in block])
        writer.add(block.start, Read(read, (None,) * len(block)), {})
        writer.take(number)(file_sha256(array / shard_name(number, 3)))
    for number in range(1, num_blocks - 1):
        shutil.copyfile(array / shard_name(0, 3), array / shard_name(number, 3))
        shutil.copyfile(table / part_name(0), table / part_name(number))


def make_model(num_features: int) -> Model:
    """Return a model with an untrained head, and no backbone: for speed the numbers do not matter."""
    features = torch.randn(4 * num_features, num_features, generator=torch.Generator().manual_seed(0))
    names = tuple(f"class {index}" for index in range(_NUM_CLASSES))
    meaning = ClassMeaning(Calibration(1.0, (0.1,) * _NUM_CLASSES, 0.5), names, (1,) * _NUM_CLASSES)
    head = Head(num_features, _NUM_CLASSES).eval()
    trained = TrainedHead(head, meaning, _IDENTITY, _FIELD, fit_novelty(features, features[:100]), None)
    model = Model.__new__(Model)
    model.trained, model.digest, model.device = trained, "", torch.device("cpu")
    model.backbone = Backbone("none", torch.nn.Identity(), Transform(224, (0.5,) * 3, (0.5,) * 3, "bilinear"), "")
    return model


def measure(path: Path, num_features: int, num_rounds: int) -> dict[str, Any]:
    """Return the seconds of each step, the median of some rounds, and the peak of memory in bytes."""
    model, wanted = make_model(num_features), torch.zeros(1, num_features)

    def timed(call: Callable[[], object], rounds: int) -> float:
        seconds = []
        for _ in range(rounds):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds)

    survey = open_survey(path)
    opened = timed(lambda: open_survey(path).has_features, 1)
    find_nearest(model, survey, wanted, 11)  # The first call reads which rows have features.
    similar = timed(lambda: find_nearest(model, survey, wanted, 11), num_rounds)
    asked = AskedHead(model.trained, "")
    out = path.with_name("answers.parquet")
    answer = timed(lambda: write_result(out, survey.answer(asked), asked.schema), 1)
    return {"open": opened, "similar": similar, "answer": answer, "peak": peak_bytes()}


if __name__ == "__main__":
    main()
