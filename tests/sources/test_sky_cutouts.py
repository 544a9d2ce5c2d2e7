"""A catalogue's position cuts its galaxy out of a mosaic, of which nothing else is read."""

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from PIL import Image

from galaxies.data.field_of_view import FieldOfView
from galaxies.errors import InputError
from galaxies.sources import fits_pixels, fits_planes, image_reader
from galaxies.sources.decoding import Decoded, decode
from galaxies.sources.image_reader import ReadOptions
from galaxies.sources.inputs import Input, list_inputs
from tests.sources.fluxes import PXSCALE, SIZE, read_fits, tan_header, toy_galaxy, write_cube

pytestmark = pytest.mark.filterwarnings("ignore")

FIELD = FieldOfView(SIZE, PXSCALE, PXSCALE, PXSCALE)
MOSAIC = 400
PLACES = ((0, 0), (300, 210), (7, 330))  # the first column and row of three galaxies


def make_mosaic() -> NDArray[np.float32]:
    fluxes = np.random.default_rng(9).normal(0, 0.004, (3, MOSAIC, MOSAIC)).astype(np.float32)
    for seed, (x, y) in enumerate(PLACES):
        fluxes[:, y : y + SIZE, x : x + SIZE] = np.rot90(toy_galaxy(seed=seed), seed, (1, 2))
    return fluxes


def find_position(header: fits.Header, x: float, y: float) -> tuple[float, float]:
    ra, dec = WCS(header).celestial.all_pix2world(x, y, 0, ra_dec_order=True)
    return float(ra), float(dec)


def positions() -> list[tuple[float, float]]:
    return [find_position(tan_header(size=MOSAIC), x + (SIZE - 1) / 2, y + (SIZE - 1) / 2) for x, y in PLACES]


def cut(path: Path, ra: float, dec: float, field: FieldOfView | None = FIELD, **options: Any) -> Decoded:
    return decode([Input("x", (path,), ra=ra, dec=dec)], field, ReadOptions(**options))[0]


def write_tiles(path: Path, fluxes: NDArray[np.float32]) -> None:
    """Write a mosaic as three compressed extensions."""
    hdus: list[Any] = [fits.PrimaryHDU()]
    for band, plane in zip("grz", fluxes, strict=True):
        header = tan_header(size=MOSAIC, BUNIT="nanomaggy")
        hdus.append(fits.CompImageHDU(plane, header, f"IMAGE_{band}", "GZIP_1", quantize_level=0.0))
    fits.HDUList(hdus).writeto(path)


def pack(module: Any, path: Path) -> None:
    write_cube(path.with_name("plain.fits"), make_mosaic(), BUNIT="nanomaggy")
    path.write_bytes(module.compress(path.with_name("plain.fits").read_bytes()))


LAYOUTS: dict[str, Callable[[Path], object]] = {
    "mosaic.fits": lambda path: write_cube(path, make_mosaic(), BUNIT="nanomaggy"),
    "mosaic.fits.fz": lambda path: write_tiles(path, make_mosaic()),
    "mosaic.fits.gz": lambda path: pack(gzip, path),
    "mosaic.fits.bz2": lambda path: pack(bz2, path),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_galaxies_cut_from_a_mosaic_are_those_of_their_own_files_bit_by_bit(tmp_path: Path, name: str) -> None:
    LAYOUTS[name](tmp_path / name)
    inputs = [Input(str(i), (tmp_path / name,), ra=ra, dec=dec) for i, (ra, dec) in enumerate(positions())]
    for (x, y), decoded in zip(PLACES, decode(inputs, FIELD), strict=True):
        alone = write_cube(tmp_path / "alone.fits", make_mosaic()[:, y : y + SIZE, x : x + SIZE], BUNIT="nanomaggy")
        expected, _, _, _ = read_fits([alone])
        assert decoded.image is not None
        assert np.array_equal(decoded.image, expected)
        assert decoded.notes == ()


def test_a_mosaic_is_opened_once_and_only_the_galaxies_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiles(tmp_path / "a.fits.fz", make_mosaic())
    opened, read = [], []
    open_contents, read_pixels = fits_planes.open_contents, fits_pixels.FitsImage._read

    def count_opened(path: Path, **options: Any) -> Any:
        opened.append(path)
        return open_contents(path, **options)

    def count_read(self: Any, place: Any, rows: slice, columns: slice, dtype: Any) -> Any:
        read.append(rows.stop - rows.start)
        return read_pixels(self, place, rows, columns, dtype)

    monkeypatch.setattr(image_reader, "open_contents", count_opened)
    monkeypatch.setattr(fits_pixels.FitsImage, "_read", count_read)
    inputs = [Input("x", (tmp_path / "a.fits.fz",), ra=ra, dec=dec) for ra, dec in positions() * 20]
    assert all(decoded.error is None for decoded in decode(inputs, FIELD))
    assert len(opened) == 1
    # Sixty galaxies of three bands touch all strips, each of which is unpacked once.
    assert sum(read) == 3 * MOSAIC


def test_a_mosaic_may_be_larger_than_what_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_cube(tmp_path / "a.fits", make_mosaic(), BUNIT="nanomaggy")
    monkeypatch.setattr("galaxies.sources.fits_files.MAX_PIXELS", 100_000)
    monkeypatch.setattr("galaxies.sources.flux_images.MAX_PIXELS", 100_000)
    assert cut(path, *positions()[1]).error is None
    whole = decode([Input("x", (path,))], FIELD)[0]
    assert "480,000 pixels, allowed are 1 to 100,000" in str(whole.error)


@pytest.mark.parametrize("ra", [149.5, 150.3, 330.0])
def test_a_position_outside_is_an_error(tmp_path: Path, ra: float) -> None:
    decoded = cut(write_cube(tmp_path / "a.fits", make_mosaic()), ra, 2.0)
    assert decoded.image is None
    assert f"the position ra {ra:g}, dec 2 lies outside the image of 400 x 400 px" in str(decoded.error)


def test_a_position_where_nothing_was_measured_is_an_error(tmp_path: Path) -> None:
    fluxes = make_mosaic()
    fluxes[:, 200:, 200:] = np.nan
    assert "holds no measurement at ra" in str(cut(write_cube(tmp_path / "a.fits", fluxes), *positions()[1]).error)


def test_without_a_wcs_the_position_is_said_to_be_unused(tmp_path: Path) -> None:
    fits.PrimaryHDU(toy_galaxy(), fits.Header({"BANDS": "grz"})).writeto(tmp_path / "a.fits")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)).save(tmp_path / "b.png")
    for name in ("a.fits", "b.png"):
        decoded = cut(tmp_path / name, 150.0, 2.0)
        assert decoded.error is None
        assert "the position is not used: there is no celestial WCS in which to find it" in decoded.notes
        assert not any("position" in note for note in decode([Input("x", (tmp_path / name,))], FIELD)[0].notes)


def test_in_a_mosaic_a_galaxy_without_position_is_an_error_and_not_the_middle(tmp_path: Path) -> None:
    """Empty, wrong, or half a position: which galaxy is meant nobody knows; of a cutout it is the one in the middle."""
    write_cube(tmp_path / "mosaic.fits", make_mosaic())
    write_cube(tmp_path / "cutout.fits", toy_galaxy())
    write_cube(tmp_path / "wide.fits", make_mosaic()[:, :128, :128])
    rows = ("mosaic.fits,,", "mosaic.fits,150,95", "mosaic.fits,150,", "cutout.fits,,", "wide.fits,nan,nan")
    (tmp_path / "c.csv").write_text("\n".join(["path,ra,dec", *rows]) + "\n")
    found = decode(list(list_inputs(str(tmp_path / "c.csv"))), FIELD)
    reason = "the catalogue gives no position (ra and dec) for it, and the image is 6.26 fields wide: which galaxy is meant?"
    assert [one.error for one in found] == [reason] * 3 + [None] * 2
    assert found[1].notes == ("dec: found '95', expected degrees from -90 to 90, or sexagesimal: the position is unknown",)
    as_is = decode(list(list_inputs(str(tmp_path / "c.csv"))), FIELD, ReadOptions(as_is=True))
    assert [one.error for one in as_is] == [None] * 5
    (tmp_path / "c.csv").write_text("path\nmosaic.fits\n")
    (plain,) = decode(list(list_inputs(str(tmp_path / "c.csv"))), FIELD)
    assert plain.notes[0].startswith("no unit")
    assert "cropped and resampled" in plain.notes[-1]


def test_where_the_position_cannot_be_used_a_mosaic_is_doubted(tmp_path: Path) -> None:
    """Thousands of galaxies would be the same middle of it."""
    for size in (MOSAIC, SIZE):
        header = fits.Header({"BANDS": "grz", "BUNIT": "nanomaggy", "PIXSCALE": PXSCALE})
        fits.writeto(tmp_path / f"{size}.fits", make_mosaic()[:, :size, :size], header)
    large, small = (cut(tmp_path / f"{size}.fits", 150.0, 2.0) for size in (MOSAIC, SIZE))
    assert (large.is_doubtful, small.is_doubtful) == (True, False)
    assert large.notes[0] == small.notes[0] == "the position is not used: there is no celestial WCS in which to find it"


def test_a_cutout_around_its_galaxy_is_taken_as_without_a_position(tmp_path: Path) -> None:
    """A catalogue gives positions of its cutouts too, to the pixel or a fraction of it."""
    path = write_cube(tmp_path / "a.fits", toy_galaxy(), BUNIT="nanomaggy")
    whole = decode([Input("x", (path,))], FIELD)[0]
    for x, y in ((31.5, 31.5), (31.9, 31.0), (32.4, 30.6)):
        decoded = cut(path, *find_position(tan_header(), x, y))
        assert decoded.image is not None
        assert whole.image is not None
        assert np.array_equal(decoded.image, whole.image)
        assert decoded.notes == whole.notes == ()


def test_a_galaxy_at_the_edge_is_cut_with_sky_beyond_it_and_doubted_when_too_near(tmp_path: Path) -> None:
    path = write_cube(tmp_path / "a.fits", make_mosaic(), BUNIT="nanomaggy")
    near = cut(path, *find_position(tan_header(size=MOSAIC), 5, 200))
    assert near.notes == ("the image ends 6 px from the galaxy: 41% of its field is taken as empty sky",)
    assert near.is_doubtful
    assert near.image is not None
    assert (near.image[:, :20] == near.image[0, 0]).all()
    assert not cut(path, *find_position(tan_header(size=MOSAIC), 25, 200)).is_doubtful


def test_how_much_is_cut_follows_the_field(tmp_path: Path) -> None:
    path = write_cube(tmp_path / "a.fits", make_mosaic(), BUNIT="nanomaggy")
    ra, dec = positions()[1]
    wide = cut(path, ra, dec, FieldOfView(SIZE, 2 * PXSCALE, 2 * PXSCALE, 2 * PXSCALE))
    assert wide.notes == (f"cropped and resampled from {128 * PXSCALE:.1f} to {128 * PXSCALE:.1f} arcsec",)
    as_is = cut(path, ra, dec, FieldOfView(32, 2.0, 2.0, 2.0), as_is=True)
    assert as_is.image is not None
    assert as_is.image.shape == (32, 32, 3)
    said = cut(path, ra, dec, FIELD, pxscale=2 * PXSCALE)
    assert said.image is not None
    assert said.image.shape == (SIZE, SIZE, 3)
    assert said.entry.pxscale == 2 * PXSCALE


@pytest.mark.parametrize("kind", ["galactic", "equinox 1975", "swapped axes", "SIP"])
def test_every_celestial_wcs_finds_the_position(tmp_path: Path, kind: str) -> None:
    header = tan_header(size=MOSAIC, BANDS="grz", BUNIT="nanomaggy")
    if kind == "galactic":
        middle = SkyCoord(150.0, 2.0, unit="deg").galactic
        header.update({"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN", "CRVAL1": middle.l.deg, "CRVAL2": middle.b.deg})
    if kind == "equinox 1975":
        header.update({"RADESYS": "FK5", "EQUINOX": 1975.0})
    if kind == "swapped axes":
        header.update({"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": 2.0, "CRVAL2": 150.0})
    if kind == "SIP":
        header.update(
            {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-5, "B_0_2": 1e-5}
        )
    x, y = PLACES[1][0] + (SIZE - 1) / 2, PLACES[1][1] + (SIZE - 1) / 2
    if kind in ("galactic", "equinox 1975"):
        there = WCS(header).celestial.pixel_to_world(x, y).icrs
        ra, dec = there.ra.deg, there.dec.deg
    else:
        ra, dec = find_position(header, x, y)
    fits.PrimaryHDU(make_mosaic(), header).writeto(tmp_path / "a.fits")
    decoded = cut(tmp_path / "a.fits", ra, dec)
    expected = cut(write_cube(tmp_path / "b.fits", make_mosaic(), BUNIT="nanomaggy"), *positions()[1])
    assert decoded.image is not None
    assert expected.image is not None
    assert np.mean(decoded.image == expected.image) > (0.5 if kind == "SIP" else 0.999)


def test_a_mosaic_that_cannot_be_opened_tells_every_galaxy_why(tmp_path: Path) -> None:
    (tmp_path / "a.fits").write_bytes(b"SIMPLE  = nonsense")
    inputs = [Input("x", (tmp_path / "a.fits",), ra=ra, dec=dec) for ra, dec in positions()]
    assert all("header does not end" in str(decoded.error) for decoded in decode(inputs, FIELD))


def test_a_position_needs_no_head_that_knows_its_field(tmp_path: Path) -> None:
    decoded = cut(write_cube(tmp_path / "a.fits", make_mosaic(), BUNIT="nanomaggy"), 150.0, 2.0, None)
    assert decoded.image is not None
    assert decoded.image.shape == (256, 256, 3)


def test_an_open_end_of_the_sky_is_no_crash(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lies outside"):
        read_fits([write_cube(tmp_path / "a.fits", toy_galaxy())], ra=10.0, dec=-89.0)
