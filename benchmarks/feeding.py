"""What feeds a forward pass and what takes its results, without one: images/s that threads read and check, rows/s they write.

    python -m benchmarks.feeding
    python -m benchmarks.feeding --threads 1 --threads 8 --num-galaxies 8192

Read are contiguous images in the page cache, as the stage reads them: without a check, checked by CRC32C, and by sha256.
Written are maps of the shape of a ResNet-50's `layer3` and features of its `layer4`: shards of noise after a ReLU (half of it
zeros), digested and put on record. Figures are medians over rounds in which all numbers of threads take turns.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.measuring import describe_machine, interleave, make_parser, open_images, write_noise
from galaxies.backbones.spec import BackboneSpec
from galaxies.data.catalog_images import CatalogImages
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.features.identity import Identity
from galaxies.features.passes import open_unfinished
from galaxies.features.shard_writer import Shard, ShardWriter
from galaxies.features.store import Layout
from galaxies.stations import in_background, in_order

LAYOUTS = {
    "layer3 maps": Layout((1, 1024, 14, 14), "float16", compressed=True),
    "layer4 features": Layout((1, 2048), "float32", compressed=False),
}

Rates = dict[str, dict[int, float]]
"""A second, by kind and number of threads."""


def main() -> None:
    """Print a table of readers and one of writers."""
    parser = make_parser(__doc__)
    parser.add_argument("--threads", type=int, action="append", help="default: 1 and 2")
    parser.add_argument("--num-galaxies", type=int, default=4096)
    parser.add_argument("--image-size", type=int, default=256, help="px")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--shards", type=int, default=8, help="to write in one turn")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    threads = options.threads or [1, 2]
    print(describe_machine(torch.device("cpu")))
    with tempfile.TemporaryDirectory() as name:
        write_noise(Path(name) / "galaxies.h5", options.num_galaxies, options.image_size)
        print_rates("images/s read", measure_readers(Path(name), threads, options.batch_size, options.rounds))
        print_rates("rows/s written", measure_writers(Path(name), threads, options.shards, options.rounds))


def print_rates(heading: str, rates: Mapping[str, Mapping[int, float]]) -> None:
    """Print a line for each kind, with a column for each number of threads and the gain of the last over the first."""
    threads = list(next(iter(rates.values())))
    print(f"\n{heading:<18}" + "".join(f"{f'{number} threads':>12}" for number in threads) + f"{'gain':>8}")
    for kind, found in rates.items():
        columns = "".join(f"{rate:>12.0f}" for rate in found.values())
        print(f"{kind:<18}{columns}{found[threads[-1]] / found[threads[0]]:>8.2f}", flush=True)


def measure_readers(folder: Path, threads: Sequence[int], batch_size: int, num_rounds: int) -> Rates:
    """Return images/s by check and number of threads."""
    rates: Rates = {}
    with GalaxyFile(folder / "galaxies.h5") as galaxies:
        checked = open_images(galaxies)
        ways = {"unchecked": None, "CRC32C": checked, "sha256": CatalogImages(galaxies, checked.catalog)}
        for way, images in ways.items():
            turns = {str(number): partial(_read_rate, galaxies, images, batch_size, number) for number in threads}
            rates[way] = _medians(interleave(turns, num_rounds))
    return rates


def measure_writers(folder: Path, threads: Sequence[int], num_shards: int, num_rounds: int) -> Rates:
    """Return rows/s by kind of activation and number of threads."""
    rates: Rates = {}
    for kind, layout in LAYOUTS.items():
        shards = list(draw_shards(layout, min(num_shards, 4)))
        turns = {str(number): partial(_write_rate, folder, layout, shards, num_shards, number) for number in threads}
        rates[kind] = _medians(interleave(turns, num_rounds))
    return rates


def draw_shards(layout: Layout, number: int) -> Iterator[NDArray[Any]]:
    """Yield the rows of whole shards: normal noise with its negative half cut off."""
    generator = np.random.default_rng(0)
    for _ in range(number):
        noise = generator.standard_normal((layout.shard_rows, *layout.row_shape), dtype=np.float32)
        yield np.maximum(noise, 0).astype(layout.dtype)


def _medians(given: Mapping[str, Sequence[float]]) -> dict[int, float]:
    return {int(number): statistics.median(rates) for number, rates in given.items()}


def _read_rate(galaxies: GalaxyFile, images: CatalogImages | None, batch_size: int, num_threads: int) -> float:
    starts = range(0, galaxies.num_galaxies, batch_size)
    stops = [min(start + batch_size, galaxies.num_galaxies) for start in starts]
    begin = time.perf_counter()
    if images is None:
        num_read = sum(map(len, in_order(galaxies.read_images, map(np.arange, starts, stops), num_threads=num_threads)))
    else:
        num_read = sum(map(len, in_order(images.load, map(images.find, starts, stops), num_threads=num_threads)))
    return num_read / (time.perf_counter() - begin)


def _write_rate(folder: Path, layout: Layout, shards: Sequence[NDArray[Any]], num_shards: int, num_threads: int) -> float:
    identity, num_rows = Identity("c0ffee", "layer", BackboneSpec("resnet50")), num_shards * layout.shard_rows
    with tempfile.TemporaryDirectory(dir=folder) as name, open_unfinished(Path(name), identity) as stores:
        stores["layer"].open(num_rows=num_rows, layout=layout, identity=identity)
        writer = ShardWriter(stores["layer"], "float32")
        begin = time.perf_counter()
        with in_background(num_threads) as write:
            for number in range(num_shards):
                write(writer.write, Shard(number, shards[number % len(shards)]))
        return num_rows / (time.perf_counter() - begin)


if __name__ == "__main__":
    main()
