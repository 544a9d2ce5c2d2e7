"""Pixels without a measurement: not finite, a number that stands for none, or flagged by the file's own masks. H x W pixels."""

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from galaxies.sources.fits_names import words_of
from galaxies.sources.fits_pixels import FitsImage
from galaxies.sources.fits_planes import Plane

# No unit of flux makes a pixel so bright: the least 64-bit integer, -9.2e18, and the largest floats stand for nothing.
_LARGEST = 1e18
_SENTINELS = (-99.0, -999.0, -9999.0, -99999.0, -32768.0)
# Any other constant stands for nothing if it fills so many pixels and lies so far from all others.
_FEWEST_PIXELS = 16
_LEAST_FRACTION = 1e-3
_FAR_SIGMAS = 20.0
_LEAST_GAP = 0.5  # to the next pixel, of its distance from the sky
_MOST_CONSTANTS = 4
_LEAST_INSIDE = 0.25  # of a block of zeros has zeros all around
# Noise around an empty sky is negative in half of the pixels: where much is, an exact 0 was not measured.
_LEAST_NEGATIVE = 0.1
_DEVIATION_OF_MAD = 1.4826  # of a normal distribution
_NOISE_PIXELS = 10_000

# Holes less deep, px, are filled in from around them. In the cores of 50 galaxies of Galaxy10 DECaLS, holes of 3 to 5 px radius
# taken for sky left 25 (3 px) and 18 (4 px) their class; filled in, 50 to 48.
_DEEPEST_HOLE = 6.0
_HOLE_SIGMA = 1.5

_WEIGHT_WORD = re.compile("wht|wgt|wt|wtmap|weights?|ivar|invvar|n?exp|expmap|exptime|coverage|nimages")
_FLAG_WORD = re.compile("dq|dqmask|masks?|msk|flags?|quality")
# By telescope, the bits of its flags that mean no measurement. JWST: DO_NOT_USE; Hubble: lost, filled in, bad pixel.
_FLAG_BITS = {"JWST": 1, "HST": 1 | 2 | 4}
# The pipeline of Rubin and Subaru's HSC names the bits of its MASK in the header.
_NO_DATA_KEYWORD = "MP_NO_DATA"
# Flags that leave nothing mean something else.
_MOST_FLAGGED = 0.999


def find_missing(pixels: NDArray[np.float32], *, is_whole: bool) -> tuple[NDArray[np.bool_], list[str]]:
    """Return which pixels (H, W) hold no measurement by their own numbers, and in words what stands there instead.

    Args:
        pixels: in the file's unit.
        is_whole: whether the file holds whole numbers, scaled or not, of which many are the same.
    """
    missing = ~np.isfinite(pixels)
    reasons = ["not finite"] if missing.any() else []
    huge = np.abs(pixels) >= _LARGEST
    huge &= ~missing
    if huge.any():
        reasons.append(f"{pixels[huge][0]:.3g}")
        missing |= huge
    for value in _constants(pixels, missing, is_whole):
        missing |= pixels == np.float32(value)
        reasons.append(f"{value:g}")
    return missing, reasons


def measure_below(pixels: NDArray[np.float32], missing: NDArray[np.bool_]) -> float:
    """Return how much of an image (H, W) lies so far below the sky as no noise does, among what is not ``missing``.

    A number that stands for no measurement is no constant any more where the sky was subtracted, or pixels were resampled.
    """
    measured = pixels[~missing]
    if not measured.size:
        return 0.0
    level, noise = _measure_sky(measured)
    return float(np.mean(measured < level - _FAR_SIGMAS * noise)) if noise > 0 else 0.0


def find_flagged(plane: Plane, rows: slice, columns: slice) -> tuple[NDArray[np.bool_] | None, list[str]]:
    """Return which pixels of a part of a plane its companions say are not measured, None where none says so, and which do.

    A weight or an exposure of 0 says so, and the flags whose meaning is known; what other flags mean is not guessed.
    """
    flagged: NDArray[np.bool_] | None = None
    reasons = []
    for image in plane.companions:
        if image.shape[-2:] != plane.shape or not _belongs(plane, image):
            continue
        words = words_of(f"{image.name} {image.header.get('IMAGETYP', '')}")
        place = plane.place if image.shape == plane.image.shape else (0,) * (len(image.shape) - 2)
        bits = _find_bits(plane, image) if image.is_integer and any(map(_FLAG_WORD.fullmatch, words)) else 0
        if not bits and not any(map(_WEIGHT_WORD.fullmatch, words)):
            continue
        plane.file.require_sound(image)
        # Flags in high bits would round those in low bits away.
        values = image.read(place, rows, columns, np.int64 if bits else np.float32)
        found = values & bits != 0 if bits else ~(values > 0)
        if found.any() and found.mean() <= _MOST_FLAGGED:
            flagged = found if flagged is None else flagged | found
            reasons.append(f"flagged in {image.name}" if bits else f"without weight in {image.name}")
    return flagged, reasons


def fill_holes(fluxes: NDArray[np.float32], missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill small holes of a band (H, W) in from around them, in place; return which pixels are still missing.

    A cosmic ray or a saturated core that was taken for sky would be a hole in the galaxy.
    """
    regions, num_regions = ndimage.label(missing, np.ones((3, 3)))
    if not num_regions:
        return missing
    depth = ndimage.distance_transform_edt(missing)
    deepest = ndimage.maximum(depth, regions, np.arange(num_regions + 1))
    is_hole = np.asarray(deepest) <= _DEEPEST_HOLE
    is_hole[np.unique(np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]]))] = False
    hole: NDArray[np.bool_] = missing & is_hole[regions]
    if hole.any():
        known = np.where(missing, 0, fluxes)
        weight = ndimage.gaussian_filter((~missing).astype(np.float32), _HOLE_SIGMA)
        fluxes[hole] = (ndimage.gaussian_filter(known, _HOLE_SIGMA) / np.maximum(weight, 1e-6))[hole]
    return np.asarray(missing & ~hole)


def _belongs(plane: Plane, image: FitsImage) -> bool:
    """Tell whether a companion is that of ``plane``, where a file has several: by the version, or by a band in its name."""
    if image.header.get("EXTVER", 1) != plane.image.header.get("EXTVER", 1):
        return False
    bands = set("ugrizy") & set(words_of(image.name))
    return not bands or plane.band is None or plane.band in bands


def _find_bits(plane: Plane, image: FitsImage) -> int:
    bit = image.header.get(_NO_DATA_KEYWORD)
    if isinstance(bit, int) and 0 <= bit < 32:
        return 1 << bit
    return _FLAG_BITS.get(str(plane.find("TELESCOP") or "").strip().upper(), 0)


def _constants(pixels: NDArray[np.float32], missing: NDArray[np.bool_], is_whole: bool) -> Iterator[float]:
    """Yield the numbers that stand for no measurement, beside those that are ``missing`` already."""
    enough = max(_FEWEST_PIXELS, _LEAST_FRACTION * pixels.size)
    measured = pixels[~missing] if missing.any() else pixels.ravel()
    for value in _SENTINELS:
        # Of one pixel that is far below the sky nothing else can be thought; amid the noise many must be the same.
        is_value = measured == np.float32(value)
        if is_value.any() and not is_value.all():
            others = measured[~is_value]
            level, noise = _measure_sky(others)
            if value < level - _FAR_SIGMAS * noise or (not is_whole and is_value.sum() >= enough):
                yield value
                measured = others
    if not is_whole and _is_blank_at_0(pixels, measured, enough):
        yield 0.0
        measured = measured[measured != 0]
    for _ in range(_MOST_CONSTANTS):
        constants = [value for value in _extremes(measured) if _stands_out(measured, value, enough)]
        if not constants:
            return
        yield from constants
        measured = measured[~np.isin(measured, np.array(constants, np.float32))]


def _extremes(measured: NDArray[np.float32]) -> list[float]:
    return [float(measured.min()), float(measured.max())] if measured.size else []


def _stands_out(measured: NDArray[np.float32], value: float, enough: float) -> bool:
    """Tell whether the lowest or highest number fills many pixels, far outside the noise, with nothing between it and others.

    The core of a saturated star fills many too, but what surrounds it is nearly as bright.
    """
    is_value = measured == np.float32(value)
    if is_value.sum() < enough or is_value.all():
        return False
    others = measured[~is_value]
    level, noise = _measure_sky(others)
    distance = abs(value - level)
    gap = float(np.abs(others - np.float32(value)).min())
    return noise > 0 and distance > _FAR_SIGMAS * noise and gap > _LEAST_GAP * distance


def _is_blank_at_0(pixels: NDArray[np.float32], measured: NDArray[np.float32], enough: float) -> bool:
    """Tell whether 0 stands for no measurement: outside its coverage a survey's image is exactly 0, in whole blocks.

    A lossy compression scatters exact zeros over an empty sky.
    """
    num_0 = np.count_nonzero(measured == 0)
    if not enough <= num_0 < measured.size or np.count_nonzero(measured < 0) <= _LEAST_NEGATIVE * (measured.size - num_0):
        return False
    inside = ndimage.binary_erosion(pixels == 0, np.ones((3, 3)))
    return bool(np.count_nonzero(inside) > _LEAST_INSIDE * num_0)


def _measure_sky(measured: NDArray[np.float32]) -> tuple[float, float]:
    """Return the level of the sky and its noise, of some pixels."""
    some = measured[:: max(1, measured.size // _NOISE_PIXELS)].astype(np.float64)
    level = float(np.median(some))
    return level, _DEVIATION_OF_MAD * float(np.median(np.abs(some - level)))
