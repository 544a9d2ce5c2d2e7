"""FITS files of every layout become the same image, and headers are never believed before the file's size is."""

import gzip
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from galaxies.data.stretch import stretch_to_rgb
from galaxies.errors import InputError
from galaxies.sources.fits_planes import open_contents
from galaxies.sources.flux_images import Field, read_fluxes

# As `decode` does: astropy warns of what becomes a note or an error here.
pytestmark = pytest.mark.filterwarnings("ignore")


def toy_fluxes(size: int = 24) -> NDArray[np.float32]:
    """Return g, r, z of a red blob above the middle, (3, S, S)."""
    y, x = np.indices((size, size))
    blob = np.exp(-((x - size / 2) ** 2 + (y - size / 3) ** 2) / 20)
    return (np.array([0.1, 0.4, 0.9])[:, None, None] * blob).astype(np.float32)


def read_fits(files: list[Path], **field: Any) -> tuple[NDArray[np.uint8], float, list[str]]:
    """Return image, pixel scale and the notes' texts."""
    with ExitStack() as stack:
        contents = [stack.enter_context(closing(open_contents(file, is_mosaic=False))) for file in files]
        image, pxscale, notes = read_fluxes(contents, Field(24, None, **field))
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


def test_a_cube_with_named_bands_and_a_unit_needs_no_note(tmp_path: Path) -> None:
    image, pxscale, notes = read_fits([write(tmp_path / "a.fits", toy_fluxes()[::-1], BANDS="zrg", BUNIT="nanomaggy")])
    assert np.array_equal(image, EXPECTED)
    assert notes == []
    assert np.isnan(pxscale)


def test_a_cube_of_three_planes_without_names_is_taken_as_g_r_z_with_a_note(tmp_path: Path) -> None:
    image, _, notes = read_fits([write(tmp_path / "a.fits", toy_fluxes(), BUNIT="nanomaggy")])
    assert np.array_equal(image, EXPECTED)
    assert notes == ["the bands have no names: the three planes are taken as g, r, z"]


def test_three_extensions_without_names_may_be_three_of_anything(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"found the images PRIMARY, HDU 1, HDU 2, expected g, r and z by name"):
        read_fits([write(tmp_path / "b.fits", *toy_fluxes())])


def test_separate_files_are_one_image(tmp_path: Path) -> None:
    files = [
        write(tmp_path / f"{band}.fits", plane, FILTER=f"{band} DECam", BUNIT="nanomaggy")
        for band, plane in zip("grz", toy_fluxes(), strict=True)
    ]
    image, _, notes = read_fits(files)
    assert np.array_equal(image, EXPECTED)
    assert notes == []
    with pytest.raises(InputError, match="names another band than the catalogue: z for g"):
        read_fits(files[::-1])


def test_a_compressed_file_with_an_empty_primary_is_read(tmp_path: Path) -> None:
    hdus = [
        fits.PrimaryHDU(),
        fits.CompImageHDU(toy_fluxes()[1], name="IMAGE_R", quantize_level=0.0, compression_type="GZIP_1"),
    ]
    hdus[1].header["BUNIT"] = "nanomaggy"
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


@pytest.mark.parametrize("scale", ["0.4 m", 0.0, -1.0, 1e9, True])
def test_a_scale_that_cannot_be_is_unknown(tmp_path: Path, scale: Any) -> None:
    assert np.isnan(read_fits([write(tmp_path / "a.fits", toy_fluxes(), PIXSCALE=scale)])[1])


def test_broken_fluxes_become_sky_and_empty_planes_are_noted(tmp_path: Path) -> None:
    fluxes = toy_fluxes()
    fluxes[0] = 0
    fluxes[1, :6] = np.nan
    fluxes[2, 0, 0] = np.inf
    image, _, notes = read_fits([write(tmp_path / "a.fits", fluxes, BANDS="grz", BUNIT="nanomaggy")])
    assert notes == [
        "8.39% of the fluxes are missing (not finite): taken as empty sky",
        "plane 1 of 3 (g) holds no light",
    ]
    mended = np.nan_to_num(fluxes, nan=0, posinf=0)
    assert np.array_equal(image, stretch_to_rgb(mended[:, ::-1]))


def test_planes_without_any_light_above_the_sky_are_noted(tmp_path: Path) -> None:
    notes = read_fits([write(tmp_path / "a.fits", -toy_fluxes(), BANDS="grz", BUNIT="nanomaggy")])[2]
    # Before them stands that much of such an image lies far below the sky.
    dark = [note for note in notes if note.endswith("holds no light")]
    assert dark == [f"plane {number} of 3 ({band}) holds no light" for number, band in enumerate("grz", 1)]


def test_a_picture_too_bright_or_too_dark_for_a_galaxy_is_doubted(tmp_path: Path) -> None:
    """Without a unit, counts and janskys are taken as nanomaggies; the picture tells that they are none."""
    assert read_fits([write(tmp_path / "a.fits", toy_fluxes(), BANDS="grz")])[2] == [
        "no unit in the header: taken as nanomaggies a pixel"
    ]
    counts = (toy_fluxes() * 10_000).astype(np.int16)
    assert (
        "of the image is white: are the fluxes nanomaggies a pixel?" in read_fits([write(tmp_path / "b.fits", counts)])[2][-1]
    )
    janskys = toy_fluxes() * 3.631e-6
    assert "0 grey levels above the sky: are the fluxes" in read_fits([write(tmp_path / "c.fits", janskys)])[2][-1]


def test_errors_and_weights_beside_an_image_are_not_its_other_bands(tmp_path: Path) -> None:
    """As HST and JWST store them: SCI, ERR and DQ would be three planes."""
    alone, _, note = read_fits([write(tmp_path / "alone.fits", toy_fluxes()[1], BUNIT="nanomaggy")])
    names = ("SCI", "ERR", "DQ", "WHT", "VAR_POISSON", "INVVAR-G")
    hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(toy_fluxes()[1] * 2**-i, name=name) for i, name in enumerate(names))]
    hdus[1].header["BUNIT"] = "nanomaggy"
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    image, _, notes = read_fits([tmp_path / "a.fits"])
    assert np.array_equal(image, alone)
    assert notes == note == ["one band (unnamed), shown in grey: the training images have colours"]


def test_bands_of_different_scales_are_refused(tmp_path: Path) -> None:
    files = [
        write(tmp_path / f"{band}.fits", plane, FILTER=band, PIXSCALE=scale)
        for band, plane, scale in zip("grz", toy_fluxes(), (0.262, 0.262, 0.4), strict=True)
    ]
    with pytest.raises(InputError, match=r"the bands g and z have different pixel scales, 0.262 and 0.4 arcsec, and no WCS"):
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
    ("keyword", "value", "reason"), [("BITPIX", 7, "the FITS file is damaged"), ("NAXIS1", -24, "Invalid argument|pixels")]
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
    with pytest.raises(InputError, match="found no image of the sky"):
        read_fits([tmp_path / "table.fits"])
    with pytest.raises(InputError, match="found the bands u, g, r, expected g, r and z by name"):
        read_fits([write(tmp_path / "ugr.fits", toy_fluxes(), BANDS="ugr")])
    sizes = [
        write(tmp_path / f"{band}.fits", np.ones((4, width)), BAND=band) for band, width in zip("grz", (4, 5, 4), strict=True)
    ]
    with pytest.raises(InputError, match="the bands g and r have different sizes, 4 x 4 px and 5 x 4 px, and no WCS"):
        read_fits(sizes)
    with pytest.raises(InputError, match="has 4 axes"):
        read_fits([write(tmp_path / "axes.fits", np.ones((2, 3, 4, 4)))])
    with pytest.raises(InputError, match=r"unnamed … \(24 planes of 3 x 24\), expected g, r and z by name"):
        read_fits([write(tmp_path / "last.fits", np.moveaxis(toy_fluxes(), 0, -1))])
    with pytest.raises(InputError, match=r"found 3 images in the file of g \(plane 1 of PRIMARY, .*\), expected one"):
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
    with pytest.raises(InputError, match="found no image of the sky"):
        read_fits([tmp_path / "a.fits"])
