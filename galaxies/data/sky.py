"""Groups of galaxies that are too close on the sky, or too alike, to stand in different splits.

N galaxies, P pairs.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from galaxies.errors import InputError


def neighbour_pairs(ra: NDArray[np.float64], dec: NDArray[np.float64], radius_arcsec: float) -> NDArray[np.int64]:
    """Return the pairs of galaxies within ``radius_arcsec`` of each other on the sky, (P, 2), the smaller index first.

    Args:
        ra: right ascension, (N,) deg; NaN is unknown and has no neighbours.
        dec: declination, (N,) deg.
        radius_arcsec: the largest separation, included; 0 finds equal positions.

    Raises:
        InputError: positions that are not on the sky.
    """
    wrong = np.flatnonzero((ra < 0) | (ra > 360) | (np.abs(dec) > 90) | np.isinf(ra) | np.isinf(dec))
    if len(wrong):
        first = wrong[0]
        raise InputError(
            f"data/galaxies.h5: {len(wrong)} positions are not on the sky (first: galaxy {first}, ra {ra[first]}, dec "
            f"{dec[first]}); ra must be 0 to 360 deg, dec -90 to 90 deg, and NaN where unknown."
        )
    known = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    if len(known) < 2:
        return np.empty((0, 2), np.int64)
    directions = sky_directions(ra[known], dec[known])
    pairs: NDArray[np.int64] = known[KDTree(directions).query_pairs(_chord(radius_arcsec), output_type="ndarray")].astype(
        np.int64
    )
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def sky_directions(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return positions in deg, (...,), as vectors of length 1, (..., 3); NaN stays NaN."""
    longitude, latitude = np.deg2rad(ra), np.deg2rad(dec)
    return np.stack([np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=-1)


def are_near(directions: NDArray[np.float64], others: NDArray[np.float64], radius_arcsec: float) -> NDArray[np.bool_]:
    """Return whether each direction, (N, 3), has one of ``others``, (A, 3), within the radius; NaN is near nothing."""
    known, others = np.isfinite(directions).all(axis=1), others[np.isfinite(others).all(axis=1)]
    near = np.zeros(len(directions), bool)
    if len(others) and known.any():
        reach = _chord(radius_arcsec)
        near[known] = np.isfinite(KDTree(others).query(directions[known], distance_upper_bound=np.nextafter(reach, 9))[0])
    return near


def _chord(radius_arcsec: float) -> float:
    """Return the distance of two directions of length 1 that are so far apart."""
    # Equal positions come out of the trigonometry a few 1e-10 arcsec apart.
    return float(2 * np.sin(np.deg2rad((radius_arcsec + 1e-6) / 3600) / 2))


def identical_pairs(digests: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return pairs (P, 2) that connect all galaxies of equal digest, (N, 32): each with the one before."""
    # Eight bytes, the first, tell nearly all digests apart; only galaxies that share them are compared by all 32.
    beginning = np.ascontiguousarray(digests[:, :8]).view(np.uint64)[:, 0]
    order = np.argsort(beginning, kind="stable")
    equals_next, is_shared = np.diff(beginning[order]) == 0, np.zeros(len(order), bool)
    is_shared[:-1] |= equals_next
    is_shared[1:] |= equals_next
    shared = order[is_shared]
    if not len(shared):
        return np.empty((0, 2), np.int64)
    _, kind = np.unique(digests[shared], axis=0, return_inverse=True)
    order = shared[np.lexsort((shared, kind.ravel()))]
    pairs = np.stack([order[:-1], order[1:]], axis=1).astype(np.int64)
    linked: NDArray[np.int64] = pairs[(digests[pairs[:, 0]] == digests[pairs[:, 1]]).all(axis=1)]
    return linked


def same_number_pairs(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return pairs (P, 2) that connect all galaxies of one number, (N,), each with the one before; below 0 is no number."""
    order = np.argsort(numbers, kind="stable")
    order = order[numbers[order] >= 0]
    pairs = np.stack([order[:-1], order[1:]], axis=1).astype(np.int64)
    linked: NDArray[np.int64] = pairs[numbers[pairs[:, 0]] == numbers[pairs[:, 1]]]
    return linked


def friends_of_friends(num_galaxies: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the group of each galaxy, (N,): connected by pairs, numbered in the order of their first members."""
    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(num_galaxies, num_galaxies))
    return number_by_first(connected_components(links, directed=False)[1])


def number_by_first(values: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return for each of ``values``, (N,), the number of its kind, counted in the order in which the kinds appear."""
    _, first, kind = np.unique(values, return_index=True, return_inverse=True)
    numbers = np.empty(len(first), np.int64)
    numbers[np.argsort(first)] = np.arange(len(first))
    return numbers[kind]
