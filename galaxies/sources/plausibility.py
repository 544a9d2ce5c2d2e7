"""Whether an image that was made of fluxes looks like one of a galaxy: what no header says, the pixels may.

A wrong factor of up to ten looks like a fainter or a nearer galaxy, and nobody can tell. What is told was measured on 1,800
real pictures (EFIGI, Galaxy10 DECaLS, Galaxy Zoo) and on the 50 of Galaxy10 as fluxes. H x W pixels, K and C bands.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galaxies.sources.notes import Note

# Counts or another unit make most of an image white; of the 2,488 galaxies of EFIGI none has more than 2 % of it.
_MOST_WHITE = 0.25
# Of 3,538 real galaxies (EFIGI, Galaxy10 DECaLS, Galaxy Zoo) none is less than 54 grey levels brighter than its sky.
_LEAST_CONTRAST = 16
# Grey levels of the darkest quarter: 111 at most, where a galaxy fills its image; with a sky of 0.05 nanomaggies 123 and more.
_BRIGHTEST_SKY = 120
# Grey levels by which a pixel differs from the mean of those two px to its sides, twice, in the median: 29 at most; of ten
# times the fluxes mostly 66, of thirty times 105.
_MOST_NOISE = 45
# A shallow survey, SDSS in pixels of this size, has some 70; of a hundred times the fluxes it is mostly 150.
_DOUBTED_NOISE = 120
# The deepest hole against the brightest light, over boxes of 5 px: 0.01 at most, of a negative 70; of an empty sky 1.
_DEEPEST_HOLE = 5.0
_BOX = 5
_ASK_UNIT = "are the fluxes nanomaggies a pixel?"


def measure_white(image: NDArray[Any]) -> float:
    """Return how many of the numbers of an image are the highest that there are."""
    return np.count_nonzero(image == (255 if image.dtype == np.uint8 else 1)) / image.size


def is_too_white(fraction: float) -> bool:
    """Tell whether so much of an image is white as of no galaxy's."""
    return fraction > _MOST_WHITE


def judge_image(image: NDArray[Any], fluxes: NDArray[np.float32]) -> list[Note]:
    """Return what is strange in an image (H, W, C) for one of a galaxy, given the fluxes (K, H, W) that it was made of.

    One of a galaxy is brighter than its sky, which is dark and not black: else it is in doubt. Much noise is a note, for a
    shallow survey has it; more than any has is a doubt.
    """
    if not (fluxes != fluxes[:, :1, :1]).any():
        return []  # It is blank, which is said elsewhere.
    unit = 1 if image.dtype == np.uint8 else 255
    doubts = [Note(text, is_doubt=True) for text in _find_reasons(image, fluxes, unit)][:1]
    noise = unit * _measure_noise(image)
    if doubts or noise <= _MOST_NOISE:
        return doubts
    text = f"pixels differ from their neighbours by {noise:.0f} grey levels, of the Legacy Surveys by some 15: {_ASK_UNIT}"
    return [Note(text, is_doubt=noise > _DOUBTED_NOISE)]


def _find_reasons(image: NDArray[Any], fluxes: NDArray[np.float32], unit: int) -> Iterator[str]:
    if is_too_white(white := measure_white(image)):
        yield f"{white:.0%} of the image is white: {_ASK_UNIT}"
    if _measure_hole(fluxes) > _DEEPEST_HOLE:
        yield "the image goes deeper below its sky than above it: is it the negative of one?"
    # Some pixels tell the sky's level, in a sixteenth of the time.
    grey = image[::4, ::4].mean(axis=2, dtype=np.float32) * unit
    darkest, median = np.percentile(grey, (25, 50))
    contrast = int(unit * float(image.max())) - int(unit * float(np.median(image[::4, ::4])))
    if contrast < _LEAST_CONTRAST:
        yield f"the brightest pixel is {contrast} grey levels above the sky: {_ASK_UNIT}"
    if darkest > _BRIGHTEST_SKY:
        yield f"the darkest quarter of the image has {darkest:.0f} grey levels, a sky has some 30: is the sky subtracted?"
    if median == 0:
        yield "more than half of the image is black: is too much subtracted for the sky?"


def _measure_noise(image: NDArray[Any]) -> float:
    """Return by how much pixels differ from those to their sides; second differences know no slopes."""
    rows = image[::8].astype(np.float32)  # Some rows tell it, in an eighth of the time.
    return float(np.median(np.abs(rows[:, 4:] - 2 * rows[:, 2:-2] + rows[:, :-4]))) if image.shape[1] > 4 else 0.0


def _measure_hole(fluxes: NDArray[np.float32]) -> float:
    """Return how far an image goes below its median, against how far above, both over boxes."""
    height, width = (length // _BOX for length in fluxes.shape[1:])
    boxes = fluxes.mean(axis=0)[: height * _BOX, : width * _BOX].reshape(height, _BOX, width, _BOX).mean(axis=(1, 3))
    if not boxes.size:
        return 0.0
    low, level, high = float(boxes.min()), float(np.median(boxes)), float(boxes.max())
    return (level - low) / (high - level) if high > level else math.inf
