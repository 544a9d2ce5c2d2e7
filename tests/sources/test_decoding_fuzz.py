"""Files changed at random, of every format: each gives an image or a reason, within the time that is set."""

import bz2
import gzip
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from PIL import Image

from galaxies.data.field_of_view import FieldOfView
from galaxies.errors import InputError
from galaxies.sources.decoding import decode
from galaxies.sources.inputs import list_inputs
from tests.toys import toy_images, write_toy_galaxies

SECONDS = 2
"""For each format; on a quiet core that is some thousand files."""

FIELD = FieldOfView(32, 0.3, 0.3, 0.3)


def picture(name: str, mode: str = "RGB") -> Callable[[Path], bytes]:
    def make(folder: Path) -> bytes:
        content = io.BytesIO()
        Image.fromarray(toy_images(1, size=24)[0]).convert(mode).save(content, name)
        return content.getvalue()

    return make


def fits_cube(folder: Path) -> bytes:
    header = {"BANDS": "grz", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -1e-4, "CDELT2": 1e-4, "CRVAL1": 10.0}
    content = io.BytesIO()
    fits.PrimaryHDU(np.ones((3, 16, 16), np.float32), fits.Header(header)).writeto(content)
    return content.getvalue()


def compressed_fits(folder: Path) -> bytes:
    content = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(np.arange(400, dtype=np.int16).reshape(20, 20))]).writeto(content)
    return content.getvalue()


def gzip_fits(folder: Path) -> bytes:
    return gzip.compress(fits_cube(folder))


def galaxy10(folder: Path) -> bytes:
    write_toy_galaxies(folder / "whole.h5", toy_images(3, size=8))
    return (folder / "whole.h5").read_bytes()


FORMATS: dict[str, Callable[[Path], bytes]] = {
    "a.jpg": picture("JPEG"),
    "a.png": picture("PNG", "P"),
    "a.tif": picture("TIFF"),
    "a.fits": fits_cube,
    "a.fits.fz": compressed_fits,
    "a.fits.gz": gzip_fits,
    "a.fits.bz2": lambda folder: bz2.compress(fits_cube(folder)),
    "a.webp": picture("WEBP"),
    "a.h5": galaxy10,
    "a.csv": lambda folder: b"id,path,ra,dec,pxscale\n" + b"m31,a.jpg,10.68,41.27,0.262\n" * 5,
    "a.txt": lambda folder: b"a.jpg\nb/c.png\n" * 5,
}


def mutate(content: bytes, generator: np.random.Generator) -> bytes:
    """Return the bytes with some changed, cut out, repeated or cut off."""
    data: NDArray[np.uint8] = np.frombuffer(content, np.uint8).copy()
    start, stop = np.sort(generator.integers(0, len(data) + 1, 2))
    kind = generator.integers(0, 5)
    if kind == 0:
        return data[:stop].tobytes()
    if kind == 1:
        return np.delete(data, slice(start, min(start + 40, stop))).tobytes()
    if kind == 2:
        return np.insert(data, start, data[start : min(start + 40, stop)]).tobytes()
    # Most headers are at the beginning.
    reach = min(len(data), 4000 if kind == 3 else len(data))
    places = generator.integers(0, reach, generator.integers(1, 12))
    data[places] = generator.integers(0, 256, len(places))
    return data.tobytes()


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_gives_an_image_or_a_reason(tmp_path: Path, name: str) -> None:
    whole = FORMATS[name](tmp_path)
    generator = np.random.default_rng(0)
    deadline = time.monotonic() + SECONDS
    if name not in ("a.csv", "a.txt"):  # Lists of files that are not there.
        (tmp_path / name).write_bytes(whole)
        assert decode(list(list_inputs(str(tmp_path / name)))[:1], FIELD)[0].error is None
    num_images = num_reasons = 0
    while time.monotonic() < deadline and num_images + num_reasons < 1500:
        (tmp_path / name).write_bytes(mutate(whole, generator))
        start = time.monotonic()
        try:
            decoded = decode(list(list_inputs(str(tmp_path / name)))[:3], FIELD)
        except InputError:
            num_reasons += 1  # The container itself is refused: the command ends with this message.
            continue
        assert time.monotonic() - start < 30
        for one in decoded:
            assert (one.image is None) == (one.error is not None)
            if one.image is not None:
                assert one.image.dtype == np.uint8
                assert one.image.ndim == 3
                assert max(one.image.shape) <= 1024
            num_images, num_reasons = num_images + (one.error is None), num_reasons + (one.error is not None)
    assert num_reasons > 0
