"""Image files of any origin: which are read, how, and what to say of those that cannot be."""

import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from galaxies.errors import READER_ERRORS

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".jp2", ".ppm", ".pgm")
FITS_SUFFIXES = (".fz", *(f"{fits}{packed}" for fits in (".fits", ".fit", ".fts") for packed in ("", ".gz", ".bz2", ".xz")))
"""Fluxes, not pictures (``fits_files``)."""

# A PNG of some kilobytes can unpack to gigabytes; cutouts of galaxies are far below this.
MAX_PIXELS = 4096 * 4096

DAMAGE_ERRORS = (*READER_ERRORS, lzma.LZMAError, Image.DecompressionBombError)
"""What the readers of image files raise on damaged bytes."""

# Pillow knows dozens of formats, and one of them starts another program; what is none of ours is no image here.
_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "JPEG2000", "PPM")
# Modes that turn into RGB without a choice: grey levels repeat, a palette looks up, CMYK is what JPEG may hold.
_CONVERTIBLE = ("RGB", "L", "P", "CMYK", "YCbCr", "RGBA", "LA", "1")


def read_image(file: Path | BinaryIO) -> NDArray[np.uint8]:
    """Return the pixels of a picture, a file or its bytes, upright as its EXIF says: (H, W, 3) uint8.

    Raises one of DAMAGE_ERRORS, for :func:`say_damage` to put in words, also for pixels that have no one way to 8-bit RGB.
    """
    with _open_image(file) as image:
        ImageOps.exif_transpose(image, in_place=True)
        # Without a copy of what is RGB already, a tenth of the time.
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def read_size(file: Path) -> tuple[int, int]:
    """Return (width, height) from the header alone. Raises as :func:`read_image` does, where the header tells."""
    with _open_image(file) as image:
        return image.size


@contextmanager
def _open_image(file: Path | BinaryIO) -> Iterator[Image.Image]:
    with Image.open(file, formats=_FORMATS) as image:
        for reason in _reasons_against(image):
            raise ValueError(reason)
        yield image


def _reasons_against(image: Image.Image) -> Iterator[str]:
    if image.width * image.height > MAX_PIXELS:
        yield f"{image.width} x {image.height} px, more than the limit of {MAX_PIXELS:,} pixels"
    elif image.mode not in _CONVERTIBLE:
        yield f"pixels of the kind {image.mode}; save it as 8-bit RGB: how 16 bits become 8 is the observer's choice"
    elif any(";16" in str(tile) for tile in getattr(image, "tile", ())):
        yield "16 bits a colour; save it with 8: how 16 bits become 8 is the observer's choice"
    elif image.has_transparency_data and image.convert("RGBA").getextrema()[-1] != (255, 255):
        yield "transparent pixels; save it without an alpha channel"
    if getattr(image, "n_frames", 1) > 1:
        yield "several pictures in one file; save the one that is meant"


def say_damage(error: BaseException) -> str:
    """Return one line that says why a file could not be read."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, UnidentifiedImageError):
        return f"not an image ({', '.join(_FORMATS)})"
    text = str(error).splitlines()[0] if str(error) else ""
    # A KeyError says no more than the key.
    return f"{type(error).__name__}: {text}".rstrip(": ") if isinstance(error, LookupError) or not text else text
