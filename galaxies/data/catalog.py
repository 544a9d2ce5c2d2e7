"""The two tables that every later stage shares, and the one key: row i of a store is row i of the catalog.

N rows, one a galaxy in use, in ascending order of its index in ``galaxies.h5``.
"""

import csv
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galaxies.errors import InputError
from galaxies.files import write_text

SPLIT_NAMES = ("train", "val", "test")

_CATALOG_COLUMNS = ["row", "galaxy", "id", "image_sha256"]
_SPLITS_COLUMNS = ["row", "label", "class_name", "group", "split"]


@dataclass(frozen=True)
class Catalog:
    """Which galaxies are used, and in which order. No label stands here: a corrected label must not cost an extraction."""

    galaxy: NDArray[np.int64]  # (N,) index in galaxies.h5, ascending
    ids: tuple[str, ...]  # (N,)
    image_sha256: tuple[str, ...]  # (N,) digest of each image's pixels

    def __len__(self) -> int:
        return len(self.galaxy)

    @property
    def digest(self) -> str:
        """sha256 over the image digests in row order: what the numbers of a store depend on, and nothing more."""
        return hashlib.sha256("\n".join(self.image_sha256).encode()).hexdigest()


@dataclass(frozen=True)
class Splits:
    """The label, sky group and split of each row of the catalog."""

    label: NDArray[np.int64]  # (N,) label in galaxies.h5, or the corrected one
    class_name: tuple[str, ...]  # (N,)
    group: NDArray[np.int64]  # (N,) galaxies of one group are too close on the sky to be apart
    split: NDArray[np.str_]  # (N,) one of SPLIT_NAMES

    def rows(self, split: str) -> NDArray[np.int64]:
        """Return the rows of one split, ascending."""
        return np.flatnonzero(self.split == split)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the K classes in use, in the order of their labels. A head's logit k belongs to ``classes[k]``."""
        names = dict(zip(self.label.tolist(), self.class_name, strict=True))
        return tuple(names[label] for label in sorted(names))

    @property
    def targets(self) -> NDArray[np.int64]:
        """(N,) index of each row's class in ``classes``."""
        indices: NDArray[np.int64] = np.unique(self.label, return_inverse=True)[1].astype(np.int64)
        return indices


def image_sha256(image: NDArray[np.uint8]) -> str:
    """Return the sha256 of one image's shape and pixels, (S, S, 3) uint8."""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def write_catalog(path: Path, catalog: Catalog) -> None:
    """Write ``catalog.csv``."""
    rows = zip(range(len(catalog)), catalog.galaxy.tolist(), catalog.ids, catalog.image_sha256, strict=True)
    _write_csv(path, _CATALOG_COLUMNS, rows)


def write_splits(path: Path, splits: Splits) -> None:
    """Write ``splits.csv``."""
    columns = (splits.label.tolist(), splits.class_name, splits.group.tolist(), splits.split.tolist())
    _write_csv(path, _SPLITS_COLUMNS, zip(range(len(splits.label)), *columns, strict=True))


def read_catalog(path: Path) -> Catalog:
    """Read ``catalog.csv``. Raises InputError when it is not one that ``split`` wrote."""
    table = _read_csv(path, _CATALOG_COLUMNS)
    galaxy = table["galaxy"].to_numpy(np.int64)
    if len(galaxy) and not (np.diff(galaxy, prepend=-1) > 0).all():
        raise InputError(f"{path}: the column `galaxy` must ascend from 0 without repeats. {_AGAIN}")
    return Catalog(galaxy, tuple(table["id"]), tuple(table["image_sha256"]))


def read_splits(path: Path, catalog: Catalog) -> Splits:
    """Read the ``splits.csv`` that belongs to ``catalog``. Raises InputError when it does not."""
    table = _read_csv(path, _SPLITS_COLUMNS)
    if len(table) != len(catalog):
        raise InputError(f"{path} has {len(table)} rows, the catalog has {len(catalog)}. {_AGAIN}")
    unknown = sorted(set(table["split"]) - set(SPLIT_NAMES))
    if unknown:
        raise InputError(f"{path}: unknown splits {unknown}; allowed are {list(SPLIT_NAMES)}. {_AGAIN}")
    return Splits(
        table["label"].to_numpy(np.int64),
        tuple(table["class_name"]),
        table["group"].to_numpy(np.int64),
        table["split"].to_numpy(np.str_),
    )


_AGAIN = "Do not edit it; `dvc repro --force split` makes it again."


def _write_csv(path: Path, columns: list[str], rows: "zip[tuple[object, ...]]") -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _read_csv(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        # Ids are text whatever they look like: "007" is not 7, and "NA" is a name.
        text_columns = {"id": str, "class_name": str, "split": str, "image_sha256": str}
        table = pd.read_csv(path, dtype=text_columns, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"There is no file {path}; `dvc repro split` makes it.") from None
    if list(table.columns) != columns:
        raise InputError(f"{path} has the columns {list(table.columns)}, expected {columns}. {_AGAIN}")
    if not (table["row"].to_numpy() == np.arange(len(table))).all():
        raise InputError(f"{path}: the column `row` must count from 0. {_AGAIN}")
    return table
