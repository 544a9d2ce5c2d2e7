"""Neighbours on the sky are found across every seam of the coordinates."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from galaxies.data.sky import friends_of_friends, identical_pairs, neighbour_pairs
from galaxies.errors import InputError

ARCSEC = 1 / 3600


def pairs(positions: list[tuple[float, float]], radius_arcsec: float) -> list[list[int]]:
    ra, dec = np.array(positions, float).T
    found: list[list[int]] = neighbour_pairs(ra, dec, radius_arcsec).tolist()
    return found


@pytest.mark.parametrize(
    "positions",
    [
        pytest.param([(10, 0), (10, 5 * ARCSEC)], id="along-a-meridian"),
        pytest.param([(0, 0), (360 - 5 * ARCSEC, 0)], id="across-ra-zero"),
        pytest.param([(10, 90 - 2 * ARCSEC), (190, 90 - 2 * ARCSEC)], id="across-the-pole"),
        pytest.param([(10, 60), (10 + 8 * ARCSEC, 60)], id="where-meridians-are-closer"),
    ],
)
def test_close_galaxies_are_a_pair(positions: list[tuple[float, float]]) -> None:
    assert pairs(positions, 10) == [[0, 1]]
    assert pairs(positions, 1) == []


def test_radius_zero_finds_equal_positions_only() -> None:
    assert pairs([(10, 20), (10, 20), (10, 20 + 0.01 * ARCSEC)], 0) == [[0, 1]]


def test_unknown_positions_have_no_neighbours() -> None:
    assert pairs([(np.nan, np.nan), (np.nan, np.nan), (10, 20), (10, 20)], 10) == [[2, 3]]
    assert pairs([(np.nan, np.nan)], 10) == []


@pytest.mark.parametrize("wrong", [(-1, 0), (361, 0), (0, 91), (np.inf, 0)])
def test_positions_off_the_sky_are_refused(wrong: tuple[float, float]) -> None:
    with pytest.raises(InputError, match=r"1 positions are not on the sky \(first: galaxy 1"):
        pairs([(10, 20), wrong], 10)


def test_friends_of_friends_are_one_group() -> None:
    links = np.array([[0, 3], [3, 4]])
    assert friends_of_friends(6, links).tolist() == [0, 1, 2, 0, 0, 3]
    assert friends_of_friends(3, np.empty((0, 2), np.int64)).tolist() == [0, 1, 2]


def test_equal_digests_are_linked() -> None:
    """Two digests may begin alike, and then stand in any order between equal ones."""
    digests = np.zeros((6, 32), np.uint8)
    digests[[1, 4], 31] = 1
    digests[3, 0] = 1
    assert sorted(identical_pairs(digests).tolist()) == [[0, 2], [1, 4], [2, 5]]
    assert identical_pairs(digests[:2]).tolist() == identical_pairs(digests[:0]).tolist() == []


@pytest.mark.parametrize(
    ("radius_arcsec", "num_pairs", "num_groups", "num_galaxies"),
    [(0, 59, 59, 118), (5, 77, 76, 153), (10, 126, 124, 249), (67, 236, 228, 460)],
)
def test_the_groups_of_galaxy10_decals_are_found(
    test_data: Path, radius_arcsec: float, num_pairs: int, num_groups: int, num_galaxies: int
) -> None:
    table = pd.read_csv(test_data / "real" / "galaxy10_decals_coordinates.csv")
    found = neighbour_pairs(table["ra"].to_numpy(), table["dec"].to_numpy(), radius_arcsec)
    sizes = np.bincount(friends_of_friends(len(table), found))
    assert (len(found), int((sizes > 1).sum()), int(sizes[sizes > 1].sum())) == (num_pairs, num_groups, num_galaxies)
