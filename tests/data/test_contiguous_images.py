"""Images are read at their place in the file by many threads at once, and as HDF5 reads them."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

from galaxies.data.contiguous_images import open_contiguous
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.errors import InputError
from tests.toys import toy_images, write_toy_galaxies

IMAGES = toy_images(50, size=8)


def test_threads_read_at_the_same_time(tmp_path: Path) -> None:
    write_toy_galaxies(tmp_path / "a.h5", IMAGES)
    spans = [np.arange(start, start + 7) for start in range(44)] * 20
    with GalaxyFile(tmp_path / "a.h5") as galaxies, ThreadPoolExecutor(8) as threads:
        for span, images in zip(spans, threads.map(galaxies.read_images, spans), strict=True):
            np.testing.assert_array_equal(images, IMAGES[span])


@pytest.mark.parametrize("userblock", [0, 1024])
def test_the_place_is_counted_from_the_beginning_of_the_file(tmp_path: Path, userblock: int) -> None:
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=userblock) as file:
        file["ans"] = np.zeros(50, np.uint8)
        file["images"] = IMAGES
    with h5py.File(tmp_path / "a.h5") as file:
        opened = open_contiguous(tmp_path / "a.h5", file["images"])
        assert opened is not None
        opened.close()
    with GalaxyFile(tmp_path / "a.h5") as galaxies:
        np.testing.assert_array_equal(galaxies.read_images(np.array([0, 3, 4, 49])), IMAGES[[0, 3, 4, 49]])


def test_images_that_hdf5_must_decode_or_make_up_are_left_to_it(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("chunked", data=IMAGES, chunks=(10, 8, 8, 3))
        file.create_dataset("compact", data=IMAGES[:1], dcpl=compact())
        file.create_dataset("never written", (50, 8, 8, 3), np.uint8)
    with h5py.File(tmp_path / "a.h5") as file:
        assert [open_contiguous(tmp_path / "a.h5", file[name]) for name in file] == [None] * 3


def compact() -> h5py.h5p.PropDCID:
    """Return what makes HDF5 keep the data in the header."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.COMPACT)
    return properties


def test_a_file_that_ends_too_early_is_named(tmp_path: Path) -> None:
    write_toy_galaxies(tmp_path / "a.h5", IMAGES)
    with GalaxyFile(tmp_path / "a.h5") as galaxies:
        with h5py.File(tmp_path / "a.h5") as file:
            offset = file["images"].id.get_offset()
        os.truncate(tmp_path / "a.h5", offset + 30 * IMAGES[0].nbytes + 5)
        np.testing.assert_array_equal(galaxies.read_images(np.arange(30)), IMAGES[:30])
        with pytest.raises(InputError, match=r"images 28 to 31 cannot be read \(the file ends at byte \d+\); .*damaged"):
            galaxies.read_images(np.arange(28, 32))
