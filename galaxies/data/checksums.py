"""A quick check that an image is the one in the catalog: ``data/checksums.parquet``, which `split` writes beside the catalog.

The sha256 of an image's shape and pixels is a galaxy's identity; a core digests 9,000 images of 256 px in a second, which keeps
a fast GPU waiting. The CRC32C of the pixels finds damage as surely (one in 4 billion passes) at 140,000 in a second (measured).

Legend: N rows of the catalog, B some of them, S image size in pixels, C bands.
"""

from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from galaxies.data.table_file import TableFile, slice_groups, write_table

_SCHEMA = pa.schema([pa.field("row", pa.int64(), nullable=False), pa.field("crc32c", pa.uint32(), nullable=False)])


class Checksums:
    """The open table. Made by :func:`open_checksums`."""

    def __init__(self, table: TableFile) -> None:
        self._table = table

    def read(self, start: int, stop: int) -> NDArray[np.uint32]:
        """Return those of the rows from ``start`` to ``stop``, (B,)."""
        rows = self._table.read(start, stop)
        self._table.require_rows(rows, np.arange(start, stop))
        return np.asarray(rows["crc32c"])


def image_crc32c(image: NDArray[Any]) -> int:
    """Return the CRC32C of the bytes of one image's pixels, (S, S, C)."""
    return images_crc32c(image[None])[0]


def images_crc32c(images: NDArray[Any]) -> list[int]:
    """Return that of each of images, (B, S, S, C).

    Little happens between two images, because that is done under Python's lock, for which the next one's thread then waits.
    """
    pixels = np.ascontiguousarray(images).view()
    pixels.flags.writeable = False  # Of the view alone; the library takes nothing that may change meanwhile.
    return list(map(google_crc32c.value, pixels))


def write_checksums(path: Path, checksums: NDArray[np.uint32], *, catalog: str) -> None:
    """Write the table of all N rows of the catalog that has the digest ``catalog``."""
    tables = (
        pa.table([np.arange(span.start, span.stop), checksums[span]], schema=_SCHEMA) for span in slice_groups(len(checksums))
    )
    write_table(path, _SCHEMA, tables, encodings={"row": "DELTA_BINARY_PACKED"}, about={"catalog": catalog})


def open_checksums(path: Path, *, catalog: str) -> Checksums | None:
    """Return the table of the catalog that has the digest ``catalog``, or None: then the images are checked by sha256.

    It is no dependency of any stage, so it may be missing, or be of another catalog.
    """
    if not path.is_file():
        return None
    table = TableFile(path, _SCHEMA, stage="split")
    return Checksums(table) if table.about["catalog"] == catalog else None
