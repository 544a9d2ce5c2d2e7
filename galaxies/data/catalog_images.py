"""The images of the rows of the catalog, each checked against its digest.

Legend: N rows of the catalog, B some of them, S image size in the file.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from galaxies.data.catalog import Catalog, image_sha256
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.errors import InputError


@dataclass(frozen=True)
class CatalogImages:
    """The open file of galaxies, and which of them are used in which order."""

    galaxies: GalaxyFile
    catalog: Catalog

    def __len__(self) -> int:
        return len(self.catalog)

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return the images of rows ``start`` to ``stop``, (B, S, S, 3).

        Raises InputError when an image is not the one that ``split`` saw: its activation would stand under a wrong identity.
        """
        rows = self.catalog.read(start, stop)
        images = self.galaxies.read_images(rows.galaxy)
        for position, image in enumerate(images):
            if image_sha256(image) != rows.image_sha256[position].tobytes():
                raise InputError(
                    f"{self.galaxies.path}: the image of galaxy {rows.galaxy[position]} (row {start + position}) is not the "
                    "one in the catalog; the file changed after `split` had run. Run `dvc repro`."
                )
        return images
