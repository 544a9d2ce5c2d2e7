"""What three images in a file are is told by their names and kinds, never guessed from their number."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from galaxies.errors import InputError
from galaxies.sources.fits_names import find_letter, names_companion
from tests.sources.fluxes import SIZE, read_fits, tan_header, toy_galaxy, write_cube

pytestmark = pytest.mark.filterwarnings("ignore")

G, R, Z = toy_galaxy()


def image(pixels: NDArray[Any], name: str | None = None, **cards: Any) -> fits.ImageHDU:
    return fits.ImageHDU(pixels, tan_header(BUNIT="nanomaggy", **cards), name=name)


def write(path: Path, *hdus: fits.ImageHDU, **primary: Any) -> list[Path]:
    """Write extensions behind a first header without an image."""
    fits.HDUList([fits.PrimaryHDU(header=fits.Header(primary)), *hdus]).writeto(path)
    return [path]


SEGMENTS = (R > 0.05).astype(np.int32)

ONE_IMAGE: dict[str, list[fits.ImageHDU]] = {
    "GALFIT": [
        image(R, OBJECT="gal.fits[1:256,1:256]"),
        image(R * 0.9, OBJECT="model"),
        image(R * 0.1, OBJECT="residual map"),
    ],
    "segmentation and rms": [image(R), image(SEGMENTS, "SEGMAP"), image(R * 0 + 1, "RMS")],
    "whole numbers without names": [image(R), image(SEGMENTS), image(SEGMENTS.astype(np.int16))],
    "JWST": [image(R, name) for name in ("SCI", "ERR", "CON", "WHT", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT")],
    "HSC": [image(R, "IMAGE"), image(SEGMENTS, "MASK"), image(R, "VARIANCE")],
    "DES": [image(R, "SCI"), image(SEGMENTS, "MSK"), image(R, "WGT")],
    "CCDData": [image(R), image(SEGMENTS.astype(np.uint8), "MASK"), image(R, "UNCERT")],
    "Euclid": [image(R, "VIS"), image(R, "VIS_RMS"), image(R, "VIS_FLAG"), image(R, "BACKGROUND_MODEL")],
    "ESO": [image(R, "CHIP1", HDUCLAS2="DATA"), image(R, "CHIP1E", HDUCLAS2="ERROR"), image(R, "C", HDUCLAS2="QUALITY")],
}


@pytest.mark.parametrize("kind", ONE_IMAGE)
def test_companions_are_no_bands(tmp_path: Path, kind: str) -> None:
    alone = read_fits(write(tmp_path / "alone.fits", image(R)))[0]
    # A weight of 0 or less flags a pixel, and the noise of this toy is below it.
    hdus = [image(np.abs(hdu.data) + 1, hdu.name) if hdu.name in ("WHT", "WGT") else hdu for hdu in ONE_IMAGE[kind]]
    picture, _, notes, _ = read_fits(write(tmp_path / "a.fits", *hdus))
    assert np.array_equal(picture, alone)
    assert notes == [
        f"one band ({'VIS' if kind == 'Euclid' else 'CHIP1' if kind == 'ESO' else 'unnamed'}), shown in grey: "
        "the training images have colours"
    ]


def test_other_bands_are_an_error_that_names_the_extensions(tmp_path: Path) -> None:
    files = write(tmp_path / "a.fits", image(R, "VIS_FLUX"), image(R, "NIR_Y"), image(Z, "NIR_H"), image(Z, "NIR_H_RMS"))
    with pytest.raises(InputError, match=r"found the images VIS_FLUX, NIR_Y, NIR_H \(beside NIR_H_RMS, .*\), expected g"):
        read_fits(files)


def test_two_chips_of_one_camera_are_an_error(tmp_path: Path) -> None:
    files = write(tmp_path / "a.fits", image(R, "SCI"), image(R, "SCI", EXTVER=2), FILTER="F814W")
    with pytest.raises(InputError, match=r"found the images SCI \(F814W\), SCI,2 \(F814W\), expected"):
        read_fits(files)


def test_a_residual_alone_is_no_galaxy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"found no image of the sky \(beside RESIDUAL, which by their names"):
        read_fits(write(tmp_path / "a.fits", image(R, "RESIDUAL")))


def test_bands_are_found_by_name_among_others(tmp_path: Path) -> None:
    expected = read_fits([write_cube(tmp_path / "cube.fits", toy_galaxy(), BUNIT="nanomaggy")])[0]
    hdus = [image(Z, "IMAGE_Z"), image(Z, "INVVAR_Z"), image(R * 3, "IMAGE_I"), image(G, "IMAGE_G"), image(R, "IMAGE_R")]
    hdus[1].data = np.ones((SIZE, SIZE), np.float32)
    picture, _, notes, _ = read_fits(write(tmp_path / "a.fits", *hdus))
    assert np.array_equal(picture, expected)
    assert notes == []


@pytest.mark.parametrize("cards", [{"BANDS": "g, r, z"}, {"BANDS": "g r z"}, {"BAND0": "g", "BAND1": "r", "BAND2": "z"}])
def test_a_cube_names_its_bands_in_several_ways(tmp_path: Path, cards: dict[str, Any]) -> None:
    expected = read_fits([write_cube(tmp_path / "a.fits", toy_galaxy())])[0]
    fits.PrimaryHDU(toy_galaxy(), tan_header(**cards)).writeto(tmp_path / "b.fits")
    picture, _, notes, _ = read_fits([tmp_path / "b.fits"])
    assert np.array_equal(picture, expected)
    assert not any("have no names" in note for note in notes)


def test_a_cube_of_other_bands_is_refused(tmp_path: Path) -> None:
    path = write_cube(tmp_path / "a.fits", toy_galaxy(), BANDS="F115W,F150W,F200W")
    with pytest.raises(InputError, match="found the bands F115W, F150W, F200W, expected g, r and z"):
        read_fits([path])


@pytest.mark.parametrize("cards", [{"FILTER": "zrg"}, {"BAND": "z,r,g"}, {"FILTERS": "z r g"}])
def test_a_cube_may_list_its_bands_in_the_filter(tmp_path: Path, cards: dict[str, Any]) -> None:
    """They were said to have no names, and red and blue were exchanged."""
    expected = read_fits([write_cube(tmp_path / "a.fits", toy_galaxy(), BUNIT="nanomaggy")])[0]
    fits.PrimaryHDU(toy_galaxy()[::-1], tan_header(BUNIT="nanomaggy", **cards)).writeto(tmp_path / "b.fits")
    picture, _, notes, _ = read_fits([tmp_path / "b.fits"])
    assert np.array_equal(picture, expected)
    assert notes == []


@pytest.mark.parametrize(
    ("cards", "found"),
    [
        ({"FILTER": "r"}, "r, r, r"),
        ({"FILTER": "F814W"}, "F814W, F814W, F814W"),
        ({"CTYPE3": "STOKES"}, "STOKES 1, STOKES 2, STOKES 3"),
        ({"CTYPE3": "WAVE-LOG"}, "WAVE-LOG 1, WAVE-LOG 2, WAVE-LOG 3"),
    ],
)
def test_three_planes_of_one_filter_are_no_colours(tmp_path: Path, cards: dict[str, Any], found: str) -> None:
    fits.PrimaryHDU(toy_galaxy(), tan_header(BUNIT="nanomaggy", **cards)).writeto(tmp_path / "a.fits")
    with pytest.raises(InputError, match=f"found the bands {found}, expected g, r and z by name"):
        read_fits([tmp_path / "a.fits"])


def test_axes_of_one_do_not_matter(tmp_path: Path) -> None:
    expected = read_fits([write_cube(tmp_path / "a.fits", toy_galaxy())])[0]
    assert np.array_equal(read_fits([write_cube(tmp_path / "b.fits", toy_galaxy()[None])])[0], expected)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("r DECam SDSS c0002 6415.0 1480.0", "r"),
        ("HSC-G", "g"),
        ("HSC-R2", "r"),
        ("OCAM_r_SDSS", "r"),
        ("g.MP9402", "g"),
        ("z.00000", "z"),
        ("IMAGE_Z", "z"),
        ("g'", "g"),
        ("NIR_Y", None),
        ("F606W", None),
        ("Ks", None),
        ("g r z", None),
        ("", None),
    ],
)
def test_a_filter_is_known_by_the_name_that_its_telescope_gives_it(text: str, letter: str | None) -> None:
    assert find_letter(text) == letter


@pytest.mark.parametrize("name", ["SCI", "IMAGE_G", "VIS_FLUX", "NIR_Y", "CHIP1", "MASKED", "NGC1300"])
def test_what_is_called_otherwise_is_no_companion(name: str) -> None:
    assert not names_companion(name)
