"""What is planted in a simulated survey, and what is not."""

import dataclasses

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord

from galaxies.simulation.survey_plan import GALAXY10_COUNTS, Plan, plan_survey, share_out


def separations(plan: Plan, radius_arcsec: float) -> list[tuple[int, int, float]]:
    """Return the pairs closer than a radius: both rows and their distance in arcsec."""
    sky = SkyCoord(plan.ra, plan.dec, unit="deg")
    first, second, distance, _ = sky.search_around_sky(sky, radius_arcsec * units.arcsec)
    return [(int(a), int(b), float(d.arcsec)) for a, b, d in zip(first, second, distance, strict=True) if a < b]


@pytest.mark.parametrize("number", [20, 33, 101, 3000, 17736])
def test_classes_have_the_shares_of_galaxy10_and_rows_are_sorted_by_class(number: int) -> None:
    plan = plan_survey(number, 256, 0)
    counts = np.bincount(plan.labels, minlength=10)
    assert len(plan.labels) == number
    assert (np.diff(plan.labels.astype(int)) >= 0).all()
    assert counts.min() >= 1
    exact = np.array(GALAXY10_COUNTS) / sum(GALAXY10_COUNTS) * number
    assert (np.abs(counts - exact) < 1).all() or number == 20
    if number == 17736:
        assert tuple(counts) == GALAXY10_COUNTS


def test_largest_remainder() -> None:
    assert share_out(10, (5, 3, 1)).tolist() == [6, 3, 1]  # Exactly 5.6, 3.3 and 1.1.
    assert share_out(3, (98, 1, 1)).tolist() == [1, 1, 1]


def test_rarities_are_as_many_as_in_galaxy10() -> None:
    plan = plan_survey(17736, 256, 0)
    pairs = separations(plan, 67)
    twins = [(a, b) for a, b, distance in pairs if distance < 1e-3]
    assert len(twins) == 59
    assert len([pair for pair in pairs if pair[2] < 10]) == 126
    assert len(pairs) == 236
    assert plan.is_blank.sum() == 3
    assert (~plan.has_redshift).sum() == 92


def test_a_small_survey_has_at_least_one_of_each_rarity() -> None:
    plan = plan_survey(100, 256, 0)
    distances = [distance for *_, distance in separations(plan, 67)]
    assert sum(distance < 1e-3 for distance in distances) == 1
    assert sum(1e-3 <= distance < 10 for distance in distances) == 1
    assert sum(10 <= distance < 67 for distance in distances) == 1
    assert plan.is_blank.sum() == 1
    assert (~plan.has_redshift).sum() == 1


def test_a_toy_survey_has_none() -> None:
    plan = plan_survey(20, 32, 0)
    assert (plan.scene == np.arange(20)).all()
    assert not plan.is_blank.any()
    assert plan.has_redshift.all()


def test_every_twin_has_two_labels_and_one_galaxy() -> None:
    plan = plan_survey(3000, 256, 7)
    twins = [(a, b) for a, b, distance in separations(plan, 67) if distance < 1e-3]
    assert len(twins) == 10
    for first, second in twins:
        assert plan.labels[first] != plan.labels[second]
        assert plan.scene[first] == plan.scene[second]
        assert plan.galaxy[first] == plan.galaxy[second]
        assert (plan.ra[first], plan.dec[first]) == (plan.ra[second], plan.dec[second])


@pytest.mark.parametrize("image_size", [32, 256])
def test_neighbours_stand_in_the_image_where_their_coordinates_say(image_size: int) -> None:
    plan = plan_survey(3000, image_size, 1)
    pxscale = 67.072 / image_size
    seconds = np.flatnonzero(plan.view == 1)
    assert len(seconds) == 30
    for second in seconds:
        first = int(plan.scene[second])
        assert (plan.galaxy[second], plan.neighbour[second]) == (plan.labels[first], plan.labels[second])
        here, there = (SkyCoord(plan.ra[row], plan.dec[row], unit="deg") for row in (first, second))
        east, north = here.spherical_offsets_to(there)
        assert -east.arcsec == pytest.approx(plan.offset_right[second] * pxscale, abs=0.05)
        assert -north.arcsec == pytest.approx(plan.offset_down[second] * pxscale, abs=0.05)


@pytest.mark.parametrize("number", [100, 3000, 17736])
def test_nothing_is_near_by_accident_and_all_lies_in_the_footprint(number: int) -> None:
    plan = plan_survey(number, 256, 2)
    planted = number - len(np.unique(plan.scene))
    assert len(separations(plan, 300)) == planted
    assert plan.dec.min() > -20
    assert plan.dec.max() < 33
    assert plan.ra.min() >= 0
    assert plan.ra.max() < 360


def test_rows_of_a_plan_are_a_plan() -> None:
    plan = plan_survey(200, 256, 0)
    part = plan.rows(190, 206)
    for column in dataclasses.fields(Plan):
        np.testing.assert_array_equal(getattr(part, column.name), getattr(plan, column.name)[190:])


def test_the_seed_decides() -> None:
    first, again, other = (plan_survey(150, 256, seed) for seed in (4, 4, 5))
    assert (first.ra == again.ra).all()
    assert not (first.ra == other.ra).any()
