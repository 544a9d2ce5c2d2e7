"""FITS files of every layout become the same image, and headers are never believed before the file's size is."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from galaxies.data.stretch import stretch_to_rgb
from galaxies.errors import InputError
from galaxies.sources import fits_files

# As `decode` does: astropy warns of what becomes a note or an error here.
pytestmark = pytest.mark.filterwarnings("ignore")


def toy_fluxes(size: int = 24) -> NDArray[np.float32]:
    """Return g, r, z of a red blob above the middle, (3, S, S)."""
    y, x = np.indices((size, size))
    blob = np.exp(-((x - size / 2) ** 2 + (y - size / 3) ** 2) / 20)
    return (np.array([0.1, 0.4, 0.9])[:, None, None] * blob).astype(np.float32)


def read_fits(files: list[Path]) -> tuple[NDArray[np.uint8], float, list[str]]:
    """Return image, pixel scale and the notes' texts."""
    image, pxscale, notes = fits_files.read_fits(files)
    return image, pxscale, [note.text for note in notes]


def write(path: Path, *planes: Any, **header: Any) -> Path:
    """Write each array as an HDU, with the header in all of them."""
    hdus = [(fits.PrimaryHDU if i == 0 else fits.ImageHDU)(data) for i, data in enumerate(planes)]
    for hdu in hdus:
        hdu.header.update(header)
    fits.HDUList(hdus).writeto(path)
    return path


# FITS counts rows from the bottom.
EXPECTED = stretch_to_rgb(toy_fluxes()[:, ::-1])


def test_a_cube_with_named_bands_needs_no_note(tmp_path: Path) -> None:
    image, pxscale, notes = read_fits([write(tmp_path / "a.fits", toy_fluxes()[::-1], BANDS="zrg")])
    assert np.array_equal(image, EXPECTED)
    assert notes == []
    assert np.isnan(pxscale)


def test_three_planes_without_names_are_taken_as_g_r_z_with_a_note(tmp_path: Path) -> None:
    for path in (
        write(tmp_path / "a.fits", toy_fluxes()),
        write(tmp_path / "b.fits", *toy_fluxes()),
    ):
        image, _, notes = read_fits([path])
        assert np.array_equal(image, EXPECTED)
        assert "taken as g, r, z" in notes[0]


def test_separate_files_are_one_image(tmp_path: Path) -> None:
    files = [
        write(tmp_path / f"{band}.fits", plane, FILTER=f"{band} DECam") for band, plane in zip("grz", toy_fluxes(), strict=True)
    ]
    image, _, notes = read_fits(files)
    assert np.array_equal(image, EXPECTED)
    assert notes == []
    with pytest.raises(InputError, match="other bands than the catalogue: z for g, g for z"):
        read_fits(files[::-1])


def test_a_compressed_file_with_an_empty_primary_is_read(tmp_path: Path) -> None:
    hdus = [
        fits.PrimaryHDU(),
        fits.CompImageHDU(toy_fluxes()[1], name="IMAGE_R", quantize_level=0.0, compression_type="GZIP_1"),
    ]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits.fz")
    image, _, notes = read_fits([tmp_path / "a.fits.fz"])
    assert image.shape == (24, 24, 3)
    assert notes == ["one band (r), shown in grey: the training images have colours"]


def test_one_plane_is_grey_and_says_so(tmp_path: Path) -> None:
    image, _, notes = read_fits([write(tmp_path / "a.fits", toy_fluxes()[2])])
    assert (image == image[..., :1]).all()
    assert image.max() > 100
    assert "one band (unnamed), shown in grey" in notes[0]


@pytest.mark.parametrize(
    "header",
    [
        {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CD1_1": -0.4 / 3600, "CD2_2": 0.4 / 3600, "CD1_2": 0.0, "CD2_1": 0.0},
        {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -0.4 / 3600, "CDELT2": 0.4 / 3600},
        {"PIXSCALE": 0.4},
        {"CTYPE1": "RA---XXX", "CTYPE2": "DEC--TAN", "PXSCALE": 0.4},
    ],
    ids=["CD", "CDELT", "keyword", "broken WCS"],
)
@pytest.mark.parametrize("planes", [1, 3])
def test_the_pixel_scale_comes_from_the_header(tmp_path: Path, header: dict[str, Any], planes: int) -> None:
    data = toy_fluxes() if planes == 3 else toy_fluxes()[0]
    _, pxscale, _ = read_fits([write(tmp_path / "a.fits", data, **header)])
    assert pxscale == pytest.approx(0.4, rel=1e-6)


@pytest.mark.parametrize("scale", ["0.4", 0.0, -1.0, 1e9, True])
def test_a_scale_that_cannot_be_is_unknown(tmp_path: Path, scale: Any) -> None:
    assert np.isnan(read_fits([write(tmp_path / "a.fits", toy_fluxes(), PIXSCALE=scale)])[1])


def test_broken_fluxes_become_sky_and_empty_planes_are_noted(tmp_path: Path) -> None:
    fluxes = toy_fluxes()
    fluxes[0] = 0
    fluxes[1, :6] = np.nan
    fluxes[2, 0, 0] = np.inf
    image, _, notes = read_fits([write(tmp_path / "a.fits", fluxes, BANDS="grz")])
    assert notes == ["8.39% of the fluxes are not finite: taken as empty sky", "plane 1 of 3 (g) holds no light"]
    mended = np.nan_to_num(fluxes, nan=0, posinf=0)
    assert np.array_equal(image, stretch_to_rgb(mended[:, ::-1]))


def test_planes_without_any_light_above_the_sky_are_noted(tmp_path: Path) -> None:
    notes = read_fits([write(tmp_path / "a.fits", -toy_fluxes(), BANDS="grz")])[2]
    assert notes == [f"plane {number} of 3 ({band}) holds no light" for number, band in enumerate("grz", 1)]


def test_counts_are_no_fluxes_and_noted(tmp_path: Path) -> None:
    assert read_fits([write(tmp_path / "a.fits", toy_fluxes(), BANDS="grz")])[2] == []
    counts = (toy_fluxes() * 10_000).astype(np.int16)
    (note,) = read_fits([write(tmp_path / "b.fits", counts, BANDS="grz")])[2]
    assert "of the image is white: are the fluxes nanomaggies a pixel?" in note


def test_errors_and_weights_beside_an_image_are_not_its_other_bands(tmp_path: Path) -> None:
    """As HST and JWST store them: SCI, ERR and DQ would be three planes."""
    alone, _, note = read_fits([write(tmp_path / "alone.fits", toy_fluxes()[1])])
    names = ("SCI", "ERR", "DQ", "WHT", "VAR_POISSON", "INVVAR-G")
    hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(toy_fluxes()[1] * 2**-i, name=name) for i, name in enumerate(names))]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    image, _, notes = read_fits([tmp_path / "a.fits"])
    assert np.array_equal(image, alone)
    assert notes == note == ["one band (unnamed), shown in grey: the training images have colours"]


def test_bands_of_different_scales_are_refused(tmp_path: Path) -> None:
    files = [
        write(tmp_path / f"{band}.fits", plane, FILTER=band, PIXSCALE=scale)
        for band, plane, scale in zip("grz", toy_fluxes(), (0.262, 0.262, 0.4), strict=True)
    ]
    with pytest.raises(InputError, match=r"different pixel scales: 0.262, 0.262, 0.4 arcsec"):
        read_fits(files)
    assert read_fits([files[0], files[1], write(tmp_path / "other.fits", toy_fluxes()[2], PIXSCALE=0.2621)])[1] == 0.262


def test_a_gzip_file_is_unpacked(tmp_path: Path) -> None:
    packed = gzip.compress(write(tmp_path / "a.fits", toy_fluxes(), BANDS="grz").read_bytes())
    (tmp_path / "a.fits.gz").write_bytes(packed)
    assert np.array_equal(read_fits([tmp_path / "a.fits.gz"])[0], EXPECTED)
    (tmp_path / "cut.fits.gz").write_bytes(packed[:-200])
    with pytest.raises(InputError, match="the FITS file is damaged"):
        read_fits([tmp_path / "cut.fits.gz"])


def test_a_gzip_bomb_is_refused(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "bomb.fits.gz", "wb", compresslevel=1) as file:
        for _ in range(257):
            file.write(bytes(1 << 20))
    with pytest.raises(InputError, match=r"unpacks to more than 256.0 MiB"):
        read_fits([tmp_path / "bomb.fits.gz"])


@pytest.mark.parametrize(
    ("keyword", "value", "reason"), [("BITPIX", 7, "KeyError: 7"), ("NAXIS1", -24, "Invalid argument|pixels")]
)
def test_a_header_that_makes_no_sense_is_a_damaged_file(tmp_path: Path, keyword: str, value: int, reason: str) -> None:
    content = bytearray(write(tmp_path / "a.fits", toy_fluxes()).read_bytes())
    start = content.index(keyword.encode())
    content[start + 10 : start + 30] = f"{value:20d}".encode()
    (tmp_path / "a.fits").write_bytes(bytes(content))
    with pytest.raises(InputError, match=reason):
        read_fits([tmp_path / "a.fits"])


def test_integers_with_an_offset_are_fluxes(tmp_path: Path) -> None:
    data = np.arange(300, dtype=np.uint16).reshape(3, 10, 10)
    image, _, _ = read_fits([write(tmp_path / "a.fits", data)])
    assert np.array_equal(image, stretch_to_rgb(data[:, ::-1].astype(np.float32)))


def header_of(size: int) -> bytes:
    """Return a header that says it is followed by the pixels of a square image, and nothing after it."""
    header = fits.Header({"SIMPLE": True, "BITPIX": -64, "NAXIS": 2, "NAXIS1": size, "NAXIS2": size})
    return str(header.tostring()).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"just text", "does not begin with SIMPLE"),
        (header_of(9)[:80] * 40_000, "does not end within"),
        (header_of(100_000), "10,000,000,000 pixels, allowed are 1 to"),
        (header_of(1000), "is cut off: the file has 2,880 bytes"),
    ],
    ids=["text", "endless header", "huge", "cut off"],
)
def test_a_file_that_is_not_what_it_says_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.fits").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_fits([tmp_path / "a.fits"])


def test_what_is_no_galaxy_is_refused(tmp_path: Path) -> None:
    table = fits.BinTableHDU.from_columns([fits.Column("x", "D", array=np.arange(3))])
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "table.fits")
    with pytest.raises(InputError, match="found the bands none"):
        read_fits([tmp_path / "table.fits"])
    with pytest.raises(InputError, match="found the bands u, g, r, expected g, r and z"):
        read_fits([write(tmp_path / "ugr.fits", toy_fluxes(), BANDS="ugr")])
    with pytest.raises(InputError, match="different sizes"):
        read_fits([write(tmp_path / "sizes.fits", np.ones((4, 4)), np.ones((4, 5)), np.ones((4, 4)))])
    with pytest.raises(InputError, match="has 4 axes"):
        read_fits([write(tmp_path / "axes.fits", np.ones((2, 3, 4, 4)))])
    with pytest.raises(InputError, match=r"unnamed … \(24 planes of 3 x 24\), expected g, r and z"):
        read_fits([write(tmp_path / "last.fits", np.moveaxis(toy_fluxes(), 0, -1))])
    with pytest.raises(InputError, match=r"found \[3, 3, 3\] planes"):
        read_fits([write(tmp_path / "cube.fits", toy_fluxes())] * 3)


def test_a_damaged_compressed_file_is_refused_whatever_its_decompressor_raises(tmp_path: Path) -> None:
    """What that raises has no public name in astropy."""
    hdu = fits.CompImageHDU(np.arange(1024, dtype=np.int16).reshape(32, 32), compression_type="RICE_1")
    hdu.writeto(tmp_path / "a.fits.fz")
    content = bytearray((tmp_path / "a.fits.fz").read_bytes())
    heap = content.rindex(b"END") // 2880 * 2880 + 2880
    content[heap + 8 * 32 :] = bytes([255]) * (len(content) - heap - 8 * 32)
    (tmp_path / "a.fits.fz").write_bytes(bytes(content))
    with pytest.raises(InputError, match="the FITS file is damaged"):
        read_fits([tmp_path / "a.fits.fz"])


def test_a_file_whose_extension_is_missing_is_refused(tmp_path: Path) -> None:
    fits.HDUList([fits.PrimaryHDU()]).writeto(tmp_path / "a.fits")
    with pytest.raises(InputError, match="found the bands none"):
        read_fits([tmp_path / "a.fits"])
