"""A number that stands for no measurement is none, whatever it is; a faint or a saturated galaxy is one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from tests.sources.fluxes import SIZE, read_fits, tan_header, toy_galaxy, write_cube

pytestmark = pytest.mark.filterwarnings("ignore")

QUARTER = SIZE // 4


@pytest.mark.parametrize(
    "value", [np.nan, np.inf, -99, -999, -9999, -9e18, -9.223372e18, 1e20, 1e30, 3.4e38, -3.4e38, 0, -1, -32768, 99999]
)
def test_a_sentinel_is_missing_as_nan_is(tmp_path: Path, value: float) -> None:
    fluxes = toy_galaxy()
    fluxes[:, :QUARTER] = np.nan
    expected = read_fits([write_cube(tmp_path / "nan.fits", fluxes, BUNIT="nanomaggy")])
    fluxes[:, :QUARTER] = value
    found = read_fits([write_cube(tmp_path / "a.fits", fluxes, BUNIT="nanomaggy")])
    assert np.array_equal(found[0], expected[0])
    (note,) = found[2]
    assert note.startswith("25.00% of the fluxes are missing (")
    assert note.endswith("): taken as empty sky")
    assert found[3]
    assert expected[3]


def test_a_sentinel_amid_the_noise_of_counts_is_found_where_many_are_the_same(tmp_path: Path) -> None:
    counts = np.random.default_rng(0).normal(0, 200, (SIZE, SIZE)).astype(np.float32)
    counts[:QUARTER] = -99
    fits.PrimaryHDU(counts, tan_header(BUNIT="count", MAGZERO=30.0)).writeto(tmp_path / "a.fits")
    assert "25.00% of the fluxes are missing (-99)" in " ".join(read_fits([tmp_path / "a.fits"])[2])


def test_several_reasons_are_all_said(tmp_path: Path) -> None:
    fluxes = toy_galaxy()
    fluxes[:, :2], fluxes[:, 2:4], fluxes[:, 4:6] = np.nan, -999, 1e30
    (note,) = read_fits([write_cube(tmp_path / "a.fits", fluxes, BUNIT="nanomaggy")])[2]
    assert note == "9.38% of the fluxes are missing (not finite, 1e+30, -999): taken as empty sky"


def test_a_few_missing_pixels_beside_the_galaxy_leave_the_answer_standing(tmp_path: Path) -> None:
    fluxes = toy_galaxy()
    fluxes[:, 0, :] = np.nan
    assert not read_fits([write_cube(tmp_path / "a.fits", fluxes, BUNIT="nanomaggy")])[3]
    fluxes = toy_galaxy()
    fluxes[:, SIZE // 2 - 9 : SIZE // 2 + 9, SIZE // 2 - 9 : SIZE // 2 + 9] = np.nan
    assert read_fits([write_cube(tmp_path / "b.fits", fluxes, BUNIT="nanomaggy")])[3]


def test_a_saturated_core_is_filled_in_from_around_it(tmp_path: Path) -> None:
    """As JWST leaves them, not finite: taken for sky it would be a ring galaxy."""
    fluxes = toy_galaxy()
    expected = read_fits([write_cube(tmp_path / "a.fits", fluxes, BUNIT="nanomaggy")])[0]
    fluxes[:, 31:33, 31:33] = np.nan
    picture, _, notes, is_doubtful = read_fits([write_cube(tmp_path / "b.fits", fluxes, BUNIT="nanomaggy")])
    assert notes == ["0.10% of the fluxes are missing (not finite): filled in from around them"]
    assert not is_doubtful
    assert picture[31:33, 31:33].min() > 0.8 * expected[31:33, 31:33].min()
    outside = np.ones((SIZE, SIZE), bool)
    outside[31:33, 31:33] = False
    assert np.array_equal(picture[outside], expected[outside])


WHOLE: dict[str, Any] = {
    "a saturated core": np.minimum(toy_galaxy() * 5, 0.9),
    "no noise": np.where(toy_galaxy() > 0.03, toy_galaxy(), 0),
    "cut off at 0": np.maximum(toy_galaxy(), 0),
    "whole numbers": (toy_galaxy() * 300).astype(np.int16),
    "a disc": np.where(np.hypot(*np.indices((SIZE, SIZE)) - SIZE / 2) < 9, 1.0, 0.01).astype(np.float32)
    * np.ones((3, 1, 1), "f4"),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_what_was_measured_is_not_missing(tmp_path: Path, kind: str) -> None:
    notes = read_fits([write_cube(tmp_path / "a.fits", WHOLE[kind], BUNIT="nanomaggy")])[2]
    assert not any("missing" in note for note in notes)


def test_the_steps_of_a_lossy_compression_are_measured(tmp_path: Path) -> None:
    """Without dithering thousands of pixels of an empty sky become exactly 0."""
    hdus: list[Any] = [fits.PrimaryHDU()]
    for band, plane in zip("grz", toy_galaxy(size=256), strict=True):
        header = tan_header(size=256, BUNIT="nanomaggy")
        hdus.append(fits.CompImageHDU(plane, header, f"IMAGE_{band}", "RICE_1", quantize_level=2.0))
    fits.HDUList(hdus).writeto(tmp_path / "a.fits.fz")
    with fits.open(tmp_path / "a.fits.fz") as written:
        assert np.count_nonzero(written[1].data == 0) > 1000
    assert read_fits([tmp_path / "a.fits.fz"])[2] == []


def write_with(path: Path, name: str, companion: Any, **cards: Any) -> Path:
    hdus = [fits.PrimaryHDU(header=fits.Header({"TELESCOP": cards.pop("TELESCOP", "")}))]
    hdus += [fits.ImageHDU(toy_galaxy()[1], tan_header(BUNIT="nanomaggy"), name="SCI")]
    hdus += [fits.ImageHDU(companion, fits.Header(cards), name=name)]
    fits.HDUList(hdus).writeto(path)
    return path


def half(value: float, other: float, dtype: Any) -> Any:
    pixels = np.full((SIZE, SIZE), other, dtype)
    pixels[: SIZE // 2] = value
    return pixels


@pytest.mark.parametrize(
    ("name", "companion", "cards", "reason"),
    [
        ("DQ", half(1, 4, np.uint32), {"TELESCOP": "JWST"}, "flagged in DQ"),
        ("DQ", half(2**30 + 1, 2**30, np.uint32), {"TELESCOP": "JWST"}, "flagged in DQ"),
        ("DQ", half(4, 16, np.int16), {"TELESCOP": "HST"}, "flagged in DQ"),
        ("MASK", half(2**8, 2**5, np.int32), {"MP_NO_DATA": 8}, "flagged in MASK"),
        ("WHT", half(0, 3, np.float32), {}, "without weight in WHT"),
        ("INVVAR", half(0, 100, np.float32), {}, "without weight in INVVAR"),
    ],
)
def test_flags_whose_meaning_is_known_are_used(tmp_path: Path, name: str, companion: Any, cards: Any, reason: str) -> None:
    _, _, notes, is_doubtful = read_fits([write_with(tmp_path / "a.fits", name, companion, **cards)])
    assert notes[-1] == f"50.00% of the fluxes are missing ({reason}): taken as empty sky"
    assert is_doubtful


@pytest.mark.parametrize("name", ["MASK", "DQ", "FLAGS", "MASKBITS", "SEGMAP", "ERR"])
def test_flags_whose_meaning_is_unknown_are_left_alone(tmp_path: Path, name: str) -> None:
    notes = read_fits([write_with(tmp_path / "a.fits", name, half(1, 0, np.int32))])[2]
    assert not any("missing" in note for note in notes)


def test_a_blank_of_0_is_missing(tmp_path: Path) -> None:
    """Astropy passes it over, and a corner without an exposure was sky."""
    numbers = np.maximum(1, 500 + toy_galaxy() * 1000).astype(np.int16)
    numbers[:, :QUARTER] = 0
    path = write_cube(tmp_path / "a.fits", numbers, BUNIT="0.001 nanomaggy", BLANK=0)
    assert "25.00% of the fluxes are missing (not finite): taken as empty sky" in read_fits([path])[2]


def test_a_0_of_scaled_whole_numbers_is_one_of_many(tmp_path: Path) -> None:
    """With BSCALE the sky has few levels, of which 0 is one: 7 % of a whole galaxy counted as missing."""
    hdu = fits.PrimaryHDU(toy_galaxy().copy(), tan_header(BANDS="grz", BUNIT="nanomaggy"))
    hdu.scale("int16", bscale=2e-3, bzero=0.5)
    hdu.writeto(tmp_path / "a.fits")
    assert read_fits([tmp_path / "a.fits"])[2:] == ([], False)


def test_what_lies_far_below_the_sky_is_doubted(tmp_path: Path) -> None:
    """After a sky was subtracted, a sentinel is no constant any more: -99 became -99.003 to -98.996, without a word."""
    fluxes = toy_galaxy()
    fluxes[:, :QUARTER] -= 99
    _, _, notes, is_doubtful = read_fits([write_cube(tmp_path / "a.fits", fluxes, BUNIT="nanomaggy")])
    assert "25% of the image lies far below the sky" in notes
    assert is_doubtful
