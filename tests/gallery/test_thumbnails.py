"""Thumbnails: pictures that can be decoded again, as large as a page has room for."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from galaxies.data.galaxy_file import GalaxyFile
from galaxies.gallery.thumbnails import choose_side, encode_thumbnail, encode_thumbnails
from tests.toys import toy_images, write_toy_galaxies


def decode(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


def plain(colour: tuple[int, int, int], size: int = 64) -> np.ndarray:
    return np.full((size, size, 3), colour, np.uint8)


@pytest.mark.parametrize(("side", "expected"), [(16, 16), (64, 64), (200, 64)], ids=["smaller", "equal", "never-enlarged"])
def test_a_thumbnail_shows_the_image_at_its_size(side: int, expected: int) -> None:
    image = plain((200, 30, 30))
    image[:, 32:] = (30, 30, 200)
    picture = decode(encode_thumbnail(image, side))
    assert picture.format == "WEBP"
    assert picture.size == (expected, expected)
    red, _, blue = np.asarray(picture)[expected // 2, expected // 4]
    assert int(red) - int(blue) > 100
    red, _, blue = np.asarray(picture)[expected // 2, -expected // 4]
    assert int(blue) - int(red) > 100


def test_each_galaxy_has_its_own_thumbnail_and_side(tmp_path: Path) -> None:
    """70 galaxies of ascending brightness, in two blocks, every third left out."""
    images = np.stack([plain((3 * index,) * 3, size=40) for index in range(70)])
    write_toy_galaxies(tmp_path / "galaxies.h5", images)
    indices = np.array([index for index in range(70) if index % 3])
    sides = np.where(indices % 2, 32, 16)
    with GalaxyFile(tmp_path / "galaxies.h5") as galaxies:
        pictures = [decode(text) for text in encode_thumbnails(galaxies, indices, sides, num_workers=2)]
    assert [picture.size[0] for picture in pictures] == sides.tolist()
    brightness = [np.asarray(picture).mean() for picture in pictures]
    np.testing.assert_allclose(brightness, 3 * indices, atol=4)


def test_the_side_is_the_largest_that_fits(tmp_path: Path) -> None:
    images = toy_images(100, size=64)
    write_toy_galaxies(tmp_path / "galaxies.h5", images)
    everything = np.arange(100)
    sums = {side: sum(len(encode_thumbnail(image, side)) for image in images) for side in (32, 48, 64)}
    with GalaxyFile(tmp_path / "galaxies.h5") as galaxies:
        assert choose_side(galaxies, everything, max_chars=10**9) == 64
        assert choose_side(galaxies, everything, max_chars=int(sums[48] * 1.2)) == 48
        assert choose_side(galaxies, everything, max_chars=int(sums[48] * 0.95)) == 32
        assert choose_side(galaxies, everything, max_chars=1) == 32
        assert choose_side(galaxies, everything[:0], max_chars=1) == 64


def test_images_smaller_than_every_side_stay_as_they_are(tmp_path: Path) -> None:
    write_toy_galaxies(tmp_path / "galaxies.h5", toy_images(3, size=20))
    with GalaxyFile(tmp_path / "galaxies.h5") as galaxies:
        assert choose_side(galaxies, np.arange(3), max_chars=1) == 20
