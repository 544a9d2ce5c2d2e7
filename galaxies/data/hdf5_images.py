"""The images (or embeddings) in an HDF5 file, read in runs of neighbours.

Legend: N galaxies, B of them that are asked for.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from galaxies.data.contiguous_images import open_contiguous
from galaxies.data.hdf5_files import one_line
from galaxies.errors import InputError


class Hdf5Images:
    """The content of each galaxy, in a data set of an open file.

    Attributes:
        shape: of all, (N, ...).
        dtype: of a number.
    """

    needs_decoding = False

    def __init__(self, path: Path, content: h5py.Dataset) -> None:
        self._path, self._content = path, content
        self.shape: tuple[int, ...] = tuple(content.shape)
        self.dtype: np.dtype[Any] = content.dtype
        self._contiguous = open_contiguous(path, content)

    def read(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Return the content of ascending ``indices``, (B, ...); threads may read at once.

        Reads runs of neighbours as slices: h5py's own list indexing is 13 to 58 times slower (measured).
        """
        images = np.empty((len(indices), *self.shape[1:]), self.dtype)
        starts = np.flatnonzero(np.diff(indices, prepend=-2) != 1)
        stops = np.append(starts[1:], len(indices))[: len(starts)]  # None where there are no indices.
        for start, stop in zip(starts, stops, strict=True):
            first, last = int(indices[start]), int(indices[stop - 1])
            try:
                if self._contiguous:
                    self._contiguous.read_into(images[start:stop], first)
                else:
                    self._content.read_direct(images, np.s_[first : last + 1], np.s_[start:stop])
            except (OSError, RuntimeError) as error:
                raise InputError(
                    f"{self._path}: images {first} to {last} cannot be read ({one_line(error)}); the file is damaged, or its "
                    "compression is not installed here. Get it again (data/galaxies.h5: `dvc repro --force download`)."
                ) from error
        return images

    def blocks(self, num_rows: int) -> list[range]:
        """Return all rows in blocks of ``num_rows``, the last one shorter."""
        num_galaxies = self.shape[0]
        return [range(start, min(start + num_rows, num_galaxies)) for start in range(0, num_galaxies, num_rows)]

    def close(self) -> None:
        """Let go of what was opened beside the file."""
        if self._contiguous:
            self._contiguous.close()
