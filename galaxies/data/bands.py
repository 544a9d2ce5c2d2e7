"""The bands of images: their names, which of them a network sees, and what a person is shown of them.

Legend: B images, S image size in pixels, C bands.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from galaxies.errors import InputError

RGB = ("R", "G", "B")
"""The bands of a picture, and of a file that names none."""

PICTURE_BANDS = ("g", "r", "z")
"""Those of fluxes that make a picture."""

MAX_BANDS = 8

PixelType = Literal["uint8", "float16"]

# Effective wavelengths in nm, of the Legacy Surveys, SDSS, LSST, 2MASS, Euclid, and the wide filters of Hubble and JWST, whose
# names differ; what a person sees needs their order only, and the stretch of a band about its place.
_WAVELENGTHS = {
    **{"u": 355, "g": 475, "r": 640, "i": 760, "z": 920, "y": 970, "Y": 1020, "J": 1250, "H": 1650, "K": 2160, "Ks": 2160},
    **{"VIS": 715, "NIR_Y": 1080, "NIR_J": 1370, "NIR_H": 1770, "B": 440, "G": 540, "V": 550, "R": 640, "I": 800},
    **{"F225W": 236, "F275W": 270, "F336W": 335, "F390W": 392, "F435W": 433, "F438W": 433, "F475W": 475, "F555W": 536},
    **{"F606W": 592, "F625W": 631, "F775W": 769, "F814W": 805, "F850LP": 904, "F105W": 1055, "F110W": 1153, "F125W": 1249},
    **{"F140W": 1392, "F160W": 1537, "F070W": 704, "F090W": 902, "F115W": 1154, "F150W": 1501, "F200W": 1988},
    **{"F277W": 2776, "F356W": 3565, "F444W": 4402},
}


@dataclass(frozen=True)
class Channels:
    """What the C numbers of a pixel are; the default is a picture."""

    bands: tuple[str, ...] = RGB
    dtype: PixelType = "uint8"  # float16: from 0 to 1
    flux_scales: tuple[float, ...] | None = (
        None  # of each band, as `stretch_bands` takes them; None: a picture, or made elsewhere
    )

    @property
    def names_of_files(self) -> tuple[str, ...]:
        """The bands of a galaxy's separate files: those that make a picture, or its own."""
        return PICTURE_BANDS if self.are_picture else self.bands

    @property
    def are_picture(self) -> bool:
        """Tell whether they are those of a picture."""
        return self.bands == RGB


def find_wavelength(band: str) -> float | None:
    """Return the effective wavelength of a band in nm, None where the name is none of a survey's."""
    return _WAVELENGTHS.get(band)


def find_bands(found: Sequence[str], wanted: Sequence[str], path: Path) -> tuple[int, ...]:
    """Return the places of the ``wanted`` bands among those ``found`` in a file. Raises InputError that names both."""
    missing = [name for name in wanted if name not in found]
    if missing:
        raise InputError(
            f"extract.bands: {path} has the bands {', '.join(found)}, and not {', '.join(missing)}; use e.g. "
            f"`-S 'extract.bands=[{','.join((*found, *found, *found)[:3])}]'`."
        )
    return tuple(list(found).index(name) for name in wanted)


def to_pictures(images: NDArray[Any], bands: Sequence[str]) -> NDArray[np.uint8]:
    """Turn images (B, S, S, C), uint8 or floats from 0 to 1, into pictures (B, S, S, 3) uint8, red first.

    Of several bands, red is the reddest, blue the bluest, and green the one between (of two bands their mean); bands whose
    wavelengths are not known are taken to stand from blue to red. One band is grey. Those of a picture are given as they are.
    """
    if images.dtype != np.uint8:
        images = (255 * np.clip(images.astype(np.float32), 0, 1)).round().astype(np.uint8)
    if tuple(bands) == RGB:
        return images
    places = list(range(len(bands)))
    if all(name in _WAVELENGTHS for name in bands):
        places.sort(key=lambda place: _WAVELENGTHS[bands[place]])
    blue, red = images[..., places[0]], images[..., places[-1]]
    mean = ((blue.astype(np.uint16) + red) // 2).astype(np.uint8)
    return np.stack([red, mean if len(bands) == 2 else images[..., places[len(places) // 2]], blue], axis=-1)
