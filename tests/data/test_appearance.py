"""Measurements on images, and the simulated survey measured beside real galaxies."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.survey_against_real import simulate_like
from galaxies.data.appearance import compare_measurements, measure_images, shrink_images
from galaxies.data.galaxy_file import GalaxyFile


def make_image(
    sigma: float, *, axis_ratio: float = 1.0, colour: tuple[float, float, float] = (100, 100, 100), size: int = 96
) -> NDArray[np.uint8]:
    """Draw a Gaussian blob on a noisy sky of 30 ± 5."""
    y, x = np.indices((size, size)) - (size - 1) / 2
    blob = np.exp(-(x**2 + (y / axis_ratio) ** 2) / (2 * sigma**2))
    noise = np.random.default_rng(0).normal(30, 5, (size, size, 3))
    return np.asarray(np.clip(np.rint(noise + blob[..., None] * np.array(colour)), 0, 255), np.uint8)


def test_size_grows_with_the_galaxy_as_a_share_of_the_image() -> None:
    table = measure_images(np.stack([make_image(4), make_image(8)]))
    # Half the light of a round Gaussian lies within 1.18 sigma.
    assert table["radius"].tolist() == pytest.approx([1.18 * 4 / 96, 1.18 * 8 / 96], rel=0.1)


def test_a_shrunk_image_has_the_means_of_blocks_of_whole_pixels() -> None:
    image = np.arange(5 * 5 * 3, dtype=np.uint8).reshape(1, 5, 5, 3)
    shrunk = shrink_images(image, 2)
    # Blocks of 2 x 2 px; the fifth row and column are left over.
    assert shrunk.shape == (1, 2, 2, 3)
    assert shrunk.dtype == np.uint8
    assert shrunk[0, 0, 1].tolist() == np.rint(image[0, :2, 2:4].mean(axis=(0, 1))).tolist()


@pytest.mark.parametrize(("size", "wanted", "expected"), [(256, 128, 128), (300, 128, 150), (88, 128, 88), (128, 128, 128)])
def test_an_image_is_shrunk_to_the_smallest_size_not_below_the_wanted(size: int, wanted: int, expected: int) -> None:
    images = np.full((2, size, size, 3), 200, np.uint8)
    shrunk = shrink_images(images, wanted)
    assert shrunk.shape == (2, expected, expected, 3)
    assert (shrunk == 200).all()


def test_shrinking_hardly_changes_what_is_measured() -> None:
    images = np.stack([make_image(16, size=256), make_image(24, axis_ratio=0.5, size=256)])
    whole, shrunk = (measure_images(one)[["radius", "brightness"]] for one in (images, shrink_images(images, 128)))
    # The smoothing before detection is of one pixel, and pixels are twice as large.
    np.testing.assert_allclose(shrunk, whole, rtol=0.07)


def test_axis_ratio_is_that_of_the_galaxy() -> None:
    table = measure_images(np.stack([make_image(12, axis_ratio=ratio) for ratio in (0.3, 0.6, 1.0)]))
    assert table["axis_ratio"].tolist() == pytest.approx([0.3, 0.6, 1.0], abs=0.06)


def test_sky_level_and_noise_ignore_the_galaxy() -> None:
    table = measure_images(make_image(8)[None])
    for channel in ("red", "green", "blue"):
        assert table[f"sky_{channel}"][0] == pytest.approx(30, abs=1)
        assert table[f"noise_{channel}"][0] == pytest.approx(5, abs=0.4)


def test_colour_is_relative_to_brightness() -> None:
    table = measure_images(np.stack([make_image(8, colour=(120, 100, 80)), make_image(8, colour=(60, 50, 40))]))
    assert table["red_minus_blue"].tolist() == pytest.approx([0.4, 0.4], abs=0.04)


@pytest.mark.parametrize("value", [0, 37, 255])
def test_a_blank_image_is_measured_without_complaint(value: int) -> None:
    table = measure_images(np.full((1, 32, 32, 3), value, np.uint8))
    assert np.isfinite(table.to_numpy()).all()
    assert table["brightness"][0] == 0


def test_an_image_of_nothing_but_noise_is_measured_without_complaint() -> None:
    image = np.random.default_rng(0).normal(30, 5, (1, 64, 64, 3)).astype(np.uint8)
    assert np.isfinite(measure_images(image).to_numpy()).all()


def test_equal_sets_compare_well_and_others_do_not() -> None:
    small, same, large = (
        measure_images(np.stack([make_image(sigma * scale) for scale in np.linspace(0.8, 1.2, 25)])) for sigma in (4, 4.05, 7)
    )
    assert compare_measurements(small, same)["p"]["radius"] > 0.5
    assert compare_measurements(small, large)["p"]["radius"] < 0.001


def test_simulated_galaxies_measure_like_real_ones(test_data: Path) -> None:
    """Size, brightness, sky level, noise and colour of 200 simulated galaxies and 50 real ones of the same classes."""
    with GalaxyFile(test_data / "real" / "galaxy10_decals_sample.h5") as file:
        real, labels = file.read_images(np.arange(file.num_galaxies)), file.labels
    simulated = simulate_like(labels, 4, real.shape[1], 0)
    table = compare_measurements(measure_images(real), measure_images(simulated))
    assert table["p"].min() > 0.05, table
