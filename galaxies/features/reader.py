"""Rows of a store that need not fit in memory: in minibatches, shuffled for training or in order.

Whole chunks are read in random order into a buffer, and each batch is drawn at random from all that is there: a buffer of
1,024 rows from at least 16 chunks trains as well as a full shuffle, even where the store is sorted by class (measured). A
thread makes batches in advance.

Chunks are read straight from their shards. A shard is a file of chunks with an index at its end: for each chunk its offset and
length in bytes, two little-endian uint64, then the CRC32C of the index (the Zarr v3 specification, codec
``sharding_indexed``). zarr-python is built for any slice of any array and spends 2 ms on each: from here a core reads about 20
times as many chunks of features and 1.2 to 1.6 times as many of maps, which wait for zstd (CPU time, on noise of the shapes of
a ResNet-50's features and `layer3` maps).

Legend: N rows asked for, B rows in a batch, V views.
"""

import io
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import zstd
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, ShardingCodec, ZstdCodec
from zarr.core.metadata import ArrayV3Metadata

from galaxies.errors import InputError
from galaxies.features.store import Store, shard_path
from galaxies.stations import in_advance, in_order

Batch = tuple[NDArray[np.int64], NDArray[Any]]
"""Positions in the rows asked for, (B,), and the activations of these rows, (B, V, ...) in the store's dtype."""

_BUFFER_ROWS = 1024
_MAX_BUFFER_BYTES = 512 << 20
_MIN_BUFFER_CHUNKS = 16
_CHECKSUM_BYTES = 4
_NO_CHUNK = 2**64 - 1


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
    chunks, blocks = _ChunkReader(store), _plan_blocks(store, rows)
    if buffer_rows is None:
        row_bytes = store.activations.nbytes // max(store.activations.shape[0], 1)
        buffer_rows = max(_MIN_BUFFER_CHUNKS * chunks.chunk_rows, min(_BUFFER_ROWS, _MAX_BUFFER_BYTES // row_bytes))
    # A generator apart: the reading thread draws from it while the caller may draw from theirs.
    generator = np.random.default_rng(int(generator.integers(1 << 63)))
    shuffled = [blocks[index] for index in generator.permutation(len(blocks))]
    return in_advance(_draw_batches(chunks, shuffled, batch_size, buffer_rows, generator, num_workers))


def read_batches(store: Store, rows: NDArray[np.int64], *, batch_size: int, num_workers: int = 1) -> Iterator[Batch]:
    """Yield ``rows`` in their order; arguments and errors are those of :func:`read_shuffled_batches`."""
    return in_advance(_draw_batches(_ChunkReader(store), _plan_blocks(store, rows), batch_size, 0, None, num_workers))


def read_shards(store: Store, *, num_workers: int = 1) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield all rows in order, a shard at a time: its first row, and its activations, (R, V, ...), at most 64 MiB.

    Whole files are read, so this is the quickest way through features: 1,000,000 x 512 in the page cache take 0.5 s. Whether
    numbers are finite is left to the caller. Raises InputError where a shard is missing or damaged.
    """
    chunks, num_rows = _ChunkReader(store), store.activations.shape[0]
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
    chunks: "_ChunkReader",
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


class _ChunkReader:
    """Reads the chunks of one store; any number of threads may call it at once.

    Attributes:
        shape: of a chunk, (chunk_rows, V, ...).
        dtype: of the activations.
        chunk_rows: rows in a chunk; chunk i starts with row ``i * chunk_rows``.

    Raises InputError when the store is not laid out as ``create_store`` does it.
    """

    def __init__(self, store: Store) -> None:
        array = store.activations
        assert isinstance(array.metadata, ArrayV3Metadata)  # A Store opens no other.
        codecs = array.metadata.codecs
        inner = codecs[0].codecs if len(codecs) == 1 and isinstance(codecs[0], ShardingCodec) else ()
        if not inner or not isinstance(inner[0], BytesCodec) or not all(isinstance(codec, ZstdCodec) for codec in inner[1:]):
            raise InputError(
                f"{store.path}: the chunks are laid out as {codecs}, expected are shards of plain or zstd-compressed chunks; "
                "another version of this project wrote it. Delete it and run `dvc repro`."
            )
        self._store, self.shape, self.dtype = store, array.chunks, array.dtype
        self._is_compressed = len(inner) > 1
        self._num_axes = array.ndim
        self.chunk_rows = array.chunks[0]
        self._shard_chunks = array.shards[0] // array.chunks[0]  # type: ignore[index] # Sharded, as seen above.
        self.shard_rows = self._shard_chunks * self.chunk_rows

    def read_rows(self, chunk: int, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return rows of one chunk, (B, V, ...). Raises InputError when the chunk or one of them is damaged."""
        activations = self._read(chunk)[rows - chunk * self.chunk_rows]
        if activations.dtype.kind == "f":
            # A float is finite unless all bits of its exponent are set: 5 to 17 times faster than np.isfinite of float16.
            bits = activations.view(f"u{activations.itemsize}")
            infinity = np.array(np.inf, activations.dtype).view(bits.dtype)
            if (bits << 1).max(initial=0) >= infinity << 1:
                broken = ~np.isfinite(activations).reshape(len(rows), -1).all(axis=1)
                raise InputError(
                    f"{self._store.path}: row {rows[broken][0]} is not finite; the store is damaged. Delete it and run "
                    "`dvc repro`."
                )
        return activations

    def read_shard(self, number: int) -> NDArray[Any]:
        """Return the rows of a shard, (R, V, ...); beyond the store's last row they mean nothing."""
        path = shard_path(self._store.path, number, self._num_axes)
        try:
            content = _read_whole(path)
            index = _parse_index(bytes(content[-_index_bytes(self._shard_chunks) :]), self._shard_chunks)
            index = index[index[:, 1] != _NO_CHUNK]  # The last shard has fewer.
            if int(index[-1].sum()) > len(content) - _index_bytes(self._shard_chunks):
                raise ValueError("a chunk was never written")
            if self._is_compressed:
                content = bytearray().join(zstd.decompress(content[start : start + size]) for start, size in index.tolist())
            # Chunks that are not compressed stand one after the other, as encode_shard writes them.
            count = len(index) * math.prod(self.shape)
            return np.frombuffer(content, self.dtype, count).reshape(-1, *self.shape[1:])
        except (OSError, ValueError, RuntimeError, IndexError) as error:
            raise InputError(
                f"{path} cannot be read ({error}); the store is damaged. Delete {self._store.path} and make it again."
            ) from error

    def _read(self, chunk: int) -> NDArray[Any]:
        """Return one chunk, (chunk_rows, V, ...); beyond the store's last row it holds nothing of meaning."""
        shard, index = divmod(chunk, self._shard_chunks)
        path = shard_path(self._store.path, shard, self._num_axes)
        try:
            with path.open("rb", buffering=0) as file:
                content = _read_chunk(file, index, self._shard_chunks)
            if self._is_compressed:
                content = zstd.decompress(content)
            return np.frombuffer(content, self.dtype).reshape(self.shape)
        except (OSError, ValueError, RuntimeError) as error:
            first = chunk * self.chunk_rows
            raise InputError(
                f"{path}: rows {first} to {first + self.chunk_rows - 1} cannot be read ({error}); the store is damaged. "
                f"Delete {self._store.path} and run `dvc repro`."
            ) from error


def _read_chunk(file: io.RawIOBase, index: int, num_chunks: int) -> bytes:
    """Return the encoded bytes of chunk ``index`` of the ``num_chunks`` in an open shard."""
    index_start = file.seek(0, os.SEEK_END) - _index_bytes(num_chunks)
    if index_start < 0:
        raise ValueError("the file is truncated")
    file.seek(index_start)
    offset, length = _parse_index(file.readall(), num_chunks)[index].tolist()
    if offset + length > index_start:
        raise ValueError("the chunk was never written")
    file.seek(offset)
    return file.read(length) or b""


def _read_whole(path: Path) -> bytearray:
    """Return the bytes of a file; arrays of them can be written, so PyTorch takes them without a copy."""
    content = bytearray(path.stat().st_size)
    with path.open("rb", buffering=0) as file:
        file.readinto(content)
    return content


def _index_bytes(num_chunks: int) -> int:
    return num_chunks * 16 + _CHECKSUM_BYTES


def _parse_index(content: bytes, num_chunks: int) -> NDArray[np.uint64]:
    """Return offset and length of each chunk, (num_chunks, 2), from the end of a shard."""
    table, checksum = content[:-_CHECKSUM_BYTES], content[-_CHECKSUM_BYTES:]
    if len(table) != num_chunks * 16:
        raise ValueError("the file is truncated")
    if google_crc32c.value(table) != int.from_bytes(checksum, "little"):
        raise ValueError("the checksum of its index is wrong")
    return np.frombuffer(table, "<u8").reshape(-1, 2)
