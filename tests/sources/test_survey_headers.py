"""Headers as the surveys write them: from each the same galaxy comes out, as bright as it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from galaxies.data.field_of_view import FieldOfView
from galaxies.data.stretch import stretch_grey
from galaxies.sources.decoding import Decoded, decode
from galaxies.sources.inputs import Input
from tests.sources.fluxes import PXSCALE, SIZE, tan_header, toy_galaxy

pytestmark = pytest.mark.filterwarnings("ignore")

Hdus = list[Any]
Plane = NDArray[np.float32]
LOG = 2.5 / np.log(10)
PAN_STARRS: dict[str, Any] = {"HIERARCH FPA.FILTERID": "r.00000", "HIERARCH FPA.TELESCOPE": "PS1"}


def image(plane: Any, name: str = "", *, scale: float = PXSCALE, **cards: Any) -> fits.ImageHDU:
    return fits.ImageHDU(np.asarray(plane, np.float32), tan_header(scale=scale, **cards), name=name or None)


def first(**cards: Any) -> fits.PrimaryHDU:
    return fits.PrimaryHDU(header=fits.Header(cards))


def whole(plane: Any, *, scale: float = PXSCALE, **cards: Any) -> fits.PrimaryHDU:
    return fits.PrimaryHDU(np.asarray(plane, np.float32), tan_header(scale=scale, **cards))


def flags() -> fits.ImageHDU:
    return fits.ImageHDU(np.zeros((SIZE, SIZE), np.int32), fits.Header({"MP_NO_DATA": 8}), name="MASK")


def area(scale: float) -> float:
    return (scale / PXSCALE) ** 2


def sr(scale: float) -> float:
    return float(np.radians(scale / 3600) ** 2)


SURVEYS: dict[str, tuple[Callable[[Plane], Hdus], str]] = {
    "DES tile": (
        lambda r: [
            first(),
            image(1000 * r, "SCI", BAND="r", MAGZERO=30.0, FILTER="r DECam SDSS c0002 6415.0 1480.0"),
            flags(),
            image(r * 0 + 1, "WGT"),
        ],
        "r",
    ),
    "KiDS": (lambda r: [whole(1000 * r, FILTER="OCAM_r_SDSS", BUNIT="counts", MAGZP=30.0)], "r"),
    "HSC": (
        lambda r: [
            first(FILTER="HSC-R", FLUXMAG0=10**10.8),
            image(63.0957 * r, "IMAGE"),
            flags(),
            image(r, "VARIANCE"),
        ],
        "r",
    ),
    "Rubin": (lambda r: [first(FILTER="r"), image(3631 * r, "IMAGE", BUNIT="nJy"), flags(), image(r, "VARIANCE")], "r"),
    "Pan-STARRS": (
        lambda r: [
            whole(
                LOG * np.arcsinh(12_000 * r / 20),
                BSOFTEN=10.0,
                BOFFSET=0.0,
                EXPTIME=1200.0,
                **PAN_STARRS,
            )
        ],
        "r",
    ),
    "Euclid MER": (lambda r: [whole(3.631 * area(0.1) * r, scale=0.1, FILTER="VIS", MAGZERO=23.9, BUNIT="ADU")], "VIS"),
    "JWST i2d": (
        lambda r: [
            first(TELESCOP="JWST", FILTER="F150W", PUPIL="CLEAR"),
            image(3.631e-12 / sr(PXSCALE) * r, "SCI", scale=0.031, BUNIT="MJy/sr", PIXAR_SR=sr(0.031)),
            *(image(r * 0 + 1, name) for name in ("ERR", "WHT", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT")),
        ],
        "F150W",
    ),
    "SDSS frame": (
        lambda r: [whole(area(0.396) * r, scale=0.396, BUNIT="nanomaggy", FILTER="r"), fits.ImageHDU(np.ones(64, np.float32))],
        "r",
    ),
    "CFHT MegaPipe": (lambda r: [whole(1000 * r, FILTER="r.MP9601", PHOTZP=30.0, BUNIT="ADU")], "r"),
    "Hubble drz": (
        lambda r: [
            first(TELESCOP="HST", FILTER1="CLEAR1L", FILTER2="F814W"),
            image(r / 0.04182, "SCI", BUNIT="ELECTRONS/S", PHOTFLAM=7.03e-20, PHOTPLAM=8047.0),
            image(r * 0 + 1, "WHT"),
        ],
        "F814W",
    ),
    "SkyMapper": (lambda r: [whole(10**1.8 * r, FILTNAME="r", ZPAPPROX=27.0)], "r"),
    "ZTF": (lambda r: [whole(10**1.51 * r, FILTER="ZTF_r", MAGZP=26.275, BUNIT="DN")], "r"),
    "Legacy Surveys brick": (lambda r: [whole(r, FILTER="r", BUNIT="nanomaggy", MAGZERO=22.5)], "r"),
}


def read(path: Path) -> Decoded:
    (one,) = decode([Input("x", (path,))], FieldOfView(SIZE, None, None, None))
    return one


@pytest.mark.parametrize("survey", SURVEYS)
def test_the_headers_of_a_survey_give_its_fluxes(tmp_path: Path, survey: str) -> None:
    plane = toy_galaxy()[1]
    make, band = SURVEYS[survey]
    fits.HDUList(make(plane)).writeto(tmp_path / "a.fits")
    one = read(tmp_path / "a.fits")
    assert one.image is not None, one.error
    assert not one.is_doubtful
    assert one.notes[0] == f"one band ({band}), shown in grey: the training images have colours"
    # PHOTFLAM is known to four digits.
    assert np.abs(one.image.astype(int) - stretch_grey(plane)[::-1]).max() <= 2


@pytest.mark.parametrize(
    ("cards", "pxscale"),
    [
        *(({keyword: 0.262}, 0.262) for keyword in ("PIXSCALE", "PIXELSCL", "PIXSIZE", "SCALE", "SECPIX", "PIXSCAL1")),
        *(
            ({"PIXSCALE": text}, 0.262)
            for text in ("0.262", " 0.262 arcsec", "0.262 arcsec/pix", '0.262"', "0.262 arcsec per pixel")
        ),
        ({"PIXSCALE": "7.2777778e-5 deg"}, 0.262),
        *(({"PIXSCALE": text}, np.nan) for text in ("abc", "0.2.6", "-0.3", "0")),
        ({"SCALE": 1.0}, np.nan),
        ({"PIXSIZE": 15.0}, np.nan),
    ],
    ids=str,
)
def test_a_pixel_scale_is_read_as_a_number_or_as_text(tmp_path: Path, cards: dict[str, Any], pxscale: float) -> None:
    """PIXSIZE may be a detector's in micrometres, and SCALE a factor of 1."""
    fits.writeto(tmp_path / "a.fits", toy_galaxy(), fits.Header({"BANDS": "grz", "BUNIT": "nanomaggy", **cards}))
    assert read(tmp_path / "a.fits").entry.pxscale == pytest.approx(pxscale, rel=1e-6, nan_ok=True)


SIDES = {"CDELT1": -PXSCALE / 3600, "CDELT2": PXSCALE / 3600}
ONES = {"PC1_1": 1.0, "PC2_2": 1.0}


@pytest.mark.parametrize("cards", [ONES, {"CDELT1": 1.0, "CDELT2": 1.0}, {**SIDES, **ONES}], ids=str)
def test_a_matrix_that_is_said_twice_is_one(tmp_path: Path, cards: dict[str, Any]) -> None:
    fits.writeto(tmp_path / "a.fits", toy_galaxy(), tan_header(BANDS="grz", BUNIT="nanomaggy", **cards))
    assert read(tmp_path / "a.fits").entry.pxscale == pytest.approx(PXSCALE)


def test_a_cube_may_name_its_filters_one_by_one(tmp_path: Path) -> None:
    header = tan_header(FILT1="z", FILT2="r", FILT3="g", BUNIT="nanomaggy")
    fits.writeto(tmp_path / "a.fits", toy_galaxy()[::-1], header)
    fits.writeto(tmp_path / "b.fits", toy_galaxy(), tan_header(BANDS="grz", BUNIT="nanomaggy"))
    np.testing.assert_array_equal(read(tmp_path / "a.fits").image, read(tmp_path / "b.fits").image)
