"""An image that changed after the catalog was made is found by its checksum, or by its digest where there is none."""

from pathlib import Path

import google_crc32c
import numpy as np
import pytest

from galaxies.data.catalog import Catalog
from galaxies.data.catalog_images import CatalogImages
from galaxies.data.checksums import image_crc32c, open_checksums, write_checksums
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.errors import InputError
from galaxies.files import file_sha256
from tests.toys import toy_images, write_toy_catalog, write_toy_galaxies

IMAGES = toy_images(5, size=8)


def write_all(folder: Path) -> Catalog:
    """Write galaxies.h5, the catalog of every image and their checksums."""
    write_toy_galaxies(folder / "galaxies.h5", IMAGES)
    catalog = write_toy_catalog(folder / "catalog.parquet", IMAGES)
    checksums = np.array([image_crc32c(image) for image in IMAGES], np.uint32)
    write_checksums(folder / "checksums.parquet", checksums, catalog=catalog.digest)
    return catalog


def test_the_checksum_is_crc32c_of_the_pixels() -> None:
    assert image_crc32c(np.frombuffer(b"123456789", np.uint8)) == 0xE3069283  # The check value of CRC-32C (RFC 3720, B.4).
    assert image_crc32c(IMAGES[1]) == google_crc32c.value(IMAGES[1].tobytes())
    assert image_crc32c(IMAGES[1].transpose(2, 0, 1)) != image_crc32c(IMAGES[1])


@pytest.mark.parametrize("has_checksums", [True, False])
@pytest.mark.parametrize("byte", [0, -1])
def test_an_image_that_changed_in_a_single_bit_is_found(tmp_path: Path, *, has_checksums: bool, byte: int) -> None:
    catalog = write_all(tmp_path)
    checksums = open_checksums(tmp_path / "checksums.parquet", catalog=catalog.digest) if has_checksums else None
    changed = IMAGES.copy()
    changed[3].reshape(-1)[byte] ^= 1
    write_toy_galaxies(tmp_path / "galaxies.h5", changed)
    with GalaxyFile(tmp_path / "galaxies.h5") as galaxies:
        images = CatalogImages(galaxies, catalog, checksums=checksums)
        np.testing.assert_array_equal(images.read(0, 3), IMAGES[:3])
        with pytest.raises(InputError, match=r"galaxy 3 \(row 3\) is not the one in the catalog"):
            images.read(2, 5)


def test_checksums_are_read_where_they_are_of_this_catalog(tmp_path: Path) -> None:
    catalog, path = write_all(tmp_path), tmp_path / "checksums.parquet"
    opened = open_checksums(path, catalog=catalog.digest)
    assert opened is not None
    assert opened.read(1, 4).tolist() == [image_crc32c(image) for image in IMAGES[1:4]]
    assert open_checksums(path, catalog="of other galaxies") is None
    digest = file_sha256(path)
    write_all(tmp_path)
    assert file_sha256(path) == digest
    path.unlink()
    assert open_checksums(path, catalog=catalog.digest) is None


def test_a_damaged_table_of_checksums_is_named(tmp_path: Path) -> None:
    catalog, path = write_all(tmp_path), tmp_path / "checksums.parquet"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputError, match=r"checksums\.parquet is not a Parquet file, or damaged .*repro --force split"):
        open_checksums(path, catalog=catalog.digest)
