"""Grids of pixels on the sky: how large a pixel is and whether it is a square, and one grid for the bands of a galaxy.

K bands, H x W pixels, counted from 0 at the middle of the first, in the file's order.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.wcs.utils import pixel_to_pixel
from numpy.typing import NDArray
from scipy import ndimage

from galaxies.errors import InputError
from galaxies.sources.fits_planes import Plane
from galaxies.sources.notes import Note
from galaxies.sources.sky_cutouts import Cut

# The sides of a pixel in arcsec, or of a square one.
_SCALE_KEYWORDS = (
    *(("PIXSCALE",), ("PXSCALE",), ("PIXSCAL1", "PIXSCAL2"), ("SECPIX1", "SECPIX2"), ("PIXSCAL1",), ("SECPIX",)),
    *(("PIXELSCL",), ("PIXSCL",), ("PIXSIZE",), ("SCALE",)),
)
# Under these others write a detector's pixel in micrometres, or a factor.
_AMBIGUOUS_KEYWORDS = ("PIXSIZE", "SCALE")
_LARGEST_AMBIGUOUS = 5.0
_ANGLE = re.compile(
    r"""(?P<number>[\d.]+(e[+-]?\d+)?)\s*(?P<unit>"|''|arcsec\w*|asec|deg\w*)?\s*(/\s*pix\w*|per pix\w*)?""", re.IGNORECASE
)
_PLAUSIBLE_ARCSEC = (1e-3, 1e3)
_ARCSEC = math.degrees(1) * 3600  # in a radian
# Sides that differ by less are taken for equal: 1 % is 2 px over a galaxy of 200.
_SAME_SIDE = 0.01
_MOST_STRETCHED = 5.0
# Bands that are apart by less than this, px, are taken as one grid.
_SAME_PIXEL = 1.0


@dataclass(frozen=True)
class PixelShape:
    """How an image's pixel lies on the sky, apart from turns and mirror images, which change no galaxy."""

    stretch: NDArray[np.float64]  # (2, 2) symmetric, from px (x, y) to arcsec; NaN where unknown

    @property
    def pxscale(self) -> float:
        """Side of a square of the same area in arcsec, NaN where unknown."""
        return math.sqrt(abs(float(np.linalg.det(self.stretch))))

    @property
    def sides(self) -> tuple[float, float]:
        """The longest and the shortest way across in arcsec."""
        shortest, longest = np.linalg.eigvalsh(self.stretch).tolist()
        return longest, shortest

    @property
    def is_square(self) -> bool:
        """Tell whether it is one, as far as is known."""
        if not np.isfinite(self.stretch).all():
            return True
        longest, shortest = self.sides
        return longest < shortest * (1 + _SAME_SIDE)

    @property
    def shrinkage(self) -> float:
        """By how much shorter than a square of its area the squares are to which it is resampled; 1 where it is one itself."""
        return 1.0 if self.is_square else self.sides[1] / self.pxscale


_UNKNOWN_SHAPE = PixelShape(np.full((2, 2), np.nan))


def measure_pixel(plane: Plane, x: float, y: float) -> PixelShape:
    """Return the shape of the pixel at a place in a plane: from the WCS, else from a keyword, else unknown."""
    if plane.wcs is not None:
        corners = np.array([[x - 0.5, y], [x + 0.5, y], [x, y - 0.5], [x, y + 0.5]])
        world = np.radians(plane.wcs.all_pix2world(corners, 0))
        longitude, latitude = world[:, plane.wcs.wcs.lng], world[:, plane.wcs.wcs.lat]
        x, y = np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude)
        points = np.stack([x, y, np.sin(latitude)], axis=1)  # (4, 3)
        steps = (points[1::2] - points[::2]) * _ARCSEC  # (2, 3): one px along x, one along y
        shape = _shape_of(steps @ steps.T)
        if shape is not None:
            return shape
    areas = [(plane.find("PIXAR_A2"), 1.0), (plane.find("PIXAR_SR"), _ARCSEC)]
    candidates = [(math.sqrt(area) * unit,) for area, unit in areas if isinstance(area, float) and area > 0]
    for sides in (*candidates, *(tuple(_read_side(plane, keyword) for keyword in keywords) for keywords in _SCALE_KEYWORDS)):
        shape = _shape_of(np.diag(np.square([sides[0], sides[-1]])))
        if shape is not None:
            return shape
    return _UNKNOWN_SHAPE


def _read_side(plane: Plane, keyword: str) -> float:
    """Return the side of a pixel in arcsec that a keyword tells, as a number or as text, NaN where it tells none."""
    value, is_deg = plane.find(keyword), False
    if isinstance(value, str):
        match = _ANGLE.fullmatch(value.strip())
        value, is_deg = (_float(match["number"]), str(match["unit"]).lower().startswith("deg")) if match else (None, False)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        return math.nan
    if keyword in _AMBIGUOUS_KEYWORDS and (value > _LARGEST_AMBIGUOUS or value == 1):
        return math.nan
    return float(value) * (3600 if is_deg else 1)


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # 0.2.6
        return math.nan


def _shape_of(metric: NDArray[np.float64]) -> PixelShape | None:
    """Return the shape of a pixel of which ``metric`` tells lengths and angle, None where it cannot be one of an image."""
    if not np.isfinite(metric).all():
        return None
    squares, directions = np.linalg.eigh(metric)
    sides = np.sqrt(np.maximum(squares, 0))
    if not all(_PLAUSIBLE_ARCSEC[0] < side < _PLAUSIBLE_ARCSEC[1] for side in sides):
        return None
    return PixelShape((directions * sides) @ directions.T)


def align_bands(cuts: Sequence[Cut], fluxes: list[NDArray[np.float32]]) -> list[Note]:
    """Bring the bands onto the pixels of the first, in place, where their WCS say that they lie elsewhere.

    Args:
        cuts: what each band shows.
        fluxes: of each band (H, W), of which some are replaced; NaN where a band does not reach.

    Raises:
        InputError: a band shows another part of the sky, or sizes differ and no WCS tells how they belong together.
    """
    first, moved = cuts[0], []
    for number, cut in enumerate(cuts[1:], 1):
        offset = _measure_offset(first, cut)
        if math.isnan(offset):
            _require_same_grid(first, cut)
        elif offset > _SAME_PIXEL or fluxes[number].shape != fluxes[0].shape:
            fluxes[number] = _reproject(cut, fluxes[number], first)
            moved.append(f"{cut.plane.label} ({offset:.1f} px)")
            if not np.isfinite(fluxes[number]).any():
                raise InputError(
                    f"the bands show different parts of the sky: {cut.plane.label} has no pixel where {first.plane.label} is"
                )
    return [Note(f"resampled onto the pixels of {first.plane.label}: {', '.join(moved)}")] if moved else []


def _measure_offset(first: Cut, other: Cut) -> float:
    """Return by how many px of the first the middle or a corner of it lies elsewhere in the other; NaN where no WCS tells."""
    if first.plane.image is other.plane.image:
        return 0.0
    if first.plane.wcs is None or other.plane.wcs is None:
        return math.nan
    (x, y), half_x, half_y = first.middle, (first.width - 1) / 2, (first.height - 1) / 2
    places = np.array([(x + i * half_x, y + j * half_y) for i, j in ((0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))])  # (5, 2)
    found = np.stack(pixel_to_pixel(first.plane.wcs, other.plane.wcs, *places.T), axis=1)
    distances = np.hypot(*((found - (other.left, other.top)) - (places - (first.left, first.top))).T)
    return float(distances.max()) if np.isfinite(distances).all() else math.inf


def _require_same_grid(first: Cut, other: Cut) -> None:
    names = f"{first.plane.label} and {other.plane.label}"
    if (first.height, first.width) != (other.height, other.width):
        sizes = " and ".join(f"{cut.width} x {cut.height} px" for cut in (first, other))
        raise InputError(f"the bands {names} have different sizes, {sizes}, and no WCS that tells how they lie")
    scales = [measure_pixel(cut.plane, *cut.middle).pxscale for cut in (first, other)]
    if np.isfinite(scales).all() and max(scales) > min(scales) * (1 + _SAME_SIDE):
        found = " and ".join(f"{scale:.4g}" for scale in scales)
        raise InputError(f"the bands {names} have different pixel scales, {found} arcsec, and no WCS that tells how they lie")


def _reproject(cut: Cut, fluxes: NDArray[np.float32], onto: Cut) -> NDArray[np.float32]:
    # Few need it, and it takes a second to import.
    from reproject import reproject_interp

    shape = (onto.height, onto.width)
    moved = reproject_interp((fluxes, cut.wcs), onto.wcs, shape_out=shape, order="bilinear", return_footprint=False)
    return np.asarray(moved, np.float32)


def count_squares(shape: PixelShape, width: int, height: int) -> tuple[int, int]:
    """Return the width and height in square pixels, as long as the shortest side, of an image of such pixels.

    They are those of the largest upright rectangle, of the image's proportions, with all of its corners in the image.
    """
    if shape.is_square:
        return width, height
    old = np.array([width, height], np.float64)
    new = np.diag(shape.stretch) / shape.sides[1] * old
    corners = np.array([[1, 1], [1, -1]]) * new
    new *= min(1.0, float((old / np.abs(corners @ _step(shape).T)).min()))
    return max(1, int(new[0] + 1e-6)), max(1, int(new[1] + 1e-6))


def _step(shape: PixelShape) -> NDArray[np.float64]:
    """Return the matrix (2, 2) from px of the new grid to px of the old, both from the middle, as (x, y)."""
    return np.asarray(np.linalg.inv(shape.stretch) * shape.sides[1], np.float64)


def make_square(fluxes: NDArray[np.float32], shape: PixelShape) -> tuple[NDArray[np.float32], list[Note]]:
    """Resample bands (K, H, W) to square pixels as large as the shortest side, where their pixels are none.

    What was not square would be squashed: a round galaxy would be an edge-on one.

    Returns:
        The bands (K, H', W'), whose pixels are smaller by ``shape.shrinkage``, and a note.

    Raises:
        InputError: pixels so long that hardly anything would be left to see.
    """
    if shape.is_square:
        return fluxes, []
    longest, shortest = shape.sides
    if longest > _MOST_STRETCHED * shortest:
        raise InputError(
            f"the pixels are {longest:.3g} arcsec long and {shortest:.3g} wide, which shows no shape; is the WCS right?"
        )
    width, height = count_squares(shape, fluxes.shape[2], fluxes.shape[1])
    # Arrays count (y, x).
    matrix = _step(shape)[::-1, ::-1]
    offset = (np.array(fluxes.shape[1:]) - 1) / 2 - matrix @ ((np.array([height, width]) - 1) / 2)
    bands = [
        ndimage.affine_transform(band, matrix, offset, (height, width), order=1, mode="nearest", output=np.float32)
        for band in fluxes
    ]
    return np.stack(bands), [
        Note(f"pixels of {longest:.3g} x {shortest:.3g} arcsec resampled to squares of {shortest:.3g} arcsec")
    ]
