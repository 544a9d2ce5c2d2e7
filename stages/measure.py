"""Measure how large and how bright the test galaxies are on their images: data/measurements.parquet.

A stage of its own, so that a new head does not measure the same galaxies again.
"""

from galaxies.data.catalog import Catalog
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.measurements import measure_rows, write_measurements
from galaxies.data.splits import read_splits
from galaxies.paths import CATALOG, GALAXIES, MEASUREMENTS, SPLITS
from stages import run_stage


def main() -> None:
    """Read the test images once."""
    catalog = Catalog(CATALOG)
    rows = read_splits(SPLITS, catalog).rows("test")
    with GalaxyFile(GALAXIES, needs_images=False) as galaxies:
        measurements = measure_rows(galaxies, catalog.take(rows).galaxy, rows)
    write_measurements(MEASUREMENTS, measurements)


if __name__ == "__main__":
    run_stage(main)
