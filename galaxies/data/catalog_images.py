"""The images of the rows of the catalog, each checked: against its checksum where there is one, else against its digest.

Legend: N rows of the catalog, B some of them, S image size in the file, C bands.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galaxies.data.bands import find_bands
from galaxies.data.catalog import DIGEST_BYTES, Catalog, image_sha256
from galaxies.data.checksums import Checksums, images_crc32c
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.errors import InputError


@dataclass(frozen=True)
class ImageRows:
    """Rows whose images are to be read, with what tells that they are the right ones."""

    start: int  # the first row
    galaxy: NDArray[np.int64]  # (B,) index in galaxies.h5
    image_sha256: NDArray[np.uint8]  # (B, 32)
    crc32c: NDArray[np.uint32] | None  # (B,)


@dataclass(frozen=True)
class CatalogImages:
    """The open file of galaxies, which of them are used in which order, and which of their bands."""

    galaxies: GalaxyFile
    catalog: Catalog
    bands: tuple[str, ...] | None = None  # by name; None: all, in the file's order
    checksums: Checksums | None = None

    def __len__(self) -> int:
        return len(self.catalog)

    @property
    def places(self) -> tuple[int, ...] | None:
        """Where the bands stand in the file; None: all. Raises InputError for a band that the file lacks."""
        return None if self.bands is None else find_bands(self.galaxies.bands, self.bands, self.galaxies.path)

    def find(self, start: int, stop: int) -> ImageRows:
        """Look rows ``start`` to ``stop`` up in the tables, for :meth:`load`; one thread at a time may do so."""
        rows = self.catalog.read(start, stop)
        return ImageRows(start, rows.galaxy, rows.image_sha256, self.checksums.read(start, stop) if self.checksums else None)

    def load(self, rows: ImageRows) -> NDArray[Any]:
        """Return the images of rows, (B, S, S, C) uint8, or float16 from 0 to 1, or without images the embeddings, (B, C).

        Any number of threads may do so at once.

        Raises InputError when an image is not the one that ``split`` saw: its activation would stand under a wrong identity.
        """
        images = self.galaxies.read_content(rows.galaxy)
        if rows.crc32c is not None:
            is_right = np.array(images_crc32c(images), np.uint32) == rows.crc32c
        else:
            digests = b"".join(map(image_sha256, images))
            is_right = (np.frombuffer(digests, np.uint8).reshape(-1, DIGEST_BYTES) == rows.image_sha256).all(1)
        for position in np.flatnonzero(~is_right):
            raise InputError(
                f"{self.galaxies.path}: the image of galaxy {rows.galaxy[position]} (row {rows.start + position}) is not the "
                "one in the catalog; the file changed after `split` had run. Run `dvc repro`."
            )
        return images if self.places is None else images[..., self.places]

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return the images of rows ``start`` to ``stop``, as :meth:`load` does."""
        return self.load(self.find(start, stop))
