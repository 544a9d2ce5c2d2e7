"""``galaxies.h5``: labelled galaxy images in the Galaxy10 schema, written and read in blocks.

N galaxies, S image size in pixels, C bands, B galaxies in a block.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from galaxies.data.bands import RGB, to_pictures
from galaxies.data.contiguous_images import open_contiguous
from galaxies.data.galaxy_schema import (
    POSITION_COLUMNS,
    class_complaints,
    id_complaints,
    label_complaints,
    read_bands,
    read_class_names,
    read_ids,
    refuse_complaints,
    schema_complaints,
)
from galaxies.data.hdf5_files import one_line, open_hdf5, open_to_read
from galaxies.errors import InputError
from galaxies.files import replacing

# What h5py raises for bytes that make no sense, wherever they stand (found by flipping every kind of byte).
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)

FRAMED_PXSCALE = "framed_pxscale"
"""An attribute of a file whose images were brought to one size and scale."""

# A row of chunks of an auto-chunked file can span hundreds of images: 256 MiB hold one, so that each chunk is decoded once.
_CHUNK_CACHE_BYTES = 256 << 20

BLOCK_GALAXIES = 64
"""Galaxies that are read, decoded or digested at a time: 12 MB of images of 256 px."""


@dataclass(frozen=True)
class GalaxyBlock:
    """Consecutive galaxies on their way into a file."""

    images: NDArray[Any]  # (B, S, S, C) uint8, or float16 from 0 to 1
    labels: NDArray[np.uint8]  # (B,) index into the class names
    ra: NDArray[np.float64]  # (B,) deg
    dec: NDArray[np.float64]  # (B,) deg
    redshift: NDArray[np.float64]  # (B,)
    pxscale: NDArray[np.float64]  # (B,) arcsec/px
    ids: tuple[str, ...] | None = None  # (B,) None: the ids are made from the indices
    bands: tuple[str, ...] = RGB  # C names


def write_galaxies(
    path: Path,
    blocks: Iterable[GalaxyBlock],
    *,
    num_galaxies: int,
    image_size: int,
    class_names: Sequence[str],
    framed_pxscale: float | None = None,
) -> None:
    """Stream ``blocks`` into a new file at ``path``; memory does not grow with ``num_galaxies``.

    The images are contiguous and uncompressed (measured 10 to 30 times faster to read than gzip with one-image chunks); their
    dtype and bands are those of the first block.

    Args:
        path: of the file.
        blocks: the galaxies.
        num_galaxies: in all blocks.
        image_size: px.
        class_names: a name for each label.
        framed_pxscale: where all images were brought to one size, and those of known scale to this one (arcsec/px; NaN: none
            had a known scale).

    Raises:
        ValueError: the blocks do not add up to ``num_galaxies`` images of ``image_size``.
    """
    waiting = iter(blocks)
    first = next(waiting, None)
    with replacing(path) as temporary, open_hdf5(temporary, "w") as file:
        dtype, bands = (first.images.dtype, first.bands) if first else (np.uint8, RGB)
        images = file.create_dataset("images", (num_galaxies, image_size, image_size, len(bands)), dtype)
        labels = file.create_dataset("ans", (num_galaxies,), np.uint8)
        columns = {name: file.create_dataset(name, (num_galaxies,), np.float64) for name in POSITION_COLUMNS}
        file.attrs["class_names"] = np.array(class_names, dtype=h5py.string_dtype())
        if framed_pxscale is not None:
            file.attrs[FRAMED_PXSCALE] = framed_pxscale
        if bands != RGB:
            file.attrs["bands"] = np.array(bands, dtype=h5py.string_dtype())
        ids: h5py.Dataset | None = None
        start = 0
        for block in itertools.chain([first] if first else [], waiting):
            stop = start + len(block.labels)
            images[start:stop] = block.images
            labels[start:stop] = block.labels
            for name, column in columns.items():
                column[start:stop] = getattr(block, name)
            if block.ids is not None:
                if ids is None:
                    ids = file.create_dataset("ids", (num_galaxies,), h5py.string_dtype())
                ids[start:stop] = block.ids
            start = stop
        if start != num_galaxies:
            raise ValueError(f"the blocks hold {start} galaxies, {num_galaxies} were announced")


class GalaxyFile:
    """An open ``galaxies.h5``. Use it as a context manager.

    Opening it checks names, shapes and types; columns are read and checked when they are asked for, images each time. Who
    needs images alone, as a worker does, reads nothing else. Raises InputError when something is not in the schema.

    Attributes:
        num_galaxies: N.
        image_size: S.
        image_bytes: of one image.
        class_names: a name for each label.
        framed_pxscale: as :func:`write_galaxies` takes it; None where images are as they were.
        bands: a name for each of the C bands of the images.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_to_read(path, rdcc_nbytes=_CHUNK_CACHE_BYTES, rdcc_nslots=10007)
        try:
            with self._explaining_damage():
                refuse_complaints(path, schema_complaints(self._file))
                self.class_names, self.bands = read_class_names(self._file), read_bands(self._file)
            refuse_complaints(path, class_complaints(self.class_names))
        except BaseException:
            self._file.close()
            raise
        self._images = self._file["images"]
        self.num_galaxies, self.image_size = int(self._images.shape[0]), int(self._images.shape[1])
        framed = self._file.attrs.get(FRAMED_PXSCALE)
        self.framed_pxscale = None if framed is None else float(framed)
        self.image_bytes = int(self._images.nbytes) // self.num_galaxies
        self._contiguous = open_contiguous(path, self._images)

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """(N,) index into ``class_names``."""
        with self._explaining_damage():
            labels = self._file["ans"][:]
        refuse_complaints(self.path, label_complaints(labels, self.class_names))
        narrow: NDArray[np.uint8] = labels.astype(np.uint8)
        return narrow

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
        """Return the images of ascending ``indices``: (B, S, S, C) uint8, or float16 from 0 to 1; threads may read at once.

        Reads runs of neighbours as slices: h5py's own list indexing is 13 to 58 times slower (measured).
        """
        images = np.empty((len(indices), *self._images.shape[1:]), self._images.dtype)
        starts = np.flatnonzero(np.diff(indices, prepend=-2) != 1)
        stops = np.append(starts[1:], len(indices))[: len(starts)]  # None where there are no indices.
        for start, stop in zip(starts, stops, strict=True):
            first, last = int(indices[start]), int(indices[stop - 1])
            try:
                if self._contiguous:
                    self._contiguous.read_into(images[start:stop], first)
                else:
                    self._images.read_direct(images, np.s_[first : last + 1], np.s_[start:stop])
            except (OSError, RuntimeError) as error:
                raise InputError(
                    f"{self.path}: images {first} to {last} cannot be read ({one_line(error)}); the file is damaged, or its "
                    "compression is not installed here. Get it again (data/galaxies.h5: `dvc repro --force download`)."
                ) from error
        return images

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
        if self._contiguous:
            self._contiguous.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
