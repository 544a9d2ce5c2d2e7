"""The stretch from fluxes to the survey's colours."""

import numpy as np
import pytest

from galaxies.data.stretch import choose_flux_scales, stretch_bands, stretch_grey, stretch_to_rgb


def flat(g: float, r: float, z: float) -> np.ndarray:
    return np.broadcast_to(np.array([g, r, z], np.float32)[:, None, None], (3, 4, 5))


@pytest.mark.parametrize(("fluxes", "brightest"), [((0, 0, 0.5), 0), ((0, 0.5, 0), 1), ((0.5, 0, 0), 2)])
def test_red_is_z_green_is_r_blue_is_g(fluxes: tuple[float, float, float], brightest: int) -> None:
    pixel = stretch_to_rgb(flat(*fluxes))[0, 0]
    assert int(pixel.argmax()) == brightest
    assert sorted(pixel.tolist())[1] < 60


def test_an_empty_sky_is_the_dark_grey_of_real_cutouts() -> None:
    # The median sky of 50 real cutouts of Galaxy10 DECaLS is 34, 33, 33.
    assert (stretch_to_rgb(np.zeros((3, 4, 5), np.float32)) == 32).all()


def test_brighter_is_never_darker_and_nothing_overflows() -> None:
    ramp = np.concatenate([[0.0], np.geomspace(1e-4, 1e5, 300)]).astype(np.float32)
    image = stretch_to_rgb(np.stack([0.3 * ramp, 0.6 * ramp, ramp])[:, None, :])
    assert (np.diff(image.astype(int), axis=1) >= 0).all()
    assert image[0, -1].tolist() == [255, 255, 255]


def test_colour_does_not_depend_on_brightness_until_a_channel_saturates() -> None:
    faint, bright = (stretch_to_rgb(flat(0.3 * f, 0.6 * f, 0.7 * f))[0, 0].astype(float) for f in (0.2, 0.6))
    assert bright[1] > 1.2 * faint[1]
    np.testing.assert_allclose(bright / bright[1], faint / faint[1], atol=0.03)


def test_negative_fluxes_are_black_at_worst() -> None:
    assert (stretch_to_rgb(flat(-5, -5, -5)) == 0).all()
    assert stretch_to_rgb(flat(-5, 0.5, 0.5))[0, 0, 2] == 0


def test_a_stack_is_stretched_image_by_image() -> None:
    generator = np.random.default_rng(0)
    stack = generator.normal(0.1, 0.1, (2, 3, 6, 7)).astype(np.float32)
    images = stretch_to_rgb(stack)
    assert images.shape == (2, 6, 7, 3)
    np.testing.assert_array_equal(images[1], stretch_to_rgb(stack[1]))


def test_one_band_is_grey_and_as_bright_as_in_r() -> None:
    fluxes = np.geomspace(1e-3, 1, 20, dtype=np.float32).reshape(4, 5)
    grey = stretch_grey(fluxes)
    assert (grey == grey[..., :1]).all()
    neutral = np.stack([fluxes * 3.4 / 6.0, fluxes, fluxes * 3.4 / 2.2])
    np.testing.assert_allclose(grey, stretch_to_rgb(neutral), atol=1)


def test_a_band_by_itself_is_the_grey_of_one_band() -> None:
    fluxes = np.concatenate([[-1.0, 0.0], np.geomspace(1e-3, 5, 18)]).astype(np.float32).reshape(4, 5)
    alone = stretch_bands(fluxes[None], choose_flux_scales(["r"]))
    assert alone.shape == (4, 5, 1)
    np.testing.assert_allclose(255 * alone[..., 0], stretch_grey(fluxes)[..., 0], atol=1)


def test_what_a_band_shows_does_not_depend_on_the_others() -> None:
    fluxes = np.random.default_rng(0).normal(0.1, 0.1, (3, 6, 7)).astype(np.float32)
    scales = choose_flux_scales(["u", "VIS", "F150W"])
    together = stretch_bands(fluxes, scales)
    for band in range(3):
        np.testing.assert_array_equal(
            together[..., band], stretch_bands(fluxes[band : band + 1], scales[band : band + 1])[..., 0]
        )


def test_the_scale_of_a_band_follows_its_wavelength() -> None:
    assert choose_flux_scales(["g", "r", "z"]) == (6.0, 3.4, 2.2)
    u, g, i, y, infrared = choose_flux_scales(["u", "g", "i", "y", "H"])
    assert u > g > 3.4 > i > 2.2 > y > infrared > 0
    assert choose_flux_scales(["whatever"]) == (3.4,)
    h, k, f444w = choose_flux_scales(["H", "K", "F444W"])
    assert h == k == f444w == pytest.approx(1.13, abs=0.01)
