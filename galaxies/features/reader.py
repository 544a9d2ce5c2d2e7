"""Rows of a store that need not fit in memory: in minibatches, shuffled for training or in order.

Whole chunks are read in random order into a buffer, and each batch is drawn at random from all that is there: a buffer of
1,024 rows from at least 16 chunks trains as well as a full shuffle, even where the store is sorted by class (measured). A
thread makes batches in advance.

Legend: N rows asked for, B rows in a batch, V views.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galaxies.features.shard_reader import ShardReader
from galaxies.features.store import Store
from galaxies.stations import in_advance, in_order

Batch = tuple[NDArray[np.int64], NDArray[Any]]
"""Positions in the rows asked for, (B,), and the activations of these rows, (B, V, ...) in the store's dtype."""

_BUFFER_ROWS = 1024
_MAX_BUFFER_BYTES = 512 << 20
_MIN_BUFFER_CHUNKS = 16


def read_shuffled_batches(
    store: Store,
    rows: NDArray[np.int64],
    *,
    batch_size: int,
    generator: np.random.Generator,
    buffer_rows: int | None = None,
    num_workers: int = 1,
) -> Iterator[Batch]:
    """Yield every one of ``rows`` exactly once, in random order: one epoch.

    The order follows from the arguments alone, whatever the threads do. One number is drawn from ``generator``, in this call
    and not later, so the generator's state between two epochs is all that is needed to continue after one.

    Args:
        store: features or maps.
        rows: which rows, (N,), ascending and without repeats.
        batch_size: rows in a batch; the last one may be shorter.
        generator: makes the order.
        buffer_rows: rows that stay in the buffer when a batch has been drawn; None is 1,024, or what fits in 512 MiB but not
            fewer than those of 16 chunks.
        num_workers: threads that read and decode chunks.

    Raises:
        ValueError: ``rows`` do not ascend or are not in the store.
        InputError: a chunk is missing or damaged, or a row is not finite.
    """
    chunks, blocks = ShardReader(store), _plan_blocks(store, rows)
    if buffer_rows is None:
        row_bytes = store.activations.nbytes // max(store.activations.shape[0], 1)
        buffer_rows = max(_MIN_BUFFER_CHUNKS * chunks.chunk_rows, min(_BUFFER_ROWS, _MAX_BUFFER_BYTES // row_bytes))
    # A generator apart: the reading thread draws from it while the caller may draw from theirs.
    generator = np.random.default_rng(int(generator.integers(1 << 63)))
    shuffled = [blocks[index] for index in generator.permutation(len(blocks))]
    return in_advance(_draw_batches(chunks, shuffled, batch_size, buffer_rows, generator, num_workers))


def read_batches(store: Store, rows: NDArray[np.int64], *, batch_size: int, num_workers: int = 1) -> Iterator[Batch]:
    """Yield ``rows`` in their order; arguments and errors are those of :func:`read_shuffled_batches`."""
    return in_advance(_draw_batches(ShardReader(store), _plan_blocks(store, rows), batch_size, 0, None, num_workers))


def read_shards(store: Store, *, num_workers: int = 1) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield all rows in order, a shard at a time: its first row, and its activations, (R, V, ...), at most 64 MiB.

    Whole files are read, so this is the quickest way through features: 1,000,000 x 512 in the page cache take 0.5 s. Whether
    numbers are finite is left to the caller. Raises InputError where a shard is missing or damaged.
    """
    chunks, num_rows = ShardReader(store), store.activations.shape[0]
    shards = range(-(-num_rows // chunks.shard_rows))
    for number, rows in zip(shards, in_order(chunks.read_shard, shards, num_threads=num_workers), strict=True):
        start = number * chunks.shard_rows
        yield start, rows[: num_rows - start]


@dataclass(frozen=True)
class _Block:
    """Those of the rows asked for that stand in one chunk."""

    chunk: int
    start: int  # position of the first
    rows: NDArray[np.int64]


def _plan_blocks(store: Store, rows: NDArray[np.int64]) -> list[_Block]:
    """Return the blocks that hold ``rows``, in order."""
    num_rows, chunk_rows = store.activations.shape[0], store.activations.chunks[0]
    if len(rows) and not (np.diff(rows).min(initial=1) > 0 and rows[0] >= 0 and rows[-1] < num_rows):
        raise ValueError(f"rows must ascend without repeats from 0 or more to less than {num_rows}, the rows of {store.path}")
    chunks, starts = np.unique(rows // chunk_rows, return_index=True)
    parts = np.split(rows, starts[1:])
    return [_Block(*block) for block in zip(chunks.tolist(), starts.tolist(), parts, strict=False)]


def _draw_batches(
    chunks: "ShardReader",
    blocks: Sequence[_Block],
    batch_size: int,
    buffer_rows: int,
    generator: np.random.Generator | None,
    num_workers: int,
) -> Iterator[Batch]:
    """Yield batches drawn from a buffer that is filled block by block: at random, or first in, first out without generator."""
    wanted, waiting = buffer_rows + batch_size, iter(blocks)
    capacity = min(wanted + chunks.chunk_rows, sum(len(block.rows) for block in blocks))
    buffer = np.empty((capacity, *chunks.shape[1:]), chunks.dtype)
    positions = np.empty(capacity, np.int64)  # of the row in each slot of the buffer
    full, free = np.arange(0), np.arange(capacity)  # slots with a row, next to be drawn first; slots without

    def fill(block: _Block, slots: NDArray[np.int64]) -> None:
        positions[slots] = np.arange(block.start, block.start + len(block.rows))
        buffer[slots] = chunks.read_rows(block.chunk, block.rows)

    with ThreadPoolExecutor(num_workers) as pool:
        while True:
            fills = []
            while len(full) < wanted and (block := next(waiting, None)) is not None:
                slots, free = np.split(free, [len(block.rows)])
                full = np.concatenate([full, slots])
                fills.append(pool.submit(fill, block, slots))
            for done in fills:
                done.result()
            if not len(full):
                return
            if generator is not None:
                generator.shuffle(full)
            drawn, full = np.split(full, [min(batch_size, len(full))])
            yield positions[drawn], buffer[drawn]
            free = np.concatenate([free, drawn])
