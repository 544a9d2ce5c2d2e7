"""Seeing and noise do what their numbers say."""

from dataclasses import replace

import numpy as np
import pytest

from galaxies.simulation.observation import Observation, blur, develop, draw_observation, expose

QUIET = Observation(
    psf_fwhm_arcsec=(1.3, 1.2, 1.1),
    noise=(0.0, 0.0, 0.0),
    sky=(0.0, 0.0, 0.0),
    sky_waviness=0.0,
    seam_noise=1.0,
    jpeg_quality=75,
)


def make_point(height: int = 64, width: int = 81) -> np.ndarray:
    planes = np.zeros((3, height, width), np.float32)
    planes[:, height // 2, width // 2] = 100
    return planes


def test_seeing_keeps_the_flux_and_the_place_and_has_the_width_of_each_band() -> None:
    fwhm = (2.0, 1.5, 1.0)
    blurred = blur(make_point(), fwhm, 0.262)
    np.testing.assert_allclose(blurred.sum(axis=(1, 2)), 100, rtol=1e-4)
    for plane, expected in zip(blurred, fwhm, strict=True):
        assert np.unravel_index(plane.argmax(), plane.shape) == (32, 40)
        # The profile falls to half at half the width; interpolate it along a row.
        profile = plane[32, 40:] / plane[32, 40]
        half_width = np.interp(-0.5, -profile, np.arange(len(profile)))
        assert 2 * half_width * 0.262 == pytest.approx(expected, rel=0.05)


def test_noise_has_the_asked_deviation_and_neighbouring_pixels_correlate() -> None:
    noisy = replace(QUIET, noise=(0.002, 0.004, 0.006), sky=(0.001, 0.0, -0.001))
    exposed = expose(np.zeros((3, 200, 210), np.float32), noisy, pxscale=0.262, generator=np.random.default_rng(0))
    np.testing.assert_allclose(exposed.std(axis=(1, 2)), noisy.noise, rtol=0.02)
    np.testing.assert_allclose(exposed.mean(axis=(1, 2)), noisy.sky, atol=2e-4)
    correlation = np.corrcoef(exposed[0, :, 1:].ravel(), exposed[0, :, :-1].ravel())[0, 1]
    assert 0.3 < correlation < 0.6


def test_a_seam_divides_quiet_from_noisy() -> None:
    uneven = replace(QUIET, noise=(1, 1, 1), seam_noise=3.0)
    exposed = expose(np.zeros((3, 256, 256), np.float32), uneven, pxscale=0.262, generator=np.random.default_rng(4))
    patches = exposed[0].reshape(8, 32, 8, 32).std(axis=(1, 3))
    assert patches.min() == pytest.approx(1, rel=0.1)
    assert patches.max() == pytest.approx(3, rel=0.15)


def test_a_developed_image_is_what_a_viewer_would_show() -> None:
    planes = np.zeros((3, 40, 48), np.float32)
    planes[2, 10:30, 10:30] = 1.0  # in z alone: red
    image = develop(planes, 75)
    assert image.shape == (40, 48, 3)
    assert image.dtype == np.uint8
    assert image[20, 20, 0] > 180 > 60 > image[20, 20, 2]
    assert np.abs(image[2:6, 40:46].astype(int) - 32).max() <= 3


def test_coarse_pixels_are_averages_of_native_ones() -> None:
    fine, coarse = (draw_observation(pxscale, np.random.default_rng(2)) for pxscale in (0.262, 0.524))
    assert coarse.noise[0] == pytest.approx(fine.noise[0] / 2)
    assert coarse.psf_fwhm_arcsec == fine.psf_fwhm_arcsec
    # The same light a square arcsec: four times as much in a pixel of twice the width, and as bright on the image.
    for pxscale, flux in ((0.262, 1.0), (0.524, 4.0)):
        light = np.full((3, 32, 32), flux, np.float32)
        exposed = expose(light, QUIET, pxscale=pxscale, generator=np.random.default_rng(0))
        np.testing.assert_allclose(exposed, 1, rtol=1e-4)


def test_finer_pixels_than_the_native_ones_are_no_noisier() -> None:
    native, fine = (draw_observation(pxscale, np.random.default_rng(2)) for pxscale in (0.262, 0.131))
    assert fine.noise == native.noise
