"""Galaxies are drawn as their classes are defined."""

import dataclasses
import math

import numpy as np
import pytest

from galaxies.data.galaxy_schema import GALAXY10_CLASS_NAMES
from galaxies.simulation.morphology import Morphology
from galaxies.simulation.populations import draw_morphology
from galaxies.simulation.rendering import total_flux

NUM_DRAWS = 200


def draw(name: str, number: int = NUM_DRAWS) -> list[Morphology]:
    generator = np.random.default_rng(3)
    return [draw_morphology(GALAXY10_CLASS_NAMES.index(name), generator) for _ in range(number)]


@pytest.mark.parametrize("name", GALAXY10_CLASS_NAMES)
def test_every_draw_is_finite_and_a_galaxy_that_the_survey_would_have_measured(name: str) -> None:
    for morphology in draw(name):
        numbers = [value for value in dataclasses.astuple(morphology) if isinstance(value, float)]
        assert all(map(math.isfinite, numbers))
        assert 0 < morphology.axis_ratio <= 1
        assert 1 <= morphology.radius_arcsec <= 17
        assert 0 <= morphology.bulge_fraction + morphology.bar_fraction + morphology.halo_fraction < 1
        magnitude = 22.5 - 2.5 * math.log10(total_flux(morphology))
        assert 12 < magnitude < 20.5


def test_the_smooth_classes_differ_by_axis_ratio() -> None:
    assert min(m.axis_ratio for m in draw("Round Smooth")) >= 0.86
    assert all(0.5 <= m.axis_ratio <= 0.8 for m in draw("In-between Round Smooth"))
    assert max(m.axis_ratio for m in draw("Cigar Shaped Smooth")) <= 0.38
    for name in ("Round Smooth", "In-between Round Smooth", "Cigar Shaped Smooth"):
        assert all(m.num_arms == 0 and m.bar_fraction == 0 and m.companion is None for m in draw(name))


def test_spirals_differ_by_bar_and_pitch() -> None:
    barred, tight, loose = (draw(f"{kind} Spiral") for kind in ("Barred", "Unbarred Tight", "Unbarred Loose"))
    assert min(m.bar_fraction for m in barred) >= 0.1
    assert max(m.bar_fraction for m in tight + loose) == 0
    assert max(m.arm_pitch for m in tight) < min(m.arm_pitch for m in loose)
    assert min(m.num_arms for m in barred + tight + loose) >= 1


def test_edge_on_discs_differ_by_bulge() -> None:
    without, with_bulge = draw("Edge-on without Bulge"), draw("Edge-on with Bulge")
    assert all(m.is_edge_on and m.axis_ratio <= 0.3 for m in without + with_bulge)
    assert max(m.bulge_fraction for m in without) == 0
    assert min(m.bulge_fraction for m in with_bulge) >= 0.2


def test_a_merger_is_two_galaxies_at_one_redshift_and_nothing_else_is() -> None:
    for morphology in draw("Merging"):
        assert morphology.companion is not None
        assert morphology.companion.redshift == morphology.redshift
        separation = math.hypot(*morphology.companion_offset)
        assert 0.7 <= separation / (morphology.radius_arcsec + morphology.companion.radius_arcsec) <= 1.9
    assert all(m.companion is None for name in GALAXY10_CLASS_NAMES if name != "Merging" for m in draw(name, 20))


def test_disturbed_galaxies_are_lopsided_and_bent() -> None:
    assert all(m.lopsidedness >= 0.05 and m.distortion > 0 for m in draw("Disturbed"))


def test_old_light_is_redder_the_farther_the_galaxy() -> None:
    smooth = draw("Round Smooth", 400)
    redshifts, colours = np.array([(m.redshift, m.disc_colour[0]) for m in smooth]).T
    assert np.corrcoef(redshifts, colours)[0, 1] > 0.3


def test_the_generator_decides() -> None:
    first, again = (draw_morphology(1, np.random.default_rng(5)) for _ in range(2))
    assert first == again
    assert first != draw_morphology(1, np.random.default_rng(6))
