"""Whole chunks of a store, read straight from its shards.

A shard is a file of chunks with an index at its end: for each chunk its offset and length in bytes, two little-endian
uint64, then the CRC32C of the index (the Zarr v3 specification, codec ``sharding_indexed``). zarr-python is built for
any slice of any array and spends 2 ms on each: from here a core reads about 20 times as many chunks of features and 1.2 to 1.6
times as many of maps, which wait for zstd (CPU time, on noise of the shapes of a ResNet-50's features and `layer3` maps).
"""

import io
import os
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


class ChunkReader:
    """Reads the chunks of one store; any number of threads may call it at once.

    Attributes:
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
        self._store, self._shape, self._dtype = store, array.chunks, array.dtype
        self._is_compressed = len(inner) > 1
        self._num_axes = array.ndim
        self.chunk_rows = array.chunks[0]
        self._shard_chunks = array.shards[0] // array.chunks[0]  # type: ignore[index] # Sharded, as seen above.

    def read(self, chunk: int) -> NDArray[Any]:
        """Return one chunk, (chunk_rows, V, ...); beyond the store's last row it holds nothing of meaning.

        Raises InputError when its bytes are missing or damaged.
        """
        shard, index = divmod(chunk, self._shard_chunks)
        path = shard_path(self._store.path, shard, self._num_axes)
        try:
            with path.open("rb", buffering=0) as file:
                content = _read_chunk(file, index, self._shard_chunks)
            if self._is_compressed:
                content = zstd.decompress(content)
            return np.frombuffer(content, self._dtype).reshape(self._shape)
        except (OSError, ValueError, RuntimeError) as error:
            first = chunk * self.chunk_rows
            raise InputError(
                f"{path}: rows {first} to {first + self.chunk_rows - 1} cannot be read ({error}); the store is damaged. "
                f"Delete {self._store.path} and run `dvc repro`."
            ) from error


def _read_chunk(file: io.RawIOBase, index: int, num_chunks: int) -> bytes:
    """Return the encoded bytes of chunk ``index`` of the ``num_chunks`` in an open shard."""
    index_bytes = num_chunks * 16
    index_start = file.seek(0, os.SEEK_END) - index_bytes - _CHECKSUM_BYTES
    if index_start < 0:
        raise ValueError("the file is truncated")
    file.seek(index_start)
    table = file.readall()
    if google_crc32c.value(table[:index_bytes]) != int.from_bytes(table[index_bytes:], "little"):
        raise ValueError("the checksum of its index is wrong")
    offset, length = np.frombuffer(table, "<u8", 2, index * 16).tolist()
    if offset + length > index_start:
        raise ValueError("the chunk was never written")
    file.seek(offset)
    return file.read(length) or b""
