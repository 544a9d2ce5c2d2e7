"""The scan looks at every image once, in any number of threads."""

from pathlib import Path

import numpy as np
import pytest

from galaxies.data.catalog import image_sha256
from galaxies.data.checksums import image_crc32c
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.scan import scan_images
from tests.toys import toy_images, write_toy_galaxies


@pytest.mark.parametrize("num_workers", [0, 1, 5])
@pytest.mark.parametrize("num_galaxies", [1, 64, 131])
def test_each_image_has_its_own_digest_and_checksum(tmp_path: Path, num_galaxies: int, num_workers: int) -> None:
    images = toy_images(num_galaxies, size=4)
    images[num_galaxies // 2] = 7
    write_toy_galaxies(tmp_path / "a.h5", images)
    with GalaxyFile(tmp_path / "a.h5") as galaxies:
        scan = scan_images(galaxies, num_workers=num_workers)
    assert [digest.tobytes() for digest in scan.digests] == [image_sha256(image) for image in images]
    assert scan.checksums.tolist() == [image_crc32c(image) for image in images]
    assert np.flatnonzero(scan.is_blank).tolist() == [num_galaxies // 2]
