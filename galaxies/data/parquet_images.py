"""Images that lie encoded in Parquet files, decoded where they are: no copy is made.

A row group is the unit of reading. Those read last stay in memory, encoded, so that neighbours, which other threads ask for, do
not read it again. Legend: N galaxies, B of them that are asked for, S image size in pixels.
"""

import io
import itertools
import threading
from collections import OrderedDict
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from galaxies.data.image_files import DAMAGE_ERRORS, read_image, say_damage
from galaxies.data.image_listing import ImageListing
from galaxies.errors import InputError

# Encoded: some 25,000 JPEGs of 128 px. A thread that decodes holds its group besides.
_CACHE_BYTES = 128 << 20


class ParquetImages:
    """The images of a listing; any number of threads may read at once.

    Attributes:
        shape: of all, (N, S, S, 3).
        dtype: of a number.
    """

    needs_decoding = True

    def __init__(self, listing: ImageListing) -> None:
        self._listing = listing
        self.shape = (listing.num_galaxies, listing.image_size, listing.image_size, 3)
        self.dtype = np.dtype(np.uint8)
        self._lock = threading.Lock()
        self._files: dict[int, tuple[Path, pq.FileMetaData]] = {}
        self._groups: OrderedDict[int, Future[Any]] = OrderedDict()  # those read last, the latest at the end

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images of ``indices``, (B, S, S, 3).

        Raises InputError for a file that is gone or has changed, and for an image that cannot be decoded or has another size.
        """
        images = np.empty((len(indices), *self.shape[1:]), np.uint8)
        groups = np.searchsorted(self._listing.starts, indices, side="right") - 1
        for place, (index, group) in enumerate(zip(indices.tolist(), groups.tolist(), strict=True)):
            row = index - int(self._listing.starts[group])
            images[place] = self._decode(self._read_group(group)[row], group, row)
        return images

    def blocks(self, num_rows: int) -> list[range]:
        """Return all rows in blocks of ``num_rows`` or fewer, none of which spans two row groups."""
        spans = itertools.pairwise(self._listing.starts.tolist())
        return [range(at, min(at + num_rows, stop)) for start, stop in spans for at in range(start, stop, num_rows)]

    def close(self) -> None:
        """Let go of what was read."""
        self._groups.clear()

    def _decode(self, content: Any, group: int, row: int) -> NDArray[np.uint8]:
        size = self._listing.image_size
        if not content.is_valid:
            raise InputError(f"{self._where(group, row)}: the column {self._listing.column} is empty there, expected an image.")
        try:
            image = read_image(io.BytesIO(content.as_buffer()))
        except DAMAGE_ERRORS as error:
            raise InputError(
                f"{self._where(group, row)}: this is no image that can be decoded ({say_damage(error)}). Mend the file, leave "
                "the row out of it, or take the images as files (download.source: images)."
            ) from error
        if image.shape != (size, size, 3):
            raise InputError(
                f"{self._where(group, row)}: the image is {image.shape[1]} x {image.shape[0]} px, expected {size} x {size} as "
                "the first one is; images of several sizes must come as files (download.source: images)."
            )
        return image

    def _where(self, group: int, row: int) -> str:
        file, number = self._listing.groups[group, :2].tolist()
        galaxy = int(self._listing.starts[group]) + row
        return f"{self._listing.folder / self._listing.files[file].name}, row {row} of row group {number} (galaxy {galaxy})"

    def _read_group(self, group: int) -> Any:
        """Return the encoded images of a row group; who asks first reads it, others wait."""
        with self._lock:
            future = self._groups.get(group)
            is_first = future is None
            if future is None:
                future = self._groups[group] = Future()
                self._forget_old(group)
            self._groups.move_to_end(group)
        if is_first:
            try:
                future.set_result(self._read_column(group))
            except BaseException as error:
                with self._lock:
                    self._groups.pop(group, None)
                future.set_exception(error)
        return future.result()

    def _forget_old(self, newest: int) -> None:
        sizes = self._listing.groups[:, 3]
        total = sum(int(sizes[group]) for group in self._groups)
        for group in list(self._groups):
            if total <= _CACHE_BYTES or group == newest:
                return
            del self._groups[group]
            total -= int(sizes[group])

    def _read_column(self, group: int) -> Any:
        file, number = self._listing.groups[group, :2].tolist()
        path, metadata = self._open(file)
        try:
            # A handle of its own: one must not be read by several threads at once.
            with pq.ParquetFile(path, metadata=metadata) as opened:
                column = opened.read_row_group(number, columns=[self._listing.column], use_threads=False).column(0)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path}: row group {number} is damaged ({error}). Get the file again.") from error
        return pa.concat_arrays(unnest(column).chunks)

    def _open(self, file: int) -> tuple[Path, pq.FileMetaData]:
        found = self._files.get(file)
        if found is None:
            path = self._listing.require_unchanged(file)
            found = self._files[file] = path, pq.read_metadata(path)
        return found


def unnest(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the only field of a column of structs, of which no other was read; or the column as it is."""
    while pa.types.is_struct(column.type):
        column = pa.chunked_array([chunk.field(0) for chunk in column.chunks], column.type.field(0).type)
    return column
