"""The same galaxy looks the same in every unit that defines its brightness; in any other it is doubted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from galaxies.sources.flux_units import find_flux_scale
from tests.sources.fluxes import read_fits, tan_header, toy_galaxy, write_bands, write_cube

pytestmark = pytest.mark.filterwarnings("ignore")  # As `decode` does: astropy warns of spellings.

# How many of the unit a nanomaggy is, worked out by hand: 3.631 uJy; a pixel of 0.262 arcsec is 1.6134e-12 sr; a count of
# zero point 27 is 10^(-1.8) nanomaggies; erg/s/cm2/Angstrom at 6,400 Angstrom: 3.631e-29 * c / (6.4e-5 cm)^2 * 1e-8.
PIXEL_SR = (0.262 / 206264.806) ** 2
PER_ANGSTROM = 3.631e-29 * 2.99792458e10 / 6.4e-5**2 * 1e-8

DEFINED: dict[str, tuple[float, dict[str, Any]]] = {
    "nanomaggies": (1, {}),
    "nMgy": (1, {}),
    "nmgy/pix": (1, {}),
    "nanomaggies per pixel": (1, {}),
    "maggies": (1e-9, {}),
    "uJy": (3.631, {}),
    "UJY": (3.631, {}),
    "microJansky": (3.631, {}),
    "nJy": (3631, {}),
    "10.0*nanoJansky": (363.1, {}),
    "1e-9 Jy": (3631, {}),
    "mJy/pixel": (3.631e-3, {}),
    "Jy": (3.631e-6, {}),
    "MJy/sr": (3.631e-12 / PIXEL_SR, {}),
    # What a resampled image still says of its old pixels does not matter: the unit is one of a surface brightness.
    "MJY/SR": (3.631e-12 / PIXEL_SR, {"PIXAR_SR": PIXEL_SR / 76}),
    "uJy/arcsec2": (3.631 / 0.262**2, {}),
    "erg/s/cm2/Hz": (3.631e-29, {}),
    "W/m2/Hz": (3.631e-32, {}),
    "10**(-20)*erg/s/cm**2/Angstrom": (PER_ANGSTROM / 1e-20, {"PHOTPLAM": 6400.0}),
    "count": (10**1.8, {"MAGZERO": 27.0}),
    "ADU": (10**1.8, {"MAGZPT": 27.0}),
    "DN": (10**1.8, {"PHOTZP": 27}),
    "counts/sec": (10**1.8, {"ZP": 27.0}),
    "electrons": (10**1.8, {"FLUXMAG0": 10**10.8}),
    "ELECTRONS/S": (PER_ANGSTROM / 7e-20, {"PHOTFLAM": 7e-20, "PHOTPLAM": 6400.0}),
    "ELECTRONS": (PER_ANGSTROM / 7e-20 * 500, {"PHOTFLAM": 7e-20, "PHOTPLAM": 6400.0, "EXPTIME": 500.0}),
    "e-/s": (3.631e-6 / 2e-7, {"PHOTFNU": 2e-7}),
    "": (10**1.8, {"FLUXMAG0": 10**10.8}),
    "photon": (10**1.8, {"MAGZERO": 0.0, "PHOTZP": 27.0}),
    "cps": (40 * 10 ** ((25 - 22.5) / 2.5), {"TELESCOP": "PS1", "EXPTIME": 40.0}),
}


@pytest.mark.parametrize("unit", DEFINED)
def test_a_galaxy_looks_the_same_in_every_unit_that_defines_its_flux(tmp_path: Path, unit: str) -> None:
    expected, _, _, _ = read_fits([write_cube(tmp_path / "a.fits", toy_galaxy(), BUNIT="nanomaggy")])
    factor, cards = DEFINED[unit]
    path = write_cube(tmp_path / "b.fits", (toy_galaxy() * factor).astype(np.float32), BUNIT=unit, **cards)
    picture, _, _, is_doubtful = read_fits([path])
    assert np.abs(picture.astype(int) - expected).max() <= 1
    assert not is_doubtful


def test_what_was_converted_is_said(tmp_path: Path) -> None:
    fluxes = (toy_galaxy() * 3.631).astype(np.float32)
    assert read_fits([write_cube(tmp_path / "a.fits", fluxes, BUNIT="uJy")])[2] == [
        "uJy turned into nanomaggies a pixel (x 0.2754)"
    ]
    assert read_fits([write_cube(tmp_path / "b.fits", fluxes, BUNIT="count", MAGZERO=23.9)])[2] == [
        "count (MAGZERO 23.9) turned into nanomaggies a pixel (x 0.2754)"
    ]


UNDEFINED: dict[str, dict[str, Any]] = {
    "count": {},
    "electron/s": {"PHOTFLAM": 7e-20},
    "ELECTRONS": {"PHOTFLAM": 7e-20, "PHOTPLAM": 6400.0},
    "DN": {"MAGZP": 20.5, "TELESCOP": "WISE"},
    "adu": {"MAGZERO": "unknown"},
    # A number that stands for no zero point made an image a thousand million times too bright.
    "ADU": {"ZP": 0.0},
    "ct": {"MAGZERO": -1},
    "counts": {"PHOTZP": -27.0},
    "photons": {"MAGZPT": 99.0},
    "K": {},
    "Jy/beam": {},
    "mag/arcsec2": {},
    "erg/s/cm2/Angstrom": {},
    "10 ct": {"MAGZERO": 27.0},
    "MJY": {},
    "arbitrary": {},
}


@pytest.mark.parametrize("unit", UNDEFINED)
def test_a_unit_that_does_not_define_a_flux_is_doubted(tmp_path: Path, unit: str) -> None:
    path = write_cube(tmp_path / "a.fits", toy_galaxy(), BUNIT=unit, **UNDEFINED[unit])
    _, _, notes, is_doubtful = read_fits([path])
    assert is_doubtful
    assert f"the unit {unit!r}" in notes[0]


def test_without_a_unit_nanomaggies_are_assumed_and_said(tmp_path: Path) -> None:
    without: list[dict[str, Any]] = [{}, {"BUNIT": ""}, {"BUNIT": "none"}]
    for cards in without:
        path = write_cube(tmp_path / "a.fits", toy_galaxy(), **cards)
        assert read_fits([path])[2:] == (["no unit in the header: taken as nanomaggies a pixel"], False)


def test_a_zero_point_that_is_said_is_that_of_counts_alone(tmp_path: Path) -> None:
    """A folder may hold both: what is in janskys keeps its unit."""
    expected = read_fits([write_cube(tmp_path / "a.fits", toy_galaxy(), BUNIT="nanomaggy")])[0]
    for unit, factor in (("count", 10**1.8), ("", 10**1.8), ("arbitrary", 10**1.8), ("uJy", 3.631)):
        path = write_cube(tmp_path / "b.fits", (toy_galaxy() * factor).astype(np.float32), BUNIT=unit)
        picture, _, notes, is_doubtful = read_fits([path], zero_point=27.0)
        assert np.abs(picture.astype(int) - expected).max() <= 1
        assert not is_doubtful
        assert ("zero point 27 as said" in notes[0]) == (unit != "uJy")


def test_each_band_may_have_its_own_unit(tmp_path: Path) -> None:
    expected = read_fits([write_cube(tmp_path / "a.fits", toy_galaxy(), BUNIT="nanomaggy")])[0]
    factors = np.array([1, 3.631, 10**1.8], np.float32)[:, None, None]
    cards: list[dict[str, Any]] = [{"BUNIT": "nanomaggy"}, {"BUNIT": "uJy"}, {"BUNIT": "count", "MAGZERO": 27.0}]
    headers = [tan_header(FILTER=band, **card) for band, card in zip("grz", cards, strict=True)]
    picture, _, notes, _ = read_fits(write_bands(tmp_path, toy_galaxy() * factors, headers))
    assert np.abs(picture.astype(int) - expected).max() <= 1
    assert [note.split(":")[0] for note in notes] == ["r", "z"]


def test_bands_with_and_without_a_unit_are_doubted(tmp_path: Path) -> None:
    headers = [tan_header(FILTER="g", BUNIT="uJy"), tan_header(FILTER="r", BUNIT="uJy"), tan_header(FILTER="z")]
    _, _, notes, is_doubtful = read_fits(write_bands(tmp_path, toy_galaxy() * 3.631, headers))
    assert is_doubtful
    assert "some bands have a unit and others none: the colours mean nothing" in notes


def test_the_scale_is_known_from_the_area_in_steradians(tmp_path: Path) -> None:
    cards = {"BUNIT": "MJy/sr", "BANDS": "grz", "PIXAR_SR": PIXEL_SR}
    fluxes = (toy_galaxy() * 3.631e-12 / PIXEL_SR).astype(np.float32)
    fits.PrimaryHDU(fluxes, fits.Header(cards)).writeto(tmp_path / "a.fits")
    assert read_fits([tmp_path / "a.fits"])[1] == pytest.approx(0.262, abs=1e-5)


def test_the_same_sky_is_as_bright_in_pixels_of_another_size() -> None:
    """Hubble's pixel of 0.05 arcsec holds 27 times less of a galaxy than one of the survey."""
    cards = {"BUNIT": "nanomaggy"}
    scale = find_flux_scale(lambda *keys: cards.get(keys[0]), pxscale=0.05, zero_point=None)
    assert scale.factor == pytest.approx((0.262 / 0.05) ** 2)
    assert "of pixels of 0.05 arcsec" in scale.notes[0].text
    cards = {"BUNIT": "MJy/sr"}
    factors = [find_flux_scale(lambda *keys: cards.get(keys[0]), pxscale=s, zero_point=None).factor for s in (0.03, 0.262)]
    assert factors[0] == pytest.approx(factors[1])


def test_fluxes_that_were_interpolated_to_small_pixels_do_not_make_a_white_picture(tmp_path: Path) -> None:
    expected = read_fits([write_cube(tmp_path / "a.fits", toy_galaxy(), BUNIT="nanomaggy")])[0]
    path = write_cube(tmp_path / "b.fits", toy_galaxy(), BUNIT="nanomaggy", scale=0.01)
    picture, _, notes, is_doubtful = read_fits([path])
    assert np.array_equal(picture, expected)
    assert "would be white: taken without it" in notes[-1]
    assert is_doubtful


def test_asinh_magnitudes_become_linear(tmp_path: Path) -> None:
    """As Pan-STARRS stores its skycells; the formula is that of its archive, the other way."""
    softening, offset, exposure = 80.0, 0.5, 400.0
    counts = toy_galaxy().astype(np.float64) * exposure * 10 ** ((25 - 22.5) / 2.5)
    stored = 2.5 / np.log(10) * np.arcsinh((counts - offset) / (2 * softening))
    cards = {"BSOFTEN": softening, "BOFFSET": offset, "EXPTIME": exposure, "FPA.TELESCOPE": "PS1"}
    path = write_cube(tmp_path / "a.fits", stored.astype(np.float32), **cards)
    picture, _, notes, _ = read_fits([path])
    expected = read_fits([write_cube(tmp_path / "b.fits", toy_galaxy(), BUNIT="nanomaggy")])[0]
    assert np.abs(picture.astype(int) - expected).max() <= 1
    assert "asinh magnitudes" in notes[0]
