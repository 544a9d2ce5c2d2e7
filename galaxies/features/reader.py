"""Minibatches of a store that need not fit in memory: shuffled for training, in order for validation.

Whole chunks are read in random order into a buffer, and each batch is drawn at random from all that is there: a buffer of
1,024 rows from at least 16 chunks trains as well as a full shuffle, even where the store is sorted by class (measured). A
thread makes batches in advance.

Legend: N rows asked for, B rows in a batch, V views.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galaxies.errors import InputError
from galaxies.features.chunk_reader import ChunkReader
from galaxies.features.stations import in_advance
from galaxies.features.store import Store

Batch = tuple[NDArray[np.int64], NDArray[Any]]
"""Positions in the rows asked for, (B,), and the activations of these rows, (B, V, ...) in the store's dtype."""

_BUFFER_ROWS = 1024
_MAX_BUFFER_BYTES = 512 << 20
_MIN_BUFFER_CHUNKS = 16


@dataclass(frozen=True)
class _Block:
    """Those of the rows asked for that stand in one chunk: the positions ``start`` to ``stop``."""

    chunk: int
    start: int
    stop: int


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
    blocks, chunk_rows = _plan_blocks(store, rows), store.activations.chunks[0]
    if buffer_rows is None:
        fitting = _MAX_BUFFER_BYTES // _row_bytes(store)
        buffer_rows = max(_MIN_BUFFER_CHUNKS * chunk_rows, min(_BUFFER_ROWS, fitting))
    # A generator of its own: the reading thread draws from it while the caller may draw from theirs.
    shuffler = np.random.default_rng(int(generator.integers(1 << 63)))
    shuffled = (blocks[index] for index in shuffler.permutation(len(blocks)))
    buffer = _Buffer(store, rows, buffer_rows + batch_size)
    return in_advance(_draw_batches(buffer, shuffled, batch_size, num_workers, shuffler))


def read_batches(store: Store, rows: NDArray[np.int64], *, batch_size: int, num_workers: int = 1) -> Iterator[Batch]:
    """Yield ``rows`` in their order; arguments and errors are those of :func:`read_shuffled_batches`."""
    blocks = iter(_plan_blocks(store, rows))
    return in_advance(_draw_batches(_Buffer(store, rows, batch_size), blocks, batch_size, num_workers))


def _plan_blocks(store: Store, rows: NDArray[np.int64]) -> list[_Block]:
    """Return the blocks that hold ``rows``, in order."""
    num_rows, chunk_rows = store.activations.shape[0], store.activations.chunks[0]
    if len(rows) and not (np.diff(rows).min(initial=1) > 0 and rows[0] >= 0 and rows[-1] < num_rows):
        raise ValueError(f"rows must ascend without repeats from 0 or more to less than {num_rows}, the rows of {store.path}")
    chunks, starts = np.unique(rows // chunk_rows, return_index=True)
    stops = np.append(starts, len(rows))[1:]
    return [_Block(*block) for block in zip(chunks.tolist(), starts.tolist(), stops.tolist(), strict=True)]


class _Buffer:
    """Rows that wait to be drawn, each in a slot. Blocks are read until ``num_waiting`` or more are there."""

    def __init__(self, store: Store, rows: NDArray[np.int64], num_waiting: int) -> None:
        self._store, self._rows, self._chunks = store, rows, ChunkReader(store)
        self.num_waiting = num_waiting
        self.num_slots = min(num_waiting + self._chunks.chunk_rows, len(rows))
        self._activations = np.empty((self.num_slots, *store.activations.shape[1:]), store.activations.dtype)
        self._positions = np.empty(self.num_slots, np.int64)  # in the rows asked for, of the row in each slot

    def fill(self, block: _Block, slots: NDArray[np.int64]) -> None:
        """Read the rows of a block into slots. Raises InputError when one is damaged or not finite."""
        rows = self._rows[block.start : block.stop]
        activations = self._chunks.read(block.chunk)[rows - block.chunk * self._chunks.chunk_rows]
        _require_finite(activations, self._store, rows)
        self._positions[slots], self._activations[slots] = np.arange(block.start, block.stop), activations

    def take(self, slots: NDArray[np.int64]) -> Batch:
        """Return a copy of what is in the slots."""
        return self._positions[slots], self._activations[slots]


def _draw_batches(
    buffer: _Buffer, blocks: Iterator[_Block], batch_size: int, num_workers: int, shuffler: np.random.Generator | None = None
) -> Iterator[Batch]:
    """Yield batches drawn from a buffer that is filled block by block: at random, or first in, first out without shuffler."""
    full, free = np.arange(0), np.arange(buffer.num_slots)  # slots with a row, next to be drawn first; slots without
    with ThreadPoolExecutor(num_workers) as pool:
        while True:
            fills = []
            while len(full) < buffer.num_waiting and (block := next(blocks, None)) is not None:
                slots, free = np.split(free, [block.stop - block.start])
                full = np.concatenate([full, slots])
                fills.append(pool.submit(buffer.fill, block, slots))
            for done in fills:
                done.result()
            if not len(full):
                return
            if shuffler is not None:
                shuffler.shuffle(full)
            drawn, full = np.split(full, [min(batch_size, len(full))])
            yield buffer.take(drawn)
            free = np.concatenate([free, drawn])


def _require_finite(activations: NDArray[Any], store: Store, rows: NDArray[np.int64]) -> None:
    if activations.dtype.kind != "f":
        return
    # A float is finite unless all bits of its exponent are set. For float16 this is 5 to 17 times faster than np.isfinite.
    bits = activations.view(f"u{activations.itemsize}")
    infinity = np.array(np.inf, activations.dtype).view(bits.dtype)
    if (bits << 1).max(initial=0) >= infinity << 1:
        broken = ~np.isfinite(activations).reshape(len(rows), -1).all(axis=1)
        raise InputError(
            f"{store.path}: row {rows[broken][0]} is not finite; the store is damaged. Delete it and run `dvc repro`."
        )


def _row_bytes(store: Store) -> int:
    return store.activations.nbytes // max(store.activations.shape[0], 1)
