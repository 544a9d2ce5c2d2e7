"""`galaxies predict` on many rows: memory, listing them, going on after a kill, and the answers.

    python -m benchmarks.prediction_scale
    python -m benchmarks.prediction_scale --rows 100000 --kind parquet --kind hdf5

Each kind of input is predicted with a hundredth of the rows and with all of them; a run is killed when all blocks but one are
on record, and started again, both in a process of its own. In a catalogue one batch of a hundred names pictures, the others
name missing files: the forward pass is measured elsewhere. The images of an HDF5 file have 8 px and are all predicted, by
default with a fiftieth of the rows. Times are processor time, of all threads: the listing of the inputs, the rows a second
after it, from the start of the second process until it reads the first image, and the answers with the final file.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.measuring import describe_machine, extract_params, make_parser, peak_bytes, run_apart, write_noise
from benchmarks.prediction_speed import make_model, write_pictures
from galaxies.features.unfinished import UnfinishedStore
from galaxies.prediction import run as prediction_run
from galaxies.prediction.input_images import InputImages
from galaxies.prediction.run import PredictOptions, predict_inputs

KINDS = ("csv", "parquet", "hdf5")

_FEWER = 100
_BATCH_ROWS = 64
_BLOCK_ROWS = 512
_PICTURE_BATCH = 100
_NUM_PICTURES = 240
_HDF5_FEWER = 50
_BACKBONE = extract_params(backbone="resnet18_half", layers=("layer3+layer4",), weights="galaxies-v1")


def main() -> None:
    """Print a row for each kind and number of rows, or, with ``--source``, run one prediction and print its figures as JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--kind", action="append", choices=KINDS, help=f"default {', '.join(KINDS)}")
    parser.add_argument("--source", type=Path, help="used by the benchmark itself")
    parser.add_argument("--killed", action="store_true", help="used by the benchmark itself")
    arguments = parser.parse_args()
    if arguments.source:
        print(json.dumps(measure_run(arguments.source, arguments.killed)), flush=True)
        return
    print(describe_machine(torch.device("cpu")))
    print(f"{'':<21}{'list':>8}{'rows/s':>8}{'resume':>8}{'answer':>8}{'peak':>9}{'more a row':>12}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pictures(folder / "pictures", _NUM_PICTURES, 64)
        for kind in arguments.kind or KINDS:
            measure_kind(folder, kind, arguments.rows // (_HDF5_FEWER if kind == "hdf5" else 1))


def measure_kind(folder: Path, kind: str, num_rows: int) -> None:
    """Print the figures of a hundredth of the rows, and of all of them."""
    peaks = []
    counts = (num_rows // _FEWER, num_rows)
    for count in counts:
        source = folder / f"{count}.{kind.replace('hdf5', 'h5')}"
        write_source(source, count)
        killed, whole = (run_apart("benchmarks.prediction_scale", "--source", source, *flags) for flags in (["--killed"], []))
        peaks.append(max(killed["peak"], whole["peak"]))
        more = "" if len(peaks) == 1 else f"{(peaks[1] - peaks[0]) / (counts[1] - counts[0]):>9.0f} B"
        rate = killed["rows"] / killed["predict"]
        times = f"{killed['list']:>6.1f} s{rate:>8.0f}{whole['begin']:>6.1f} s{whole['answer']:>6.1f} s"
        print(f"{kind:<8}{count:>10,}   {times}{peaks[-1] / 1e6:>6.0f} MB{more}", flush=True)


def write_source(path: Path, num_rows: int) -> None:
    """Write a catalogue of distinct ids, of which one batch of a hundred names pictures, or an HDF5 file of noise."""
    if path.suffix == ".h5":
        write_noise(path, num_rows, 8)
        return
    pictures = sorted(path.parent.glob("pictures/*.jpg"))
    names = [
        f"pictures/{pictures[row % len(pictures)].name}" if row // _BATCH_ROWS % _PICTURE_BATCH == 0 else f"missing/{row}.jpg"
        for row in range(num_rows)
    ]
    ids = [f"J{row:09d}" for row in range(num_rows)]
    ra = np.linspace(0, 360, num_rows).round(6)
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"id": ids, "path": names, "ra": ra}), path)
    else:
        lines = (f"{name},{file},{degrees}\n" for name, file, degrees in zip(ids, names, ra, strict=True))
        with path.open("w", encoding="utf-8") as file:
            file.write("id,path,ra\n")
            file.writelines(lines)


def count_rows(source: Path) -> int:
    """Return the number of rows that :func:`write_source` wrote: it is the file's name."""
    return int(source.stem)


def measure_run(source: Path, killed: bool) -> dict[str, float]:
    """Predict ``source``; return seconds of each step, rows predicted, and the peak of memory in bytes.

    With ``killed`` the process prints them and ends without a word when all blocks but one are on record.
    """
    seconds: dict[str, float] = {"rows": 0}
    model = make_model(_BACKBONE, torch.device("cpu"))
    model.wanted_library = "torch"  # Of few rows too, so that both runs hold the same library.
    num_rows = count_rows(source)
    started = time.process_time()

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            start = time.process_time()
            result = function(*arguments)
            seconds[name] = time.process_time() - start
            return result

        return call

    def load_first(images: InputImages, found: Any) -> Any:
        seconds.setdefault("begin", time.process_time() - started)
        return load(images, found)

    def write_shard(store: UnfinishedStore, *arguments: Any) -> None:
        write(store, *arguments)
        seconds["rows"] += _BLOCK_ROWS
        seconds["predict"] = time.process_time() - started - seconds["begin"]
        if killed and 0 <= num_rows - seconds["rows"] <= _BLOCK_ROWS:
            print(json.dumps({**seconds, "peak": peak_bytes()}), flush=True)
            os._exit(0)

    load, write = InputImages.load, UnfinishedStore.write_shard
    InputImages.load, UnfinishedStore.write_shard = load_first, write_shard  # type: ignore[method-assign,assignment]
    for name, function in (("list", "keep_listing"), ("answer", "_answer")):
        setattr(prediction_run, function, timed(name, getattr(prediction_run, function)))
    out = source.with_name(f"{source.name}.result.parquet")
    predict_inputs(str(source), out, model, PredictOptions(_BATCH_ROWS, num_workers=2))
    return {**seconds, "peak": peak_bytes()}


if __name__ == "__main__":
    main()
