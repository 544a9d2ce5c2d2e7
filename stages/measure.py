"""Measure how large and how bright the test galaxies are on their images: data/measurements.csv.

A stage of its own, so that a new head does not measure the same galaxies again.
"""

from pathlib import Path

import pandas as pd
from tqdm import tqdm

from galaxies.data.appearance import measure_images, shrink_images
from galaxies.data.catalog import read_catalog, read_splits
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.files import write_text
from stages import run_stage

_BLOCK_ROWS = 64

# Strata need no finer numbers, and an image of 256 px takes five times as long.
_IMAGE_SIZE = 128


def main() -> None:
    """Read the test images once."""
    catalog = read_catalog(Path("data/catalog.csv"))
    rows = read_splits(Path("data/splits.csv"), catalog).rows("test")
    tables = [pd.DataFrame({"row": [], "radius": [], "brightness": []}).astype({"row": int})]
    with GalaxyFile(Path("data/galaxies.h5")) as galaxies, tqdm(total=len(rows), desc="measure", unit="galaxy") as progress:
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = rows[start : start + _BLOCK_ROWS]
            images = shrink_images(galaxies.read_images(catalog.galaxy[block]), _IMAGE_SIZE)
            measured = measure_images(images)[["radius", "brightness"]].round(5)
            tables.append(measured.assign(row=block)[["row", "radius", "brightness"]])
            progress.update(len(block))
    text = pd.concat(tables[1:] or tables).to_csv(index=False, lineterminator="\n")
    write_text(Path("data/measurements.csv"), text)


if __name__ == "__main__":
    run_stage(main)
