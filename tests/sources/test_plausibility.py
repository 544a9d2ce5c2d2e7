"""Fluxes that no header explains: what the pixels tell of a wrong sign, a wrong sky, a wrong unit."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from galaxies.data.stretch import choose_flux_scales, stretch_bands, stretch_to_rgb
from galaxies.sources.notes import Note
from galaxies.sources.plausibility import judge_image
from tests.sources.fluxes import read_fits, toy_galaxy, write_cube
from tests.sources.test_real_fluxes import find_fluxes, read_sample

Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]

WRONG: dict[str, tuple[Change, str]] = {
    "negative": (lambda fluxes: -fluxes, "deeper below its sky than above it: is it the negative of one"),
    "negative counts": (lambda fluxes: -100 * fluxes, "deeper below its sky than above it"),
    "negative over a sky": (lambda fluxes: 0.1 - fluxes, "deeper below its sky than above it"),
    "sky": (lambda fluxes: fluxes + 0.1, r"the darkest quarter of the image has \d+ grey levels.*is the sky subtracted"),
    "sky of counts": (lambda fluxes: fluxes * 63 + 200, "100% of the image is white"),
    "too much sky taken": (lambda fluxes: fluxes - 0.05, "more than half of the image is black"),
    "janskys": (lambda fluxes: fluxes * 3.6e-6, "0 grey levels above the sky: are the fluxes nanomaggies"),
}


def judge(fluxes: NDArray[np.float32]) -> list[Note]:
    return judge_image(stretch_to_rgb(fluxes), fluxes)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_none_of_a_galaxy_is_doubted(name: str, tmp_path: Path) -> None:
    change, message = WRONG[name]
    _, _, notes, is_doubtful = read_fits([write_cube(tmp_path / "a.fits", change(toy_galaxy()).astype(np.float32))])
    assert is_doubtful
    assert any(note.startswith("no unit in the header") for note in notes)
    assert any(re.search(message, note) for note in notes), notes


@pytest.mark.parametrize("name", WRONG)
def test_bands_by_themselves_are_judged_alike(name: str) -> None:
    change, message = WRONG[name]
    fluxes = change(toy_galaxy()).astype(np.float32)
    (note,) = judge_image(stretch_bands(fluxes, choose_flux_scales(("g", "r", "z"))), fluxes)
    assert note.is_doubt
    assert re.search(message, note.text)


def test_much_noise_is_noted_and_not_doubted() -> None:
    """The images of SDSS have four times as much in a pixel of this size as the Legacy Surveys'."""
    fluxes = toy_galaxy() + np.random.default_rng(1).normal(0, 0.03, (3, 64, 64)).astype(np.float32)
    (note,) = judge(fluxes)
    assert not note.is_doubt
    assert "differ from their neighbours by" in note.text


def test_an_empty_sky_is_not_called_a_negative() -> None:
    """Its deepest hole is as deep as its highest peak is high."""
    for seed in range(20):
        fluxes = np.random.default_rng(seed).normal(0, 0.004, (3, 64, 64)).astype(np.float32)
        assert not any("negative" in note.text for note in judge(fluxes))


def test_real_galaxies_are_not_strange_and_their_negatives_are(test_data: Path) -> None:
    images, _ = read_sample(test_data)
    all_fluxes = [find_fluxes(image) for image in images]
    assert [judge(fluxes) for fluxes in all_fluxes] == [[]] * 50
    for name in ("negative", "negative counts", "sky", "sky of counts", "too much sky taken", "janskys"):
        change, _ = WRONG[name]
        assert all(note.is_doubt for fluxes in all_fluxes for note in judge(change(fluxes)) or [Note(name)]), name


def test_counts_without_a_unit_are_mostly_strange(test_data: Path) -> None:
    """Of fluxes that are a hundred times too high the noise alone fills the image."""
    images, _ = read_sample(test_data)
    assert sum(bool(judge(100 * find_fluxes(image))) for image in images) >= 45
