"""Whatever a file holds, decoding it gives an image or the reason why there is none."""

import bz2
import gzip
import lzma
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from galaxies.data.field_of_view import FieldOfView
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.sources import image_reader
from galaxies.sources.decoding import Decoded, decode, decode_batches
from galaxies.sources.image_reader import ReadOptions
from galaxies.sources.inputs import Input, list_inputs
from tests.toys import toy_images, write_toy_galaxies
from tests.users import plain_user

PIXELS = toy_images(1, size=20)[0]


def decode_file(path: Path, field: FieldOfView | None = None) -> Decoded:
    return decode([Input("x", (path,))], field)[0]


def save(path: Path, mode: str = "RGB", **options: Any) -> Path:
    Image.fromarray(PIXELS).convert(mode).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_lossless_image_comes_back_pixel_by_pixel(tmp_path: Path, name: str) -> None:
    decoded = decode_file(save(tmp_path / name))
    assert decoded.image is not None
    assert np.array_equal(decoded.image, PIXELS)
    assert decoded.notes == ("no pixel scale: taken as it is",)


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1", "LA", "RGBA"])
def test_every_way_to_store_8_bit_colours_is_read(tmp_path: Path, mode: str) -> None:
    decoded = decode_file(save(tmp_path / "a.tif" if mode == "CMYK" else tmp_path / "a.png", mode))
    assert decoded.error is None
    assert decoded.image is not None
    assert decoded.image.shape == (20, 20, 3)
    assert abs(decoded.image.astype(float).mean() - PIXELS.mean()) < 40


@pytest.mark.parametrize(("name", "mode"), [("a.jpg", "L"), ("a.png", "RGBA"), ("a.png", "L"), ("a.tif", "RGB")])
def test_a_grey_picture_says_so_as_one_band_of_fits_does(tmp_path: Path, name: str, mode: str) -> None:
    Image.fromarray(PIXELS).convert("L").convert(mode).save(tmp_path / name)
    decoded = decode_file(tmp_path / name)
    assert decoded.notes[0] == "one band, shown in grey: the training images have colours"
    assert not decoded.is_doubtful
    assert not any("grey" in note for note in decode_file(save(tmp_path / f"colour-{name}")).notes)


@pytest.mark.parametrize("name", ["a.webp", "a.bmp", "a.jp2", "a.ppm"])
def test_other_pictures_are_read_too(tmp_path: Path, name: str) -> None:
    options: dict[str, Any] = {"a.webp": {"lossless": True}, "a.jp2": {"irreversible": False}}.get(name, {})
    decoded = decode_file(save(tmp_path / name, **options))
    assert decoded.image is not None
    assert np.array_equal(decoded.image, PIXELS)


@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_packed_fits_files_are_read_whatever_they_are_called(
    tmp_path: Path, ending: str, pack: Callable[[bytes], bytes]
) -> None:
    """SDSS hands out its frames as .fits.bz2."""
    header = fits.Header({"FILTER": "r", "BUNIT": "nanomaggy"})
    fits.PrimaryHDU(np.random.default_rng(0).normal(0, 1, (20, 20)).astype(np.float32), header).writeto(tmp_path / "a.fits")
    (tmp_path / f"b.fits.{ending}").write_bytes(pack((tmp_path / "a.fits").read_bytes()))
    (tmp_path / "c").write_bytes((tmp_path / f"b.fits.{ending}").read_bytes())
    plain = decode_file(tmp_path / "a.fits")
    assert plain.image is not None
    assert plain.notes[0] == "one band (r), shown in grey: the training images have colours"
    for name in (f"b.fits.{ending}", "c"):
        decoded = decode_file(tmp_path / name)
        assert decoded.notes == plain.notes
        assert np.array_equal(np.asarray(decoded.image), plain.image)


def test_a_name_without_an_ending_is_read_by_its_content(tmp_path: Path) -> None:
    save(tmp_path / "a.png").rename(tmp_path / "galaxy")
    decoded = decode_file(tmp_path / "galaxy")
    assert decoded.image is not None
    assert np.array_equal(decoded.image, PIXELS)


def test_exif_turns_the_image_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # Turn by 90 degrees clockwise to show.
    decoded = decode_file(save(tmp_path / "a.png", exif=exif))
    assert decoded.image is not None
    assert np.array_equal(decoded.image, np.rot90(PIXELS, -1))


def png(width: int, height: int, num_bits: int, colours: int, rows: bytes) -> bytes:
    """Return a PNG file with any header."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, num_bits, colours, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def truncated_jpeg(path: Path) -> None:
    save(path, quality=95)
    path.write_bytes(path.read_bytes()[:-200])


def folder_loop(path: Path) -> None:
    path.symlink_to(path)


def transparent(path: Path) -> None:
    Image.new("RGBA", (8, 8), (1, 2, 3, 100)).save(path)


HOSTILE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "missing": ("a.jpg", lambda path: None, "there is no such file"),
    "zero bytes": ("a.jpg", Path.touch, "the file is empty"),
    "text": ("a.jpg", lambda path: path.write_text("I am no image"), "not an image"),
    "truncated": ("a.jpg", truncated_jpeg, "truncated"),
    "postscript": (
        "a.jpg",
        lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        "not an image",
    ),
    "bomb": (
        "a.png",
        lambda path: path.write_bytes(png(50_000, 5_000, 8, 6, bytes(100_000))),
        "250000000 pixels|more than the limit",
    ),
    "16 bits": (
        "a.png",
        lambda path: Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 99).save(path),
        "how 16 bits become 8",
    ),
    "16 bits a colour": ("a.png", lambda path: path.write_bytes(png(8, 8, 16, 2, bytes(8 * 49))), "how 16 bits become 8"),
    "transparent": ("a.png", transparent, "transparent pixels"),
    "transparent in a palette": ("a.png", lambda path: save(path, "P", transparency=bytes(256)), "transparent pixels"),
    "animated": (
        "a.png",
        lambda path: save(path, save_all=True, append_images=[Image.new("RGB", (20, 20))]),
        "several pictures",
    ),
    "GIF": ("a.png", lambda path: save(path, "P", format="GIF"), "not an image"),
    "3 pixels": ("a.png", lambda path: Image.new("RGB", (3, 3)).save(path), "show no galaxy"),
    "folder": ("a.jpg", Path.mkdir, "a folder, not a file"),
    "pipe": ("a.jpg", os.mkfifo, "a pipe, a socket or a device"),
    "link to itself": ("a.jpg", folder_loop, "symbolic links"),
    "text as FITS": ("a.fits", lambda path: path.write_text("text"), "does not begin with SIMPLE"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_a_reason_and_no_crash(tmp_path: Path, name: str) -> None:
    file, make, reason = HOSTILE[name]
    make(tmp_path / file)
    decoded = decode_file(tmp_path / file)
    assert decoded.image is None
    assert any(part in str(decoded.error) for part in reason.split("|")), decoded.error


def test_an_unreadable_file_is_a_reason(tmp_path: Path) -> None:
    assert decode_file(save(tmp_path / "a.jpg")).error is None
    with plain_user() as folder:
        save(folder / "a.jpg").chmod(0)
        assert "Permission denied" in str(decode_file(folder / "a.jpg").error)


def test_pictures_are_no_bands(tmp_path: Path) -> None:
    """Three JPEGs in the columns of g, r and z: the first alone would be predicted, silently."""
    decoded = decode([Input("x", (save(tmp_path / "a.jpg"),) * 3)], None)[0]
    assert "not a FITS file" in str(decoded.error)


@pytest.mark.parametrize(("mode", "options"), [("RGB", {"progressive": True}), ("L", {}), ("CMYK", {})])
def test_every_kind_of_jpeg_is_read(tmp_path: Path, mode: str, options: dict[str, Any]) -> None:
    decoded = decode_file(save(tmp_path / "a.jpg", mode, quality=95, **options))
    assert decoded.image is not None
    assert abs(decoded.image.astype(float).mean() - PIXELS.mean()) < 40


def test_a_blank_image_is_predicted_with_a_note(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9), (7, 7, 7)).save(tmp_path / "a.png")
    fits.PrimaryHDU(np.zeros((3, 9, 9), np.float32)).writeto(tmp_path / "b.fits")
    for name in ("a.png", "b.fits"):
        decoded = decode_file(tmp_path / name)
        assert decoded.image is not None
        assert "blank: every pixel is the same" in decoded.notes
        assert decoded.is_doubtful


def test_a_fits_file_is_known_by_its_content_and_gives_its_scale(tmp_path: Path) -> None:
    hdu = fits.PrimaryHDU(np.ones((3, 32, 32), np.float32), fits.Header({"PIXSCALE": 0.5, "BANDS": "grz"}))
    hdu.writeto(tmp_path / "a.fits")
    (tmp_path / "a.fits").rename(tmp_path / "a.jpg")
    decoded = decode_file(tmp_path / "a.jpg", FieldOfView(32, 0.25, 0.25, 0.25))
    assert decoded.entry.pxscale == 0.5
    assert "cropped and resampled from 16.0 to 8.0 arcsec" in decoded.notes
    said = decode([Input("x", (tmp_path / "a.jpg",), pxscale=0.25)], FieldOfView(32, 0.25, 0.25, 0.25))[0]
    assert said.entry.pxscale == 0.25


def test_a_scale_that_is_said_for_all_goes_over_what_catalogue_and_header_say(tmp_path: Path) -> None:
    header = fits.Header({"PIXSCALE": 0.5, "BANDS": "grz"})
    fits.PrimaryHDU(np.ones((3, 32, 32), np.float32), header).writeto(tmp_path / "a.fits")
    entry = Input("x", (tmp_path / "a.fits",), pxscale=0.4)
    field = FieldOfView(32, 0.25, 0.25, 0.25)
    (decoded,) = decode([entry], field, ReadOptions(pxscale=0.25))
    assert decoded.entry.pxscale == 0.25
    assert not any("cropped" in note for note in decoded.notes)
    (whole,) = decode([entry], field, ReadOptions(as_is=True))
    assert "taken as it is, as was asked for; it shows 12.8 arcsec" in whole.notes


def test_galaxies_of_a_file_and_images_may_alternate(tmp_path: Path) -> None:
    images = toy_images(4)
    write_toy_galaxies(tmp_path / "galaxies.h5", images)
    galaxies = list(list_inputs(str(tmp_path / "galaxies.h5")))
    picture = Input("picture", (save(tmp_path / "a.png"),))
    decoded = decode([galaxies[3], picture, galaxies[1], Input("bad", (), error="its reason")], None)
    assert [image.image is not None and image.image.tolist() for image in decoded] == [
        images[3].tolist(),
        PIXELS.tolist(),
        images[1].tolist(),
        False,
    ]
    assert decoded[3].error == "its reason"


def test_a_file_of_galaxies_is_opened_once_for_all_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening reads the columns of all rows: once a batch, a million rows would take hours."""
    images = toy_images(6)
    write_toy_galaxies(tmp_path / "galaxies.h5", images)
    inputs = list(list_inputs(str(tmp_path / "galaxies.h5")))
    opened: list[Path] = []

    def open_galaxies(path: Path) -> GalaxyFile:
        opened.append(path)
        return GalaxyFile(path)

    monkeypatch.setattr(image_reader, "GalaxyFile", open_galaxies)
    batches = list(decode_batches(inputs, None, batch_size=2, num_threads=2, num_ahead=0))
    assert [len(batch) for batch in batches] == [2, 2, 2]
    assert [one.image is not None and one.image.tolist() for batch in batches for one in batch] == images.tolist()
    assert opened == [tmp_path / "galaxies.h5"]


def test_warnings_of_readers_stay_inside(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(save(tmp_path / "b.tif").read_bytes()[:-7])
    with warnings.catch_warnings(record=True) as caught:
        decode_file(tmp_path / "a.tif")
    assert caught == []
