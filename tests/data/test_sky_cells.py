"""Cells of the sky: which galaxies come near another cell, and how fine cells are chosen."""

import numpy as np
import pytest
from astropy_healpix import healpix_to_lonlat
from numpy.typing import NDArray

from galaxies.data.sky import sky_directions
from galaxies.data.sky_cells import cell_of, choose_nside, expected_loss, find_contacts, require_wide_cells
from galaxies.errors import InputError

FRACTIONS = np.array([0.7, 0.15, 0.15])
RADIUS = 67.0
NO_POSITION: NDArray[np.float64] = np.full((1, 3), np.nan)


def field(density: float, side_deg: float, *, seed: int = 0, dec: float = 0.0) -> NDArray[np.float64]:
    """Return galaxies by chance in a square of the sky, (N, 3)."""
    generator = np.random.default_rng(seed)
    number = int(density * side_deg**2)
    height = dec + side_deg * generator.random(number)  # Small fields: the density hardly changes in them.
    return sky_directions(150 + side_deg * generator.random(number), height)


def contacts_by_points(directions: NDArray[np.float64], nside: int, radius_arcsec: float) -> set[tuple[int, int]]:
    """Find the same the long way: by the cells of 4,000 points within the radius of each galaxy."""
    generator = np.random.default_rng(1)
    found = set()
    own = cell_of(directions, nside)
    for index, direction in enumerate(directions):
        aside = generator.normal(size=(4000, 3))
        aside -= (aside @ direction)[:, None] * direction
        aside *= np.sqrt(generator.random((4000, 1))) / np.linalg.norm(aside, axis=1, keepdims=True)
        points = direction + np.deg2rad(radius_arcsec / 3600) * aside
        cells = np.unique(cell_of(points / np.linalg.norm(points, axis=1, keepdims=True), nside)).tolist()
        found |= {(index, cell) for cell in cells if cell != own[index]}
    return found


@pytest.mark.parametrize(("nside", "dec"), [(64, 0.0), (256, 41.5), (512, 88.0)], ids=["wide", "belt-ends", "pole"])
def test_every_cell_within_the_radius_is_a_contact(nside: int, dec: float) -> None:
    """Corners included: where four cells meet, one may come near between any number of directions that are looked in."""
    directions = field(3000, 0.3, dec=dec)
    corner = sky_directions(*(angle.deg for angle in healpix_to_lonlat([7], nside, dx=0, dy=0, order="nested")))
    around = corner + np.deg2rad(60 / 3600) * np.random.default_rng(0).normal(size=(100, 3))
    directions = np.concatenate([directions, around / np.linalg.norm(around, axis=1, keepdims=True)])
    found = set(map(tuple, find_contacts(directions, nside, RADIUS).tolist()))
    assert len(contacts_by_points(directions, nside, RADIUS)) > 30
    assert contacts_by_points(directions, nside, RADIUS) <= found
    assert found <= contacts_by_points(directions, nside, RADIUS * 1.05)


def test_galaxies_without_position_lie_in_no_cell_and_near_none() -> None:
    directions = np.concatenate([NO_POSITION, field(3000, 0.2)])
    assert cell_of(directions, 64)[0] == -1
    assert 0 not in find_contacts(directions, 512, RADIUS)[:, 0]
    assert find_contacts(NO_POSITION, 64, RADIUS).shape == (0, 2)


@pytest.mark.parametrize(
    ("side_deg", "nside"), [(30, 64), (10, 64), (3.2, 256), (1.5, 512)], ids=["30-deg", "10-deg", "3-deg", "1.5-deg"]
)
def test_cells_are_as_fine_as_borders_allow_and_finer_where_the_survey_is_small(side_deg: float, nside: int) -> None:
    directions = field(200, side_deg)
    assert choose_nside(directions, RADIUS, FRACTIONS.tolist()) == nside
    counts = np.unique(cell_of(directions, nside), return_counts=True)[1]
    assert counts.max() <= 0.02 * len(directions)


def test_the_expected_loss_is_that_of_cells_dealt_by_chance() -> None:
    directions = field(300, 20)
    contacts, cell = find_contacts(directions, 64, RADIUS), cell_of(directions, 64)
    split = np.random.default_rng(0).choice(3, 12 * 64**2, p=FRACTIONS)
    is_lost = np.zeros(len(directions), bool)
    is_lost[contacts[split[cell[contacts[:, 0]]] != split[contacts[:, 1]], 0]] = True
    assert is_lost.mean() == pytest.approx(expected_loss(64, RADIUS, FRACTIONS.tolist()), rel=0.15)


def test_a_survey_that_is_too_small_for_its_radius_is_refused() -> None:
    with pytest.raises(InputError, match=r"a cell of nside 1024 is 206 arcsec wide .* must be at least 4 times"):
        choose_nside(field(20000, 0.5), RADIUS, FRACTIONS.tolist())
    with pytest.raises(InputError, match=r"nside 8192 is 26 arcsec wide; a cell must be at least 4 times"):
        require_wide_cells(8192, RADIUS)
