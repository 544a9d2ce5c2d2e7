"""Bands come onto one grid, and pixels that are not square do not squash a galaxy in silence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from scipy import ndimage

from galaxies.errors import InputError
from tests.sources.fluxes import PXSCALE, SIZE, read_fits, tan_header, toy_galaxy, write_bands, write_cube

pytestmark = pytest.mark.filterwarnings("ignore")


def band_headers(**of_z: Any) -> list[fits.Header]:
    cards: dict[str, Any] = {"BUNIT": "nanomaggy"}
    return [tan_header(FILTER="g", **cards), tan_header(FILTER="r", **cards), tan_header(FILTER="z", **cards, **of_z)]


def test_a_band_that_lies_some_pixels_apart_is_resampled_onto_the_first(tmp_path: Path) -> None:
    expected = read_fits([write_cube(tmp_path / "a.fits", toy_galaxy(), BUNIT="nanomaggy")])[0]
    fluxes = toy_galaxy()
    fluxes[2] = np.roll(fluxes[2], (2, 5), (0, 1))
    picture, _, notes, _ = read_fits(write_bands(tmp_path, fluxes, band_headers(CRPIX1=32.5 + 5, CRPIX2=32.5 + 2)))
    assert notes[0] == "resampled onto the pixels of g: z (5.4 px)"
    assert "are missing (beyond the edge of a band)" in notes[1]
    assert np.abs(picture[8:-8, 8:-8].astype(int) - expected[8:-8, 8:-8]).max() <= 1


def test_bands_within_a_pixel_are_one_grid(tmp_path: Path) -> None:
    expected = read_fits([write_cube(tmp_path / "a.fits", toy_galaxy(), BUNIT="nanomaggy")])[0]
    picture, _, notes, _ = read_fits(write_bands(tmp_path, toy_galaxy(), band_headers(CRPIX1=32.5 + 0.6)))
    assert notes == []
    assert np.array_equal(picture, expected)


def test_a_band_of_another_scale_and_size_is_resampled(tmp_path: Path) -> None:
    files = write_bands(tmp_path, toy_galaxy(), band_headers())
    fine = ndimage.zoom(toy_galaxy()[2], 2, order=1) / 4  # nanomaggies of a pixel of a quarter of the area
    header = tan_header(size=2 * SIZE, scale=PXSCALE / 2, FILTER="z", BUNIT="nanomaggy")
    fits.PrimaryHDU(fine, header).writeto(files[2], overwrite=True)
    picture, _, notes, _ = read_fits(files)
    expected = read_fits([write_cube(tmp_path / "a.fits", toy_galaxy(), BUNIT="nanomaggy")])[0]
    assert any("resampled onto the pixels of g: z" in note for note in notes)
    # Around the middle: the noise was smoothed on the way.
    assert np.abs(picture.astype(int) - expected)[28:36, 28:36].max() < 40


@pytest.mark.parametrize("card", [{"CRVAL1": 150.1}, {"CRVAL2": 2.02}, {"CRVAL1": 330.0}])
def test_bands_of_different_parts_of_the_sky_are_an_error(tmp_path: Path, card: dict[str, float]) -> None:
    with pytest.raises(InputError, match="the bands show different parts of the sky: z has no pixel where g is"):
        read_fits(write_bands(tmp_path, toy_galaxy(), band_headers(**card)))


def test_bands_of_one_file_are_held_together_too(tmp_path: Path) -> None:
    hdus = [
        fits.ImageHDU(plane, header, name=f"IMAGE_{band}")
        for band, plane, header in zip("grz", toy_galaxy(), band_headers(CRVAL1=150.1), strict=True)
    ]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / "a.fits")
    with pytest.raises(InputError, match="different parts of the sky"):
        read_fits([tmp_path / "a.fits"])


def axis_ratio(picture: NDArray[np.uint8]) -> float:
    """Return the axis ratio of what is brighter than the sky."""
    rows, columns = np.nonzero(ndimage.gaussian_filter(picture.mean(axis=2), 1) > 80)
    smallest, largest = np.linalg.eigvalsh(np.cov(rows, columns))
    return float(np.sqrt(smallest / largest))


def disc(matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return a disc of 12 px of the survey, seen in pixels of another shape: from their px to those."""
    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    along, across = matrix[:, 0, None, None] * x + matrix[:, 1, None, None] * y
    plane = np.where(np.hypot(along, across) < 12, 0.5, 0.0)
    return (plane + np.random.default_rng(0).normal(0, 0.004, (3, SIZE, SIZE))).astype(np.float32)


SHAPES = {
    "long": np.array([[1.0, 0.0], [0.0, 2.0]]),
    "wide": np.array([[1.5, 0.0], [0.0, 1.0]]),
    "sheared": np.array([[1.0, 0.6], [0.0, 1.0]]),
    "sheared and turned": np.array([[0.8, 0.9], [-0.6, 0.7]]),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_a_round_galaxy_stays_round_in_pixels_of_every_shape(tmp_path: Path, kind: str) -> None:
    matrix = SHAPES[kind]
    cards = {f"CD{i + 1}_{j + 1}": (-1 if i == 0 else 1) * PXSCALE / 3600 * matrix[i, j] for i in range(2) for j in range(2)}
    path = write_cube(tmp_path / "a.fits", disc(matrix), **cards)
    picture, pxscale, notes, _ = read_fits([path])
    assert axis_ratio(picture) > 0.93
    assert any("resampled to squares of" in note for note in notes)
    radius = np.sqrt((picture.mean(axis=2) > 100).sum() / np.pi) * pxscale / PXSCALE
    assert radius == pytest.approx(12, abs=1.0)


@pytest.mark.parametrize("matrix", [[[0.6, -0.8], [0.8, 0.6]], [[-1, 0], [0, 1]], [[0, 1], [1, 0]]])
def test_square_pixels_however_turned_or_mirrored_stay_as_they_are(tmp_path: Path, matrix: Any) -> None:
    cards = {f"CD{i + 1}_{j + 1}": PXSCALE / 3600 * matrix[i][j] for i in range(2) for j in range(2)}
    picture, pxscale, notes, _ = read_fits([write_cube(tmp_path / "a.fits", toy_galaxy(), BUNIT="nanomaggy", **cards)])
    assert notes == []
    assert pxscale == pytest.approx(PXSCALE, rel=1e-6)
    assert np.array_equal(picture, read_fits([write_cube(tmp_path / "b.fits", toy_galaxy(), BUNIT="nanomaggy")])[0])


def test_pixels_of_a_slit_are_refused(tmp_path: Path) -> None:
    path = write_cube(tmp_path / "a.fits", toy_galaxy(), CD2_2=10 * PXSCALE / 3600)
    with pytest.raises(InputError, match=r"the pixels are 2\.62 arcsec long and 0\.262 wide, .* is the WCS right\?"):
        read_fits([path])


def test_keywords_alone_tell_of_pixels_that_are_not_square(tmp_path: Path) -> None:
    header = fits.Header({"BANDS": "grz", "PIXSCAL1": 0.2, "PIXSCAL2": 0.4})
    fits.PrimaryHDU(disc(SHAPES["long"]), header).writeto(tmp_path / "a.fits")
    picture, pxscale, notes, _ = read_fits([tmp_path / "a.fits"])
    assert axis_ratio(picture) > 0.93
    assert pxscale == pytest.approx(0.2)
    assert "pixels of 0.4 x 0.2 arcsec resampled to squares of 0.2 arcsec" in notes
