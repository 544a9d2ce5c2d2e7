"""The work on blocks: the one function that fills them, whoever calls it, for whatever galaxies.

A block is the rows of one shard. Who has the plan (which blocks, in batches of how many rows), the images and the network may
fill any block, in any order, in any process; the bytes are the same. `extract` and `predict` differ in where the images come
from and in what is kept beside the store, and in nothing else.

Legend: B rows in a batch, G of them that have an image, S image size, C bands, V views.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galaxies.backbones.forward import Forward
from galaxies.backbones.streams import forward_batches, has_streams
from galaxies.data.catalog_images import CatalogImages, ImageRows
from galaxies.features.shard_writer import Packed, Shard, ShardWriter, pack
from galaxies.stations import in_background, in_order


@dataclass(frozen=True)
class Loaded:
    """A batch on its way into the network."""

    images: Tensor  # (G, S, S, C)
    places: NDArray[np.int64] | None = None  # (G,) which of the B rows have them; None: all of them
    beside: Any = None  # what is kept beside the store of these rows


class BlockImages(Protocol):
    """Where the images of rows come from."""

    def find(self, start: int, stop: int) -> Any:
        """Look rows up, for :meth:`load`; one thread at a time may do so."""

    def load(self, found: Any) -> Loaded:
        """Return what was found; any number of threads may do so at once."""


class BesideBlocks(Protocol):
    """What is kept beside a store, a part a block: it is on disk before the block is on record."""

    def add(self, start: int, beside: Any, failures: Mapping[int, str]) -> None:
        """Take what was loaded with the rows from ``start`` on, and why the network has no answer for some of these."""

    def take(self, number: int) -> Callable[[str], None]:
        """Return what writes the part of block ``number``, all whose rows were added, given the digest of its shard."""


@dataclass(frozen=True)
class Threads:
    """How many threads work beside the forward pass."""

    readers: int = 1  # of whole batches, ahead of it; 0 reads in turn with it
    writers: int = 1


@dataclass(frozen=True)
class BlockPlan:
    """What is to be filled: a worker is given some of its blocks."""

    blocks: tuple[range, ...]  # of rows; each begins and ends where a shard of every layer does
    batch_rows: int  # B; batches begin with the block, so a block always makes the same ones

    @property
    def num_rows(self) -> int:
        """Rows of all blocks."""
        return sum(map(len, self.blocks))


@dataclass(frozen=True)
class CatalogBlocks:
    """The galaxies of the catalog, all of which have an image."""

    images: CatalogImages

    def find(self, start: int, stop: int) -> ImageRows:
        """Look rows up in the tables."""
        return self.images.find(start, stop)

    def load(self, found: ImageRows) -> Loaded:
        """Return their images; raises InputError where one is not that of the catalog."""
        return Loaded(torch.from_numpy(self.images.load(found)))


def fill_blocks(
    plan: BlockPlan,
    images: BlockImages,
    *,
    forward: Forward,
    writers: Mapping[str, ShardWriter],
    threads: Threads = Threads(),
    beside: BesideBlocks | None = None,
) -> Iterator[int]:
    """Compute the activations of blocks of rows and write them; yield the number of rows of each batch that is computed.

    A row without an image is zeros in the stores. All is written when the iterator ends.

    Args:
        plan: the blocks to fill.
        images: where the images come from.
        forward: from images to the activations of each layer.
        writers: of each layer's store, which also keep its record.
        threads: that read and write.
        beside: what is kept beside the stores; without it every row must have an image and a finite activation.

    Raises:
        InputError: an activation is not finite or does not fit the store's dtype, and nothing beside can say so.
    """
    spans = [(start, min(start + plan.batch_rows, block.stop)) for block in plan.blocks for start in block[:: plan.batch_rows]]
    waiting: deque[Loaded] = deque()

    @torch.inference_mode()
    def compute(batch: Tensor) -> dict[str, Packed]:
        if not len(batch):
            return {}
        return {layer: pack(activation, writers[layer].dtype) for layer, activation in forward(batch).items()}

    def take_images() -> Iterator[Tensor]:
        for loaded in _load(spans, images, forward.device, threads.readers):
            waiting.append(loaded)
            yield loaded.images

    with in_background(threads.writers) as write:
        results = forward_batches(compute, take_images(), forward.device, num_at_once=forward.num_at_once)
        for (start, stop), packed in zip(spans, results, strict=True):
            for writer, shard, part in _collect(start, stop, packed, waiting.popleft(), writers, beside):
                write(writer.write, shard, part)
            yield stop - start


def _load(spans: Sequence[tuple[int, int]], images: BlockImages, device: torch.device, num_readers: int) -> Iterable[Loaded]:
    def load(found: Any) -> Loaded:
        loaded = images.load(found)
        # A device fetches only from page-locked memory while the CPU goes on.
        is_here = loaded.images.device.type == "cpu"
        return replace(loaded, images=loaded.images.pin_memory()) if is_here and has_streams(device) else loaded

    found = (images.find(*span) for span in spans)
    return in_order(load, found, num_threads=num_readers) if num_readers else map(load, found)


def _collect(
    start: int,
    stop: int,
    packed: Mapping[str, tuple[Tensor, ...]],
    loaded: Loaded,
    writers: Mapping[str, ShardWriter],
    beside: BesideBlocks | None,
) -> Iterator[tuple[ShardWriter, Shard, Callable[[str], None] | None]]:
    """Take the rows of a batch, and yield each shard that they complete, with its writer and what writes its part beside."""
    batches = {layer: _spread(packed.get(layer), loaded, stop - start, writer) for layer, writer in writers.items()}
    if beside is not None:
        failures: dict[int, str] = {}
        for layer, (rows, largest) in batches.items():
            failures |= writers[layer].find_misfits(rows, largest)
        with torch.inference_mode():  # In which they were made.
            for rows, _ in batches.values() if failures else ():
                rows[list(failures)] = 0
        beside.add(start, loaded.beside, failures)
        batches = {layer: (rows, torch.zeros(())) for layer, (rows, _) in batches.items()}
    for layer, (rows, largest) in batches.items():
        shard = writers[layer].add(start, rows, largest)
        if shard:
            yield writers[layer], shard, beside.take(shard.number) if beside else None


def _spread(packed: tuple[Tensor, ...] | None, loaded: Loaded, num_rows: int, writer: ShardWriter) -> Packed:
    """Return the rows of a batch, (B, V, ...), zeros where there is no image."""
    if packed is None:
        return writer.make_rows(num_rows), torch.zeros(())
    activation, largest = packed
    if loaded.places is None:
        return activation, largest
    rows = writer.make_rows(num_rows)
    rows[torch.from_numpy(loaded.places)] = activation
    return rows, largest
