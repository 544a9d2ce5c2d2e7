"""The part of an image that shows one galaxy: all of a cutout, or a field around a position in a mosaic.

H x W pixels, counted from 0 at the middle of the first, in the file's order.
"""

import math
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.nddata import overlap_slices
from astropy.wcs import WCS, NoConvergence, Sip
from astropy.wcs.utils import skycoord_to_pixel
from numpy.typing import NDArray

from galaxies.errors import InputError
from galaxies.sources.fits_planes import Plane
from galaxies.sources.notes import Note

# A position this near to the middle of an image is that of the galaxy it was cut for.
_SAME_PIXEL = 1.0
# A galaxy nearer to the edge has more than a quarter of its field cut off.
_NEAREST_EDGE = 0.25  # of the field
# The axes of these are those of the catalogue to a few hundredths of an arcsec, those of FK5 at its usual equinox alone.
_SAME_AXES = ("", "ICRS", "FK5")
_USUAL_EQUINOX = 2000.0


@dataclass(frozen=True)
class Cut:
    """A rectangle of a plane; it may reach over its edges."""

    plane: Plane
    top: int  # the first row, negative beyond the edge
    left: int  # the first column
    height: int
    width: int

    @property
    def inside(self) -> tuple[slice, slice]:
        """Rows and columns of the plane that it has."""
        height, width = self.plane.shape
        rows = slice(max(0, self.top), min(height, self.top + self.height))
        return rows, slice(max(0, self.left), min(width, self.left + self.width))

    @property
    def outside_fraction(self) -> float:
        """How much of it is beyond the edges."""
        rows, columns = self.inside
        num_inside: int = (rows.stop - rows.start) * (columns.stop - columns.start)
        return 1 - num_inside / (self.height * self.width)

    @property
    def middle(self) -> tuple[float, float]:
        """The place in the plane, x and y, of its middle."""
        return self.left + (self.width - 1) / 2, self.top + (self.height - 1) / 2

    @property
    def wcs(self) -> WCS | None:
        """Where on the sky its own pixels are."""
        if self.plane.wcs is None:
            return None
        wcs, origin = deepcopy(self.plane.wcs), np.array([self.left, self.top])
        wcs.wcs.crpix -= origin
        if wcs.sip is not None:
            wcs.sip = Sip(wcs.sip.a, wcs.sip.b, wcs.sip.ap, wcs.sip.bp, wcs.sip.crpix - origin)
        return wcs

    def embed(self, inside: NDArray[np.float32], fill: float) -> NDArray[np.float32]:
        """Return (height, width) with the pixels ``inside`` where they belong and ``fill`` beyond the edges."""
        if inside.shape == (self.height, self.width):
            return inside
        whole = np.full((self.height, self.width), fill, inside.dtype)
        rows, columns = self.inside
        whole[rows.start - self.top : rows.stop - self.top, columns.start - self.left : columns.stop - self.left] = inside
        return whole


def cut_whole(plane: Plane) -> Cut:
    """Return all of a plane."""
    return Cut(plane, 0, 0, *plane.shape)


def cut_position(plane: Plane, ra: float, dec: float, side: float) -> Cut:
    """Return the square around a position, at least ``side`` px wide.

    Where the position is in the middle of the plane to a pixel, the square keeps exactly to the middle and within the edges.

    Raises InputError when the position is outside the plane, or on the other side of the sky.
    """
    height, width = plane.shape
    x, y = _find_pixel(plane, ra, dec)
    if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
        found = f"x = {x:.0f}, y = {y:.0f}" if math.isfinite(x + y) else "on the other side of the sky"
        raise InputError(f"the position ra {ra:g}, dec {dec:g} lies outside the image of {width} x {height} px ({found})")
    size = math.ceil(side)
    if max(abs(x - (width - 1) / 2), abs(y - (height - 1) / 2)) <= _SAME_PIXEL:
        # As many pixels as keep the middle: an odd number of an odd number.
        rows, columns = (min(length, size + (length - size) % 2) for length in (height, width))
        return Cut(plane, (height - rows) // 2, (width - columns) // 2, rows, columns)
    # As astropy's Cutout2D does.
    inside, placed = overlap_slices((height, width), (size, size), (y, x), mode="partial")
    top, left = (int(whole.start - part.start) for whole, part in zip(inside, placed, strict=True))
    return Cut(plane, top, left, size, size)


def say_edge(cut: Cut) -> list[Note]:
    """Return a note where a cut reaches over the edges, a doubt where its galaxy may do so too."""
    if cut.outside_fraction == 0:
        return []
    x, y = cut.middle
    height, width = cut.plane.shape
    nearest = min(x + 0.5, y + 0.5, width - 0.5 - x, height - 0.5 - y)
    text = f"the image ends {nearest:.0f} px from the galaxy: {cut.outside_fraction:.0%} of its field is taken as empty sky"
    return [Note(text, is_doubt=nearest < _NEAREST_EDGE * min(cut.height, cut.width))]


def _find_pixel(plane: Plane, ra: float, dec: float) -> tuple[float, float]:
    """Return x and y of a position, not finite where the projection does not reach it."""
    wcs = plane.wcs
    assert wcs is not None  # Asked only of planes that have one.
    try:
        if _has_same_axes(wcs):
            x, y = (float(place) for place in wcs.all_world2pix(ra, dec, 0, ra_dec_order=True))
        else:
            x, y = (float(place) for place in skycoord_to_pixel(SkyCoord(ra, dec, unit=units.deg), wcs, origin=0))
    except (NoConvergence, ValueError):
        return math.nan, math.nan
    return x, y


def _has_same_axes(wcs: WCS) -> bool:
    system = wcs.wcs.radesys.strip()
    is_precessed = system == "FK5" and math.isfinite(wcs.wcs.equinox) and wcs.wcs.equinox != _USUAL_EQUINOX
    return wcs.wcs.lngtyp == "RA" and system in _SAME_AXES and not is_precessed
