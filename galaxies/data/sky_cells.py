"""The sky in HEALPix cells: which one a galaxy lies in, which others it comes near, and how fine they should be.

Legend: N galaxies, A some of them, P pairs, C cells, D points on a circle.
"""

from collections.abc import Sequence

import numpy as np
from astropy_healpix import boundaries_lonlat, nside_to_pixel_area, xyz_to_healpix
from numpy.typing import NDArray

from galaxies.data.sky import sky_directions
from galaxies.errors import InputError

MAX_NSIDE = 1 << 13
"""Cells 26 arcsec wide; finer ones hold no galaxy that is further than any radius in use from a border."""

LARGEST_SHARE = 0.02
"""Of the galaxies, in one piece that cannot be divided: a larger one moves the share of a split by points."""

LOST_SHARE = 0.05
"""Of the galaxies, that lie so near to a border between splits that none can have them: no more where it can be chosen."""

_ORDER = "nested"
_NUM_DIRECTIONS = 16

# Across a cell, an offset of one from its border is at least 0.677 of the mean width of cells on the sky (measured along
# the sides of all cells of nside 1 to 16 and of 2,600 of nside 64).
_LEAST_WIDTH = 0.6

_BLOCK_GALAXIES = 1 << 15


def cell_of(directions: NDArray[np.float64], nside: int) -> NDArray[np.int64]:
    """Return the HEALPix cell, in nested order, of directions (N, 3), of length 1: (N,); NaN lies in none, which is -1."""
    known = np.isfinite(directions).all(axis=1)
    cell = np.full(len(directions), -1, np.int64)
    cell[known] = xyz_to_healpix(*directions[known].T, nside, order=_ORDER)
    return cell


def find_contacts(directions: NDArray[np.float64], nside: int, radius_arcsec: float) -> NDArray[np.int64]:
    """Return which galaxies have a place within ``radius_arcsec`` that lies in another cell than they do.

    Where two cells have different splits, these are the galaxies too near to the border between them. A border is straight on
    the scale of the radius, so one that comes within it crosses a circle that is 2 % wider in at least one of 16 directions;
    only a corner of a cell can hide between two of them, and corners are looked at by themselves.

    Args:
        directions: of the galaxies, (N, 3); NaN is unknown and near nothing.
        nside: of the cells, which must be wider than four radii.
        radius_arcsec: the distance.

    Returns:
        Pairs of a galaxy's index and another cell near it, (P, 2), each once, ascending.
    """
    known = np.flatnonzero(np.isfinite(directions).all(axis=1))
    reach = np.deg2rad(radius_arcsec / 3600) / np.cos(np.pi / _NUM_DIRECTIONS)
    found = [np.empty((0, 2), np.int64)]
    for start in range(0, len(known), _BLOCK_GALAXIES):
        block = known[start : start + _BLOCK_GALAXIES]
        cell, *offsets = xyz_to_healpix(*directions[block].T, nside, order=_ORDER, return_offsets=True)
        margin = np.min([np.minimum(offset, 1 - offset) for offset in offsets], axis=0)
        near = margin < reach / (_LEAST_WIDTH * _cell_width(nside))
        found.append(_look_around(block[near], directions[block[near]], cell[near], nside, reach))
    return np.concatenate(found)


def choose_nside(directions: NDArray[np.float64], radius_arcsec: float, fractions: Sequence[float]) -> int:
    """Return how fine cells should be, as the ``nside`` of HEALPix: a power of two.

    Fine cells are many, so that each split has its share of every class and of every kind of sky; but a strip of the radius on
    both sides of each border between splits is lost. So: the finest cells that lose at most LOST_SHARE of the galaxies. Where
    the survey is so small that one of those holds over LARGEST_SHARE of it, the coarsest in which none does.

    Args:
        directions: of the galaxies that are divided, (N, 3), NaN where unknown.
        radius_arcsec: as of :func:`find_contacts`.
        fractions: the share of each split.

    Raises:
        InputError: the survey is too small for its radius.
    """
    nside = 1
    while nside < MAX_NSIDE and expected_loss(2 * nside, radius_arcsec, fractions) <= LOST_SHARE:
        nside *= 2
    while (largest := largest_share(directions, nside)) > LARGEST_SHARE:
        nside *= 2
        require_wide_cells(nside, radius_arcsec, largest)
    return nside


def expected_loss(nside: int, radius_arcsec: float, fractions: Sequence[float]) -> float:
    """Return which share of galaxies lies within a radius of a border between cells of different splits, dealt by chance."""
    inner = max(1 - 2 * np.deg2rad(radius_arcsec / 3600) / _cell_width(nside), 0)
    return float((1 - inner**2) * (1 - np.square(fractions).sum()))


def largest_share(directions: NDArray[np.float64], nside: int) -> float:
    """Return which share of the galaxies with a position the fullest cell holds."""
    cell = cell_of(directions, nside)
    counts = np.unique(cell[cell >= 0], return_counts=True)[1]
    return float(counts.max(initial=0) / max(counts.sum(), 1))


def require_wide_cells(nside: int, radius_arcsec: float, largest: float | None = None) -> None:
    """Raise InputError where cells are not four radii wide: hardly a galaxy in them would be left."""
    width = np.rad2deg(_cell_width(nside)) * 3600
    if width < 4 * radius_arcsec or nside > MAX_NSIDE:
        reason = (
            "" if largest is None else f" and one of twice the width holds {largest:.0%} of the galaxies: the survey is small"
        )
        raise InputError(
            f"split: a cell of nside {nside} is {width:.0f} arcsec wide{reason}; a cell must be at least 4 times "
            f"split.group_radius_arcsec ({radius_arcsec:g}) wide. Set a smaller split.cell_nside, or lower the radius."
        )


def _cell_width(nside: int) -> float:
    """Return the side of a square of a cell's area, rad."""
    return float(np.sqrt(nside_to_pixel_area(nside).to_value("sr")))


def _look_around(
    galaxies: NDArray[np.int64], directions: NDArray[np.float64], cell: NDArray[np.int64], nside: int, reach: float
) -> NDArray[np.int64]:
    """Return pairs (P, 2) of galaxies and of other cells within ``reach`` rad; arguments of A galaxies."""
    row, other = _others(cell, _circle(directions, reach), nside)
    own, which = np.unique(cell, return_inverse=True)
    corners = np.stack(_corners(own, nside), axis=2)  # (C, 4, 3)
    is_close = np.linalg.norm(corners[which] - directions[:, None], axis=2) <= 2 * np.sin(reach / 2)  # (A, 4)
    close, corner = np.nonzero(is_close)
    place, beyond = _others(cell[close], _circle(corners[which[close], corner], reach / 2), nside)
    # One number for a pair: sorting rows of two takes ten times as long.
    num_cells = 12 * nside**2
    keys = np.unique(np.concatenate([row, close[place]]) * num_cells + np.concatenate([other, beyond]))
    return np.stack([galaxies[keys // num_cells], keys % num_cells], axis=1)


def _others(cell: NDArray[np.int64], points: NDArray[np.float64], nside: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where points, (A, D, 3), lie in another cell than ``cell``, (A,): the place of each, and the cell."""
    found = cell_of(points.reshape(-1, 3), nside).reshape(points.shape[:2])
    place, direction = np.nonzero(found != cell[:, None])
    return place, found[place, direction]


def _circle(directions: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Return points on the circle of ``radius`` rad around each of A directions, (A, D, 3)."""
    # Any axis serves that does not point where the direction does.
    axis = np.where(np.abs(directions[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    east = np.cross(axis, directions)
    east /= np.linalg.norm(east, axis=1, keepdims=True)
    north = np.cross(directions, east)
    angle = np.arange(_NUM_DIRECTIONS)[:, None] * (2 * np.pi / _NUM_DIRECTIONS)
    aside = np.cos(angle) * east[:, None] + np.sin(angle) * north[:, None]
    points: NDArray[np.float64] = np.cos(radius) * directions[:, None] + np.sin(radius) * aside
    return points


def _corners(cells: NDArray[np.int64], nside: int) -> list[NDArray[np.float64]]:
    """Return x, y and z of the corners of C cells, (C, 4) each."""
    longitude, latitude = boundaries_lonlat(cells, 1, nside, order=_ORDER)
    xyz: NDArray[np.float64] = sky_directions(np.asarray(longitude.deg), np.asarray(latitude.deg))
    return list(np.moveaxis(xyz, -1, 0))
