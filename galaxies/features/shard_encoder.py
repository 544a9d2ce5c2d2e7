"""A shard as bytes: what zarr-python would write of the same rows, made by whichever thread calls.

A shard is its chunks and an index at its end: for each chunk its offset and length in bytes, two little-endian uint64, all ones
where there is none, then the CRC32C of the index (the Zarr v3 specification, codec ``sharding_indexed``). zarr-python reads a
shard before it writes it, and passes each chunk through one event loop, which holds several writers back.

Legend: B rows of a shard, V views.
"""

from collections.abc import Iterator
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import Zstd
from numpy.typing import NDArray

from galaxies.features.store import ZSTD_LEVEL

_NO_CHUNK = 2**64 - 1


def encode_shard(rows: NDArray[Any], *, chunk_rows: int, num_chunks: int, compressed: bool) -> Iterator[bytes]:
    """Yield the bytes of a shard, a chunk at a time and its index last.

    Args:
        rows: (B, V, ...); fewer than a whole shard at the end of a store, whose last chunk is filled up with zeros.
        chunk_rows: in a chunk.
        num_chunks: in a whole shard.
        compressed: by zstd.
    """
    index = np.full((num_chunks, 2), _NO_CHUNK, "<u8")
    offset = 0
    for number, start in enumerate(range(0, len(rows), chunk_rows)):
        chunk = rows[start : start + chunk_rows]
        if len(chunk) < chunk_rows:
            chunk = np.concatenate([chunk, np.zeros((chunk_rows - len(chunk), *chunk.shape[1:]), chunk.dtype)])
        content: bytes = Zstd(ZSTD_LEVEL).encode(chunk) if compressed else chunk.tobytes()
        index[number] = offset, len(content)
        offset += len(content)
        yield content
    table = index.tobytes()
    yield table + google_crc32c.value(table).to_bytes(4, "little")
