"""How large and how bright the test galaxies are on their images: ``data/measurements.parquet``.

Legend: B test galaxies.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tqdm import tqdm

from galaxies.data.appearance import measure_images, shrink_images
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.table_file import TableFile, slice_groups, write_table
from galaxies.errors import InputError

# Strata need no finer numbers, and an image of 256 px takes five times as long.
_IMAGE_SIZE = 128
_DIGITS = 5

_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("radius", pa.float64(), nullable=False),
        pa.field("brightness", pa.float64(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Measurements:
    """What strata are made of; see :func:`galaxies.data.appearance.measure_images`."""

    row: NDArray[np.int64]  # (B,) of the catalog
    radius: NDArray[np.float64]  # (B,) share of the image
    brightness: NDArray[np.float64]  # (B,) grey levels


def measure_rows(galaxies: GalaxyFile, indices: NDArray[np.int64], rows: NDArray[np.int64]) -> Measurements:
    """Measure the galaxies with the ascending ``indices`` in the file, (B,), which are ``rows`` of the catalog, (B,).

    Of a file without images nothing is measured.
    """
    if not galaxies.has_images:
        rows, indices = rows[:0], indices[:0]
    radius, brightness = (np.empty(len(rows)) for _ in range(2))
    with tqdm(total=len(rows), desc="measure", unit="galaxy") as progress:
        for block, images in galaxies.picture_blocks(indices):
            measured = measure_images(shrink_images(images, _IMAGE_SIZE)).round(_DIGITS)
            radius[block], brightness[block] = measured["radius"], measured["brightness"]
            progress.update(len(measured))
    return Measurements(rows, radius, brightness)


def write_measurements(path: Path, measurements: Measurements) -> None:
    """Write ``measurements.parquet``."""
    columns = (measurements.row, measurements.radius, measurements.brightness)
    tables = (pa.table([column[span] for column in columns], schema=_SCHEMA) for span in slice_groups(len(measurements.row)))
    write_table(path, _SCHEMA, tables, encodings={"row": "DELTA_BINARY_PACKED"}, about={})


def read_measurements(path: Path, rows: NDArray[np.int64]) -> Measurements:
    """Read the ``measurements.parquet`` of the test ``rows``, (B,); without images it is empty, and they are NaN.

    Raises InputError when it is of other rows.
    """
    table = TableFile(path, _SCHEMA, stage="measure")
    content = table.read(0, len(table))
    found = Measurements(*(content[name].to_numpy() for name in _SCHEMA.names))
    if not len(found.row):
        unknown = np.full(len(rows), np.nan)
        return Measurements(rows, unknown, unknown)
    if not np.array_equal(found.row, rows):
        raise InputError(
            f"{path} has {len(table)} rows that are not the {len(rows)} test rows of data/splits.parquet; "
            "`dvc repro --force measure` makes it again."
        )
    return found
