"""Make an image square, and make it show as much of the sky as the images of training do.

H x W pixels of any image, C bands, S image size of training.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from galaxies.data.field_of_view import FieldOfView
from galaxies.errors import InputError
from galaxies.sources.notes import Note

# A larger image only costs memory: the backbone sees some 224 px of it.
_LARGEST_SIZE = 1024
_FEWEST_PIXELS = 8
# An image that falls short of the field by less shows it: over 256 px it is a quarter of a pixel.
_SAME_FIELD = 1e-3


def frame_image(
    image: NDArray[Any], pxscale: float, field: FieldOfView | None, *, as_is: bool = False
) -> tuple[NDArray[Any], list[Note]]:
    """Make an image square, and make it show the field of the training images where its scale is known.

    Args:
        image: (H, W, C) uint8, or floats from 0 to 1.
        pxscale: arcsec/px, NaN where unknown.
        field: what the training images show; None where that is unknown.
        as_is: the image is the field, whatever its scale.

    Returns:
        The image (S', S', C), and notes on what was done. Where all training images were brought to one size, S' is that;
        else it is at most 1,024, or the size of the training images.

    Raises:
        InputError: the pixel scale is not above 0, the image has a few pixels only, or at this scale the field of the training
            images has, or the image fills a few pixels of that field.
    """
    if pxscale <= 0:
        raise InputError(f"pxscale: found {pxscale:g}, expected arcsec/px above 0")
    image, notes = _crop_square(image)
    size = len(image)
    if size < _FEWEST_PIXELS:
        raise InputError(f"{size} x {size} px show no galaxy, expected are at least {_FEWEST_PIXELS} x {_FEWEST_PIXELS}")
    if as_is:
        notes.append(Note(f"taken as it is, as was asked for{_say_field(size, pxscale)}"))
    elif not np.isfinite(pxscale):
        notes.append(Note("no pixel scale: taken as it is"))
    elif field is None or field.arcsec is None:
        notes.append(Note("pixel scale not used: that of the training images is unknown"))
    elif not field.has_seen(size, pxscale):
        image, note = _resample(image, pxscale, field.image_size, field.arcsec)
        notes.append(Note(note))
    wanted = _choose_size(len(image), field)
    return (_resize(image, wanted, (0.0, 0.0, float(size), float(size))) if wanted != len(image) else image), notes


def _choose_size(size: int, field: FieldOfView | None) -> int:
    """Return the size of an image at last: that which all have, else its own, unless it is needlessly large."""
    if field is not None and (field.is_framed or size == field.image_size):
        return field.image_size
    return min(size, _LARGEST_SIZE)


def _say_field(size: int, pxscale: float) -> str:
    return f"; it shows {size * pxscale:.3g} arcsec" if np.isfinite(pxscale) else ""


def _crop_square(image: NDArray[Any]) -> tuple[NDArray[Any], list[Note]]:
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    notes = [] if height == width else [Note(f"cropped from {width} x {height} px to the square in its middle")]
    return image[top : top + side, left : left + side], notes


def _resample(image: NDArray[Any], pxscale: float, image_size: int, arcsec: float) -> tuple[NDArray[Any], str]:
    """Return the middle of an image as training images show it; where it shows less, its border's colour goes on."""
    size = len(image)
    wanted = arcsec / pxscale  # px of this image
    inner = round(image_size * size / wanted)
    if wanted < _FEWEST_PIXELS or inner < _FEWEST_PIXELS:
        raise InputError(
            f"at {pxscale:g} arcsec/px the image shows {size * pxscale:.2g} arcsec, the training images show {arcsec:.1f}; is "
            "the pixel scale right?"
        )
    if wanted <= size * (1 + _SAME_FIELD):
        margin = max(0.0, (size - wanted) / 2)
        box = (margin, margin, size - margin, size - margin)
        return _resize(image, image_size, box), f"cropped and resampled from {size * pxscale:.1f} to {arcsec:.1f} arcsec"
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])  # (4 S', C)
    canvas = np.empty((image_size, image_size, image.shape[2]), image.dtype)
    canvas[...] = np.median(border, axis=0).astype(image.dtype)
    start = (image_size - inner) // 2
    canvas[start : start + inner, start : start + inner] = _resize(image, inner, (0.0, 0.0, float(size), float(size)))
    return canvas, f"shows {size * pxscale:.1f} of {arcsec:.1f} arcsec: the rest is filled with the colour of its border"


def _resize(image: NDArray[Any], size: int, box: tuple[float, float, float, float]) -> NDArray[Any]:
    """Return a part of an image (H, W, C) as (size, size, C), in the same numbers."""
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return np.asarray(_lanczos(image, size, box))
    # Pillow knows numbers that are no whole grey levels only one band at a time.
    planes = [np.asarray(_lanczos(np.asarray(image[..., band], np.float32), size, box)) for band in range(image.shape[2])]
    resized = np.stack(planes, axis=-1)
    if image.dtype == np.uint8:
        return np.asarray(resized.round().clip(0, 255), np.uint8)
    return np.asarray(resized.clip(0, 1), image.dtype)


def _lanczos(image: NDArray[Any], size: int, box: tuple[float, float, float, float]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(image)).resize((size, size), Image.Resampling.LANCZOS, box)
