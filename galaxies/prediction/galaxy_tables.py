"""What is known of galaxies beside their activations, in one form: of the pipeline's, and of those of a kept survey.

Legend: N rows, B some of them.
"""

from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from galaxies.data.catalog import Catalog
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.splits import read_splits
from galaxies.paths import CATALOG, GALAXIES, SPLITS
from galaxies.prediction.table import GALAXY_SCHEMA


class GalaxyTable(Protocol):
    """What is known of each galaxy."""

    def __len__(self) -> int: ...

    def read(self, start: int, stop: int, columns: list[str] | None = None) -> pa.RecordBatch:
        """Return some rows, (B,) in GALAXY_SCHEMA, or some of its columns."""

    def read_groups(self, start: int, stop: int) -> pa.Int64Array:
        """Return the sky group of some rows, (B,), null where that is not known."""

    def list_classes(self) -> list[str]:
        """Return the classes that labels name, in order."""


class CatalogTable:
    """The galaxies of the pipeline's catalog."""

    def __init__(self, folder: Path) -> None:
        """Take the repository's top. Raises InputError where data/ is not as `split` leaves it."""
        self._catalog, self._path = Catalog(folder / CATALOG), folder / GALAXIES
        self._splits = read_splits(folder / SPLITS, self._catalog)
        with GalaxyFile(self._path, needs_images=False) as galaxies:
            self._numbers = {"ra": galaxies.ra, "dec": galaxies.dec, "pxscale": galaxies.pxscale}
        self.digest, self.folder = self._catalog.digest, folder

    def __len__(self) -> int:
        return len(self._catalog)

    def read(self, start: int, stop: int, columns: list[str] | None = None) -> pa.RecordBatch:
        """Return some rows; of a galaxy of the pipeline there are neither notes nor errors."""
        rows, names = self._catalog.read(start, stop), self._splits.names
        known = {
            "id": rows.ids,
            "path": pa.array([str(self._path)] * len(rows), pa.string()),
            "index": pa.array(rows.galaxy),
            **{name: pa.array(numbers[rows.galaxy], from_pandas=True) for name, numbers in self._numbers.items()},
            "label": pa.array([names.get(label) for label in self._splits.label[start:stop].tolist()], pa.string()),
            "notes": pa.nulls(len(rows), pa.string()),
            "is_doubtful": pa.array(np.zeros(len(rows), bool)),
            "error": pa.nulls(len(rows), pa.string()),
        }
        schema = GALAXY_SCHEMA if columns is None else pa.schema([GALAXY_SCHEMA.field(name) for name in columns])
        return pa.RecordBatch.from_arrays([known[name] for name in schema.names], schema=schema)

    def read_groups(self, start: int, stop: int) -> pa.Int64Array:
        """Return the sky group of some rows."""
        return pa.array(self._splits.group[start:stop])

    def list_classes(self) -> list[str]:
        """Return the classes in the order of their labels."""
        return [self._splits.names[label] for label in sorted(self._splits.names)]
