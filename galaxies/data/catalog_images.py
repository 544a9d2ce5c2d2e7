"""The images of the rows of the catalog, each checked against its digest.

Legend: N rows of the catalog, B some of them, S image size in the file, C bands.
"""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from galaxies.data.bands import find_bands
from galaxies.data.catalog import Catalog, image_sha256
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.errors import InputError


@dataclass(frozen=True)
class CatalogImages:
    """The open file of galaxies, which of them are used in which order, and which of their bands."""

    galaxies: GalaxyFile
    catalog: Catalog
    bands: tuple[str, ...] | None = None  # by name; None: all, in the file's order

    def __len__(self) -> int:
        return len(self.catalog)

    @property
    def places(self) -> tuple[int, ...] | None:
        """Where the bands stand in the file; None: all. Raises InputError for a band that the file lacks."""
        return None if self.bands is None else find_bands(self.galaxies.bands, self.bands, self.galaxies.path)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return the images of rows ``start`` to ``stop``, (B, S, S, C) uint8, or float16 from 0 to 1.

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
        return images if self.places is None else images[..., self.places]
