"""Shuffled minibatches of one store: this reader, annbatch's loader, and Zarr's fancy indexing, in turns.

    python -m benchmarks.reader_speed
    python -m benchmarks.reader_speed --annbatch PYTHON --num-rows 16384

annbatch needs Python 3.12, so it is run by another Python that has it and its fast codecs:

    uv venv --python 3.12 annbatch && uv pip install --python annbatch/bin/python annbatch zarrs

Both shuffle blocks of a chunk's rows and mix the rows of 1,024 and more. Maps are those of `layer3` of a ResNet-50 (256 x 14 x
14 float16, six in ten zero), features of its `layer4` (2,048 float32); noise, as speed does not depend on the numbers.
Fancy indexing reads each batch's rows alone, and so little of the store that it is timed on a few batches.
"""

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import describe_machine, interleave, make_parser, median_ratio
from galaxies.backbones.spec import BackboneSpec
from galaxies.features.identity import Identity
from galaxies.features.reader import read_shuffled_batches
from galaxies.features.store import Layout, Store, create_store

LAYOUTS = {
    "maps": Layout((1, 256, 14, 14), "float16", compressed=True),
    "features": Layout((1, 2048), "float32", compressed=False),
}
_FANCY_BATCHES = 3


def main() -> None:
    """Print a row for each way and kind of activation."""
    import torch

    parser = make_parser(__doc__)
    parser.add_argument("--num-rows", type=int, default=4096)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--num-workers", type=int, default=2, help="threads of this reader; annbatch takes all cores")
    parser.add_argument("--annbatch", type=Path, help="a Python 3.12 that has annbatch and zarrs")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(describe_machine(torch.device("cpu")))
    print(f"{'rows/s':<12}{'this':>10}{'annbatch':>12}{'fancy index':>14}{'this / annbatch':>18}{'this / fancy':>15}")
    with tempfile.TemporaryDirectory() as name:
        for kind, layout in LAYOUTS.items():
            store = write_store(Path(name) / f"{kind}.zarr", arguments.num_rows, layout)
            rates = measure(store, arguments.batch_size, arguments.num_workers, arguments.rounds, arguments.annbatch)
            medians = {way: statistics.median(rates[way]) for way in rates}
            beside = f"{medians['annbatch']:.0f}" if arguments.annbatch else "-"
            ratio = f"{median_ratio(rates['this'], rates['annbatch']):.2f}" if arguments.annbatch else "-"
            fancy = median_ratio(rates["this"], rates["fancy"])
            print(
                f"{kind:<12}{medians['this']:>10.0f}{beside:>12}{medians['fancy']:>14.0f}{ratio:>18}{fancy:>15.1f}", flush=True
            )


def write_store(path: Path, num_rows: int, layout: Layout) -> Store:
    """Write noise, above zero in four of ten numbers where it is compressed."""
    generator = np.random.default_rng(0)
    array = create_store(path, num_rows=num_rows, layout=layout, identity=Identity("none", path.stem, BackboneSpec("none")))
    for start in range(0, num_rows, layout.shard_rows):
        shape = (min(layout.shard_rows, num_rows - start), *layout.row_shape)
        noise = generator.standard_normal(shape, np.float32)
        array[start : start + len(noise)] = np.maximum(noise - 0.25, 0) if layout.compressed else noise
    return Store(path)


def measure(store: Store, batch_size: int, num_workers: int, num_rounds: int, annbatch: Path | None) -> dict[str, list[float]]:
    """Return rows/s of each way in each round."""
    num_rows = store.activations.shape[0]
    generator = np.random.default_rng(0)

    def this() -> float:
        batches = read_shuffled_batches(
            store, np.arange(num_rows), batch_size=batch_size, generator=generator, num_workers=num_workers
        )
        return _rate(activations for _, activations in batches)

    def fancy() -> float:
        batches = np.split(generator.permutation(num_rows)[: _FANCY_BATCHES * batch_size], _FANCY_BATCHES)
        return _rate(np.asarray(store.activations.oindex[np.sort(rows)]) for rows in batches)

    def rival() -> float:
        chunk_rows = store.activations.chunks[0]
        command = [str(annbatch), str(Path(__file__).with_name("annbatch_rate.py")), str(store.path / "activations")]
        command += [str(chunk_rows), str(-(-1024 // chunk_rows)), str(batch_size)]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        return float(json.loads(printed.splitlines()[-1])["rate"])

    return interleave({"this": this, "fancy": fancy, **({"annbatch": rival} if annbatch else {})}, num_rounds)


def _rate(batches: Iterator[NDArray[np.generic]]) -> float:
    """Return rows/s of looking at every batch."""
    started, num_rows = time.perf_counter(), 0
    for batch in batches:
        num_rows += len(batch)
    return num_rows / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
