"""Chunks of a store, read straight from their shards.

A shard is a file of chunks with an index at its end: for each chunk its offset and length in bytes, two little-endian uint64,
then the CRC32C of the index (the Zarr v3 specification, codec ``sharding_indexed``). zarr-python is built for any slice of any
array and spends 2 ms on each: from here a core reads about 20 times as many chunks of features and 1.2 to 1.6 times as many of
maps, which wait for zstd (CPU time, on noise of the shapes of a ResNet-50's features and `layer3` maps).

Legend: B rows of a chunk, R rows of a shard, V views.
"""

import io
import math
import os
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

_CHECKSUM_BYTES = 4
_NO_CHUNK = 2**64 - 1


class ShardReader:
    """Reads the shards and chunks of one store; any number of threads may call it at once.

    Attributes:
        shape: of a chunk, (chunk_rows, V, ...).
        dtype: of the activations.
        chunk_rows: rows in a chunk; chunk i starts with row ``i * chunk_rows``.
        shard_rows: rows in a shard.

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
