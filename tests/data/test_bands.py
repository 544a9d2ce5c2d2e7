"""Images of one to eight bands: kept as they are, named, chosen by name, and shown as pictures."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from galaxies.data.bands import RGB, find_bands, to_pictures
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.galaxy_writer import GalaxyBlock, write_galaxies
from galaxies.errors import InputError
from galaxies.sources.sources import copy_hdf5

UGRIZ = ("u", "g", "r", "i", "z")


def images_of(num_bands: int, dtype: str = "uint8", *, num_galaxies: int = 3) -> NDArray[Any]:
    """Return images whose band b has the grey level 10 b, or 10 b / 255."""
    levels = np.broadcast_to(10 * np.arange(num_bands), (num_galaxies, 4, 4, num_bands))
    return (levels / (255 if dtype == "float16" else 1)).astype(dtype)


def write(path: Path, images: NDArray[Any], bands: tuple[str, ...]) -> None:
    unknown = np.full(len(images), np.nan)
    block = GalaxyBlock(images, np.zeros(len(images), np.uint8), unknown, unknown, unknown, unknown, bands=bands)
    write_galaxies(path, [block], num_galaxies=len(images), image_size=4, class_names=["one"])


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
@pytest.mark.parametrize("num_bands", [1, 2, 5, 8])
def test_bands_come_back_as_they_were_written_and_copied(tmp_path: Path, num_bands: int, dtype: str) -> None:
    bands = tuple(f"band {band}" for band in range(num_bands))
    write(tmp_path / "a.h5", images_of(num_bands, dtype), bands)
    copy_hdf5(tmp_path / "b.h5", path=tmp_path / "a.h5", sha256="any")
    with GalaxyFile(tmp_path / "b.h5") as galaxies:
        found = galaxies.read_images(np.array([0, 2]))
        assert galaxies.bands == bands
        assert galaxies.image_bytes == 16 * num_bands * found.itemsize
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, images_of(num_bands, dtype)[[0, 2]])
        assert galaxies.read_pictures(np.array([1])).shape == (1, 4, 4, 3)


def test_a_file_of_pictures_says_nothing_of_bands(tmp_path: Path) -> None:
    """Its bytes are those that version 0.1 wrote."""
    write(tmp_path / "a.h5", images_of(3), RGB)
    with h5py.File(tmp_path / "a.h5") as file:
        assert set(file.attrs) == {"class_names"}
    with GalaxyFile(tmp_path / "a.h5") as galaxies:
        assert galaxies.bands == RGB


@pytest.mark.parametrize(
    ("shape", "dtype", "bands", "message"),
    [
        ((2, 4, 4, 5), "uint8", None, r"found the shape \(2, 4, 4, 5\) and the bands R, G, B; expected is the attribute bands"),
        ((2, 4, 4, 3), "uint8", ["g", "r"], r"found the shape \(2, 4, 4, 3\) and the bands g, r; expected"),
        ((2, 4, 4, 9), "uint8", None, r"found the shape \(2, 4, 4, 9\), expected \(N, S, S, 3\), or 1 to 8 bands"),
        ((2, 4, 4, 2), "uint8", ["g", "g"], r"bands: found \['g', 'g'\]; every name must be there once"),
        ((2, 4, 4, 3), "float32", None, "images: found float32, expected uint8 or float16"),
    ],
)
def test_bands_that_are_not_in_the_schema_are_named(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, bands: list[str] | None, message: str
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"], file["ans"] = np.zeros(shape, dtype), np.zeros(len(np.zeros(shape)), np.uint8)
        if bands:
            file.attrs["bands"] = bands
    with pytest.raises(InputError, match=message):
        GalaxyFile(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("bands", "shown"),
    [
        (("VIS",), (0, 0, 0)),
        (("g", "z"), (10, 5, 0)),
        (("g", "r", "z"), (20, 10, 0)),
        (("z", "r", "g"), (0, 10, 20)),
        (UGRIZ, (40, 20, 0)),
        (("F444W", "F150W", "F277W"), (0, 20, 10)),
        (("one", "two", "three"), (20, 10, 0)),
        (RGB, (0, 10, 20)),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_a_picture_is_red_where_the_reddest_band_is_bright(bands: tuple[str, ...], shown: tuple[int, ...], dtype: str) -> None:
    pictures = to_pictures(images_of(len(bands), dtype), bands)
    assert pictures.dtype == np.uint8
    assert tuple(pictures[0, 0, 0].tolist()) == shown


def test_pictures_are_shown_without_a_copy() -> None:
    images = images_of(3)
    assert to_pictures(images, RGB) is images


def test_floats_outside_0_to_1_are_shown_as_black_and_white() -> None:
    images = np.array([-1, 0.5, 7], np.float16).reshape(1, 1, 1, 3)
    assert to_pictures(images, RGB).ravel().tolist() == [0, 128, 255]


def test_bands_are_found_by_name() -> None:
    assert find_bands(UGRIZ, ("z", "r", "g"), Path("a.h5")) == (4, 2, 1)
    assert find_bands(("VIS",), ("VIS", "VIS", "VIS"), Path("a.h5")) == (0, 0, 0)
    with pytest.raises(InputError, match=r"extract\.bands: a\.h5 has the bands u, g, r, i, z, and not y, J; use e\.g\. "):
        find_bands(UGRIZ, ("z", "y", "J"), Path("a.h5"))
