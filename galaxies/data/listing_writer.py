"""A ``galaxies.h5`` that holds what is known of galaxies, and where their images are instead of these.

Legend: N galaxies.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from galaxies.data.galaxy_schema import UNLABELLED_VALUE
from galaxies.data.galaxy_writer import pack_labels
from galaxies.data.hdf5_files import open_hdf5
from galaxies.data.image_listing import ImageListing, write_listing
from galaxies.data.splits import UNLABELLED
from galaxies.files import replacing

_BLOCK_IDS = 1 << 16


@dataclass(frozen=True)
class GalaxyColumns:
    """What is known of all galaxies."""

    ids: pa.StringArray | None  # (N,) None: they are made from the indices
    labels: NDArray[np.int64]  # (N,) index into the class names; UNLABELLED is none
    class_names: tuple[str, ...]
    positions: Mapping[str, NDArray[np.float64]]  # (N,) each of POSITION_COLUMNS, NaN where unknown


def write_listed(path: Path, listing: ImageListing, columns: GalaxyColumns) -> None:
    """Write the galaxies of a listing into a new file at ``path``."""
    with replacing(path) as temporary, open_hdf5(temporary, "w") as file:
        write_listing(file, listing)
        file["ans"] = pack_labels(columns.labels)
        for name, values in columns.positions.items():
            file[name] = values
        if UNLABELLED in columns.labels:
            file.attrs[UNLABELLED_VALUE] = UNLABELLED
        file.attrs["class_names"] = np.array(columns.class_names, dtype=h5py.string_dtype())
        if columns.ids is not None:
            ids = file.create_dataset("ids", (len(columns.ids),), h5py.string_dtype())
            for start in range(0, len(columns.ids), _BLOCK_IDS):
                ids[start : start + _BLOCK_IDS] = columns.ids[start : start + _BLOCK_IDS].to_pylist()
