"""One look at every image of a file: its digest and checksum, and whether it shows anything. Embeddings stand for images.

Legend: M galaxies in the file, B galaxies in a block, S image size in pixels.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from galaxies.data.catalog import DIGEST_BYTES, image_sha256
from galaxies.data.checksums import image_crc32c
from galaxies.data.galaxy_file import BLOCK_GALAXIES, GalaxyFile
from galaxies.stations import in_order


@dataclass(frozen=True)
class Scan:
    """What every image is."""

    digests: NDArray[np.uint8]  # (M, 32) sha256 of shape and pixels
    checksums: NDArray[np.uint32]  # (M,) CRC32C of the pixels
    is_blank: NDArray[np.bool_]  # (M,) all its pixels are equal


def scan_images(galaxies: GalaxyFile, *, num_workers: int) -> Scan:
    """Look at every image; ``num_workers`` threads, at least one, read and digest a block each."""
    num_galaxies = galaxies.num_galaxies
    digests, checksums = np.empty((num_galaxies, DIGEST_BYTES), np.uint8), np.empty(num_galaxies, np.uint32)
    is_blank = np.zeros(num_galaxies, bool)

    def scan(indices: range) -> int:
        images = galaxies.read_content(np.arange(indices.start, indices.stop))
        # hashlib lets go of Python's lock.
        for index, image in zip(indices, images, strict=True):
            digests[index] = np.frombuffer(image_sha256(image), np.uint8)
            checksums[index] = image_crc32c(image)
            is_blank[index] = galaxies.has_images and _is_constant(image)
        return len(indices)

    starts = range(0, num_galaxies, BLOCK_GALAXIES)
    blocks = (range(start, min(start + BLOCK_GALAXIES, num_galaxies)) for start in starts)
    with tqdm(total=num_galaxies, desc="split", unit="galaxy") as progress:
        for num_scanned in in_order(scan, blocks, num_threads=max(1, num_workers)):
            progress.update(num_scanned)
    return Scan(digests, checksums, is_blank)


def _is_constant(image: NDArray[Any]) -> bool:
    # The first row alone tells nearly always, in a hundredth of the time.
    return bool((image[0] == image[0, 0]).all() and (image == image[0, 0]).all())
