"""From a catalogue of image files to blocks of galaxies, in constant memory, with everything that is wrong in one error.

Legend: S image size in pixels.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from galaxies.data.galaxy_file import BLOCK_GALAXIES, GalaxyBlock
from galaxies.sources.image_catalogue import ImageCatalogue, refuse_complaints
from galaxies.sources.image_files import DAMAGE_ERRORS, read_image, read_size, say_damage


def find_image_size(catalogue: ImageCatalogue) -> int:
    """Return the one size of all images in pixels, from their headers alone.

    Raises InputError that lists all that is wrong: with the catalogue, and every file that is missing, unreadable, cut off,
    not square or of another size than most.
    """
    sizes: dict[Path, tuple[int, int]] = {}
    complaints = [*catalogue.complaints, *catalogue.wrong.values()]
    for place in tqdm(range(len(catalogue.lines)), "check images", unit="galaxy"):
        for file in catalogue.files(place):
            try:
                sizes[file] = read_size(file)
            except DAMAGE_ERRORS as error:
                complaints.append(f"{file}: {say_damage(error)}")
    common = Counter(sizes.values()).most_common(1)
    width, height = common[0][0] if common else (0, 0)
    if width != height:
        complaints.append(f"most images are {width} x {height} px, but a cutout must be square")
    for file, (file_width, file_height) in sizes.items():
        if (file_width, file_height) != (width, height):
            complaints.append(f"{file}: {file_width} x {file_height} px, most are {width} x {height}")
    if complaints:
        # A header can be sound and the rest cut off: the whole list in one go, rather than the rest of it the next time.
        for file in tqdm(sizes, "decode images", unit="file"):
            try:
                read_image(file)
            except DAMAGE_ERRORS as error:
                complaints.append(f"{file}: {say_damage(error)}")
    refuse_complaints(catalogue.path, complaints)
    return width


def read_blocks(catalogue: ImageCatalogue, image_size: int) -> Iterator[GalaxyBlock]:
    """Yield the galaxies in blocks, decoded; memory does not grow with their number.

    Raises InputError at the end, with every file that cannot be decoded: a header can be sound and the rest cut off.
    """
    complaints: list[str] = []
    num_images = len(catalogue.lines)
    ra, dec, pxscale = (catalogue.column(name) for name in ("ra", "dec", "pxscale"))
    with tqdm(total=num_images, desc="read images", unit="galaxy") as progress:
        for start in range(0, num_images, BLOCK_GALAXIES):
            lines = catalogue.lines[start : start + BLOCK_GALAXIES]
            images = np.zeros((len(lines), image_size, image_size, 3), np.uint8)
            for position in range(len(lines)):
                (file,) = catalogue.files(start + position)
                try:
                    images[position] = read_image(file)
                except DAMAGE_ERRORS as error:
                    complaints.append(f"{file}: {say_damage(error)}")
            rows = slice(start, start + len(lines))
            unknown = np.full(len(lines), np.nan)
            ids = tuple(line.id for line in lines)
            yield GalaxyBlock(images, catalogue.labels[rows], ra[rows], dec[rows], unknown, pxscale[rows], ids)
            progress.update(len(lines))
    refuse_complaints(catalogue.path, complaints)
