"""``galaxies.h5``: galaxy images, labelled or not, in the Galaxy10 schema, read in blocks; or where they are, or embeddings.

N galaxies, S image size in pixels, C bands (or features), B galaxies in a block.
"""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from galaxies.data.bands import Channels, PixelType, to_pictures
from galaxies.data.galaxy_schema import (
    EMBEDDINGS,
    FRAMED_PXSCALE,
    GROUP,
    POSITION_COLUMNS,
    UNLABELLED_VALUE,
    class_complaints,
    id_complaints,
    label_complaints,
    read_bands,
    read_class_names,
    read_flux_scales,
    read_ids,
    read_labels,
    refuse_complaints,
    schema_complaints,
)
from galaxies.data.hdf5_files import one_line, open_to_read
from galaxies.data.hdf5_images import Hdf5Images
from galaxies.data.image_listing import IMAGE_GROUPS, read_listing
from galaxies.data.parquet_images import ParquetImages
from galaxies.data.splits import UNLABELLED
from galaxies.errors import InputError

# What h5py raises for bytes that make no sense, wherever they stand (found by flipping every kind of byte).
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)

# A row of chunks of an auto-chunked file can span hundreds of images: 256 MiB hold one, so that each chunk is decoded once.
_CHUNK_CACHE_BYTES = 256 << 20

BLOCK_GALAXIES = 64
"""Galaxies that are read, decoded or digested at a time: 12 MB of images of 256 px."""


class GalaxyFile:
    """An open ``galaxies.h5``. Use it as a context manager.

    Opening it checks names, shapes and types; columns are read and checked when they are asked for, images each time. Who
    needs images alone, as a worker does, reads nothing else. Raises InputError when something is not in the schema.

    Attributes:
        num_galaxies: N.
        has_images: False where the file holds embeddings.
        image_size: S; 0 without images.
        image_bytes: of one image; 0 without.
        class_names: a name for each label.
        framed_pxscale: as :func:`galaxies.data.galaxy_writer.write_galaxies` takes it; None where images are as they were.
        bands: a name for each of the C bands of the images.
        channels: what the numbers of a pixel are.
    """

    def __init__(self, path: Path, *, unlabelled_value: int | None = None, needs_images: bool = True) -> None:
        """Open a file.

        Args:
            path: of it.
            unlabelled_value: a label that is none; None: what the file's attribute says, if anything.
            needs_images: without, the file may be one of embeddings.
        """
        self.path = path
        self._file = open_to_read(path, rdcc_nbytes=_CHUNK_CACHE_BYTES, rdcc_nslots=10007)
        try:
            with self._explaining_damage():
                refuse_complaints(path, schema_complaints(self._file))
                self.class_names, self.bands = read_class_names(self._file), read_bands(self._file)
                flux_scales = read_flux_scales(self._file)
            refuse_complaints(path, class_complaints(self.class_names))
            self.has_images = EMBEDDINGS not in self._file or "images" in self._file
            if needs_images:
                self.require_images()
            with self._explaining_damage():
                self._content = self._open_content()
        except BaseException:
            self._file.close()
            raise
        dtype: PixelType = "float16" if self._content.dtype == np.float16 else "uint8"
        self.channels = Channels(self.bands, dtype, flux_scales)
        self.num_galaxies = self._content.shape[0]
        self.image_size = self._content.shape[1] if self.has_images else 0
        self._unlabelled_value = self._file.attrs.get(UNLABELLED_VALUE) if unlabelled_value is None else unlabelled_value
        framed = self._file.attrs.get(FRAMED_PXSCALE)
        self.framed_pxscale = None if framed is None else float(framed)
        self.image_bytes = math.prod(self._content.shape[1:]) * self._content.dtype.itemsize if self.has_images else 0

    def _open_content(self) -> Hdf5Images | ParquetImages:
        if IMAGE_GROUPS in self._file and "images" not in self._file:
            return ParquetImages(read_listing(self._file))
        return Hdf5Images(self.path, self._file["images" if self.has_images else EMBEDDINGS])

    @cached_property
    def labels(self) -> NDArray[np.int16]:
        """(N,) index into ``class_names``; UNLABELLED where there is no label."""
        with self._explaining_damage():
            labels = read_labels(self._file)
        value = self._unlabelled_value if "ans" in self._file else UNLABELLED
        is_unlabelled = np.zeros(len(labels), bool) if value is None else labels == value
        refuse_complaints(self.path, label_complaints(labels, is_unlabelled, self.class_names))
        return np.where(is_unlabelled, UNLABELLED, labels).astype(np.int16)

    @cached_property
    def ids(self) -> pa.StringArray:
        """(N,) texts, unique; made from the index where the file has none."""
        with self._explaining_damage():
            ids = read_ids(self._file)
        refuse_complaints(self.path, id_complaints(ids))
        return ids

    @cached_property
    def ra(self) -> NDArray[np.float64]:
        """(N,) right ascension in deg, NaN where unknown, as are the next three."""
        return self._read_numbers("ra")

    @cached_property
    def dec(self) -> NDArray[np.float64]:
        """(N,) declination in deg."""
        return self._read_numbers("dec")

    @cached_property
    def redshift(self) -> NDArray[np.float64]:
        """(N,)."""
        return self._read_numbers("redshift")

    @cached_property
    def pxscale(self) -> NDArray[np.float64]:
        """(N,) pixel scale in arcsec/px."""
        return self._read_numbers("pxscale")

    @cached_property
    def group(self) -> NDArray[np.int64]:
        """(N,) galaxies of one number are never divided, whatever their positions; below 0 is none."""
        if self.has_images or GROUP not in self._file:
            return np.full(self.num_galaxies, -1)
        with self._explaining_damage():
            group: NDArray[np.int64] = self._file[GROUP][:].astype(np.int64)
        return group

    @property
    def embeddings_origin(self) -> dict[str, Any]:
        """What the file says of where its embeddings come from."""
        return dict(json.loads(self._file.attrs.get(EMBEDDINGS, "{}")))

    def require_images(self) -> None:
        """Raise InputError where the file holds embeddings."""
        if not self.has_images:
            raise InputError(
                f"{self.path} holds {EMBEDDINGS} and no images, from which no network can make activations; use "
                f"`-S 'extract.layers=[{EMBEDDINGS}]' -S train.layer={EMBEDDINGS}`, or another download.source."
            )

    def check_columns(self) -> None:
        """Read all columns, and raise InputError where one is not in the schema or damaged."""
        for name in ("labels", "ids", *POSITION_COLUMNS):
            getattr(self, name)

    def _read_numbers(self, name: str) -> NDArray[np.float64]:
        if name not in self._file:
            return np.full(self.num_galaxies, np.nan)
        with self._explaining_damage():
            column: NDArray[np.float64] = self._file[name][:].astype(np.float64)
        return column

    @contextmanager
    def _explaining_damage(self) -> Iterator[None]:
        try:
            yield
        except _DAMAGE as error:
            raise InputError(f"{self.path} is damaged: {one_line(error)}. Get it or make it again.") from error

    def read_images(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Return the images of ascending ``indices``: (B, S, S, C) uint8, or float16 from 0 to 1; threads may read at once."""
        self.require_images()
        return self.read_content(indices)

    def read_content(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Return images as :meth:`read_images` does, or of a file without images the embeddings, (B, C) float32."""
        return self._content.read(indices)

    @property
    def needs_decoding(self) -> bool:
        """Tell whether images are encoded, so that to read them is work for a core."""
        return self._content.needs_decoding

    def split_rows(self, num_rows: int) -> list[range]:
        """Return all galaxies in blocks of ``num_rows`` or fewer that are best read each by itself."""
        return self._content.blocks(num_rows)

    def read_pictures(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images of ascending ``indices`` as a person is shown them: (B, S, S, 3) uint8, red first."""
        return to_pictures(self.read_images(indices), self.bands)

    def picture_blocks(self, indices: NDArray[np.int64]) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
        """Yield the same block by block: their places, and (B, S, S, 3)."""
        yield from ((block, to_pictures(images, self.bands)) for block, images in self.blocks(indices))

    def blocks(self, indices: NDArray[np.int64] | None = None) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Yield the images of ascending ``indices``, by default all, block by block: their places, and (B, S, S, C)."""
        indices = np.arange(self.num_galaxies) if indices is None else indices
        for start in range(0, len(indices), BLOCK_GALAXIES):
            block = slice(start, min(start + BLOCK_GALAXIES, len(indices)))
            yield block, self.read_images(indices[block])

    def close(self) -> None:
        """Close the file; what was read stays."""
        self._file.close()
        self._content.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
