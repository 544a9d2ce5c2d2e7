"""Which images of a FITS file show the sky, and in which bands, told by headers alone.

A plane is one image of the sky in one band: an extension, or one of a cube. What stands beside it (errors, masks, models)
is its companion. H x W pixels.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astropy.wcs import WCS

from galaxies.data.bands import PICTURE_BANDS
from galaxies.errors import InputError
from galaxies.sources.fits_files import FitsFile, explain_damage
from galaxies.sources.fits_names import FILTER_KEYWORDS, find_band, find_letter, names_companion, split_bands
from galaxies.sources.fits_pixels import FitsImage

# What an image says it is besides its name: the Legacy Surveys, the NOIRLab, ESO.
_KIND_KEYWORDS = ("IMAGETYP", "PRODTYPE", "HDUCLAS2")
_PLAIN_NAMES = ("", "PRIMARY", "SCI", "SCIENCE", "IMAGE", "DATA", "IMG", "FLUX", "COMPRESSED_IMAGE")
# GALFIT names the blocks of its result in OBJECT, where other files name the target.
_GALFIT_OBJECTS = ("model", "residual map")
# Where a cube may list its bands as BANDS does.
_LISTING_KEYWORDS = ("BAND", "FILTER", "FILTERS")
# What a third axis can be but bands (Greisen et al. 2006, A&A 446, 747).
_OTHER_AXIS = re.compile("STOKES|FREQ|ENER|WAVN|VRAD|WAVE|VOPT|ZOPT|AWAV|VELO|BETA|FELO|TIME|UTC")
# A cube of more is one of spectra; a header may tell of millions.
_MOST_PLANES = 64


@dataclass(frozen=True)
class Plane:
    """One image of the sky in one band, not read yet."""

    name: str  # of its extension, for messages
    band: str | None  # g, r, z or another, as the headers name it; None where they do not
    file: FitsFile
    image: FitsImage
    place: tuple[int, ...]  # along the axes of the image before the last two
    companions: tuple[FitsImage, ...]  # of the same file

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.image.shape[-2:]
        return height, width

    @property
    def is_of_cube(self) -> bool:
        """Tell whether the image holds several planes, or could."""
        return len(self.image.shape) > 2

    @property
    def label(self) -> str:
        """What to call its band."""
        is_plain = self.image.name in _PLAIN_NAMES or self.is_of_cube
        return self.band or ("unnamed" if is_plain else self.image.name)

    def find(self, *keywords: str) -> Any:
        """Return the first value that its header has, else that of the file; None where neither has one."""
        return _find(self.file, self.image, keywords)

    @property
    def wcs(self) -> WCS | None:
        """Where on the sky its pixels are, None where that is unknown."""
        return self.image.wcs


@dataclass(frozen=True)
class FileContents:
    """An open FITS file and its images, sorted."""

    file: FitsFile
    planes: tuple[Plane, ...]
    companions: tuple[FitsImage, ...]

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def open_contents(path: Path, *, is_mosaic: bool) -> FileContents:
    """Open a FITS file and tell its planes from their companions; it may be larger where only parts will be read.

    Raises:
        InputError: the file is damaged or too large, an image in it has more pixels than can be read, or fewer than it says.
        OSError: the file cannot be opened.
    """
    file = FitsFile(path, is_mosaic=is_mosaic)
    try:
        with explain_damage():
            return _sort_images(file)
    except BaseException:
        file.close()
        raise


def _sort_images(file: FitsFile) -> FileContents:
    """Companions are known by what they are called, or by holding whole numbers beside fluxes."""
    found = [image for image in file.images if not is_companion(image)]
    if not all(image.is_integer for image in found):
        found = [image for image in found if not image.is_integer or _read_band(file, image) in PICTURE_BANDS]
    companions = tuple(image for image in file.images if image not in found)
    planes: list[Plane] = []
    for image in found:
        file.require_sound(image)
        num_planes = math.prod(image.shape[:-2])
        if num_planes > _MOST_PLANES:
            size = " x ".join(str(length) for length in reversed(image.shape[-2:]))
            raise InputError(
                f"found {num_planes} planes of {size} in {name_image(image)}, expected at most {_MOST_PLANES} bands"
            )
        if num_planes == 1:
            place = (0,) * (len(image.shape) - 2)
            planes.append(Plane(name_image(image), _read_band(file, image), file, image, place, companions))
            continue
        for number, band in enumerate(_read_cube_bands(file, image, num_planes)):
            if band is None or not names_companion(band):
                place = (*(0,) * (len(image.shape) - 3), number)
                planes.append(Plane(f"plane {number + 1} of {name_image(image)}", band, file, image, place, companions))
    return FileContents(file, tuple(planes), companions)


def is_companion(image: FitsImage) -> bool:
    """Tell by its names whether an image shows errors, a mask, a model or the like."""
    kinds = (str(image.header.get(keyword, "")) for keyword in _KIND_KEYWORDS)
    is_galfit = str(image.header.get("OBJECT", "")).strip().lower() in _GALFIT_OBJECTS
    return is_galfit or any(names_companion(text) for text in (image.name, *kinds))


def name_image(image: FitsImage) -> str:
    """Return what to call an image: two chips of a camera have one name and two versions."""
    version = image.header.get("EXTVER", 1)
    return (image.name or f"HDU {image.number}") + (f",{version}" if version != 1 else "")


def _find(file: FitsFile, image: FitsImage, keywords: Sequence[str]) -> Any:
    # What holds for all extensions stands in a first header without an image; one with an image speaks of that.
    is_alone = file.primary.get("NAXIS", 0) == 0 or image.header.get("INHERIT") is True
    headers = (image.header, file.primary) if is_alone else (image.header,)
    return next((header[keyword] for header in headers for keyword in keywords if keyword in header), None)


def _read_band(file: FitsFile, image: FitsImage) -> str | None:
    own = [str(image.header.get(keyword, "")) for keyword in FILTER_KEYWORDS]
    shared = [str(_find(file, image, (keyword,)) or "") for keyword in FILTER_KEYWORDS]
    return find_band(own, image.name) or find_band(shared, "")


def _read_cube_bands(file: FitsFile, image: FitsImage, num_planes: int) -> list[str | None]:
    """Return the name of each plane of a cube: from BANDS, from BAND0, BAND1 and so on, from FILTER, or from what its axis is.

    The planes of a cube of one filter, or of wavelengths or polarisations, are no bands without a name.
    """
    listed = split_bands(str(image.header.get("BANDS", "")))
    if len(listed) == num_planes:
        return [find_letter(name) or name for name in listed]
    for keyword in ("BAND", "FILTER", "FILT", "PLANE"):
        for first in (0, 1):
            names = [str(image.header.get(f"{keyword}{first + number}", "")).strip() for number in range(num_planes)]
            if all(names):
                return [find_letter(name) or name for name in names]
    for keyword in _LISTING_KEYWORDS:
        letters = [find_letter(name) for name in split_bands(str(image.header.get(keyword, "")))]
        if len(letters) == num_planes and all(letters):
            return letters
    axis = str(image.header.get("CTYPE3", "")).strip().upper()
    if _OTHER_AXIS.match(axis):
        return [f"{axis} {number}" for number in range(1, num_planes + 1)]
    return [_read_band(file, image)] * num_planes
