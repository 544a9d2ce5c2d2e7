"""Groups of galaxies that are too close on the sky, or too alike, to stand in different splits.

N galaxies, P pairs.
"""

from collections.abc import Sequence

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord, search_around_sky
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

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
    positions = SkyCoord(ra[known] * units.deg, dec[known] * units.deg)
    # Equal positions come out of the trigonometry a few 1e-10 arcsec apart.
    first, second, _, _ = search_around_sky(positions, positions, (radius_arcsec + 1e-6) * units.arcsec)
    once = first < second
    pairs: NDArray[np.int64] = np.stack([known[first[once]], known[second[once]]], axis=1).astype(np.int64)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def identical_pairs(values: Sequence[object]) -> NDArray[np.int64]:
    """Return pairs (P, 2) that connect all galaxies of equal value, such as an image digest: each with the first."""
    first: dict[object, int] = {}
    pairs = [(first.setdefault(value, index), index) for index, value in enumerate(values)]
    return np.array([pair for pair in pairs if pair[0] != pair[1]], np.int64).reshape(-1, 2)


def friends_of_friends(num_galaxies: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the group of each galaxy, (N,): connected by pairs, numbered in the order of their first members."""
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(num_galaxies, num_galaxies))
    component = connected_components(links, directed=False)[1]
    _, first, group = np.unique(component, return_index=True, return_inverse=True)
    numbers = np.argsort(np.argsort(first))
    result: NDArray[np.int64] = numbers[group].astype(np.int64)
    return result
