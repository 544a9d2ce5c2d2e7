"""Which galaxies are used, and in which order: ``data/catalog.parquet``. Row i of a store is row i of the catalog.

No label stands here: a corrected label must not cost an extraction.

Legend: N rows, one a galaxy in use, in ascending order of its index in ``galaxies.h5``; B some of them; S image size in pixels.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from galaxies.data.table_file import TableFile, slice_groups, write_table

DIGEST_BYTES = 32

# 34 bytes a row (simulated survey): 32 of the digest, hardly any of numbers and ids that ascend.
_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("galaxy", pa.int64(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("image_sha256", pa.binary(DIGEST_BYTES), nullable=False),
    ]
)
_ENCODINGS = {"row": "DELTA_BINARY_PACKED", "galaxy": "DELTA_BINARY_PACKED", "id": "DELTA_BYTE_ARRAY"}


@dataclass(frozen=True)
class CatalogRows:
    """Some rows of the catalog."""

    galaxy: NDArray[np.int64]  # (B,) index in galaxies.h5
    ids: pa.StringArray  # (B,)
    image_sha256: NDArray[np.uint8]  # (B, 32) digest of each image's shape and pixels

    def __len__(self) -> int:
        return len(self.galaxy)


class Catalog:
    """The open catalog: its rows are read when they are asked for. Another process opens it for itself.

    Attributes:
        path: of the file.
        digest: sha256 over the image digests in row order: what the numbers of a store depend on, and nothing more.
    """

    def __init__(self, path: Path) -> None:
        """Open ``catalog.parquet``. Raises InputError when it is not one that ``split`` wrote."""
        self.path = path
        self._table = TableFile(path, _SCHEMA, stage="split")
        self.digest: str = self._table.about["digest"]

    def __len__(self) -> int:
        return len(self._table)

    def __reduce__(self) -> tuple[type["Catalog"], tuple[Path]]:
        return Catalog, (self.path,)

    def read(self, start: int, stop: int) -> CatalogRows:
        """Return the rows from ``start`` to ``stop``."""
        return self._unpack(self._table.read(start, stop), np.arange(start, stop))

    def take(self, rows: NDArray[np.int64]) -> CatalogRows:
        """Return the rows with the numbers ``rows``, (B,) in any order."""
        return self._unpack(self._table.take(rows), rows)

    def _unpack(self, table: pa.Table, rows: NDArray[np.int64]) -> CatalogRows:
        self._table.require_rows(table, rows)
        ids, digests = (pa.concat_arrays(table[name].chunks) for name in ("id", "image_sha256"))
        content = np.frombuffer(digests.buffers()[1], np.uint8).reshape(-1, DIGEST_BYTES)
        return CatalogRows(table["galaxy"].to_numpy(), ids, content[digests.offset : digests.offset + len(digests)])


def write_catalog(path: Path, rows: CatalogRows) -> str:
    """Write ``catalog.parquet``, of which ``rows`` are all, and return its digest."""
    digest = digest_images(rows.image_sha256)
    tables = (
        pa.table(
            [
                np.arange(span.start, span.stop),
                rows.galaxy[span],
                rows.ids[span],
                _to_binary(rows.image_sha256[span]),
            ],
            schema=_SCHEMA,
        )
        for span in slice_groups(len(rows))
    )
    write_table(path, _SCHEMA, tables, encodings=_ENCODINGS, about={"digest": digest})
    return digest


def image_sha256(image: NDArray[Any]) -> bytes:
    """Return the sha256 of one image's shape and pixels, (S, S, C): 32 bytes."""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.digest()


def digest_images(digests: NDArray[np.uint8]) -> str:
    """Return the sha256 over the digests of images, (N, 32), each as 64 hexadecimal digits, a line each."""
    total = hashlib.sha256()
    for span in slice_groups(len(digests)):
        total.update((b"\n" if span.start else b"") + digests[span].tobytes().hex("\n", DIGEST_BYTES).encode())
    return total.hexdigest()


def _to_binary(digests: NDArray[np.uint8]) -> pa.FixedSizeBinaryArray:
    content = pa.py_buffer(np.ascontiguousarray(digests))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(DIGEST_BYTES), len(digests), [None, content])
