"""Which galaxies train, validate and test, and which form the pool: ``data/splits.parquet``, a row for each row of the catalog.

Legend: N rows of the catalog, K classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from galaxies.data.catalog import Catalog
from galaxies.data.table_file import DICTIONARY, TableFile, slice_groups, write_table
from galaxies.errors import InputError

UNLABELLED = -1
"""The label of a galaxy without one, in the tables and in every ``galaxies.h5`` that is written here."""

SPLIT_NAMES = ("train", "val", "test", "pool", "unused")
"""Pool: galaxies without a label. Unused: in catalog and store, but in no training, in no metric and not in the pool."""

DIVIDED = SPLIT_NAMES[:3]
"""What labelled galaxies are divided into; they stand first, and the pool is none of them."""

REASONS = (
    "",
    "twin has another label",
    "near a val galaxy",
    "near a test galaxy",
    "near a border of cells",
    "twin in a cell of another split",
)
"""Why a galaxy with a label does not stand where labels put it; empty, in the file null: it does."""

NEARNESS = ("", "twin", "neighbour")
"""What a galaxy of the pool is to a labelled one: the same, or one of its sky group; empty, in the file null: neither."""

_TEXT = pa.dictionary(pa.int32(), pa.string())
_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("label", pa.int16(), nullable=False),
        pa.field("class_name", _TEXT),
        pa.field("group", pa.int64(), nullable=False),
        pa.field("split", _TEXT, nullable=False),
        pa.field("reason", _TEXT),
        pa.field("near", _TEXT),
    ]
)
# Numbers of groups ascend but for those of several galaxies.
_ENCODINGS = {"row": "DELTA_BINARY_PACKED", "group": "DELTA_BINARY_PACKED"} | dict.fromkeys(
    ("label", "class_name", "split", "reason", "near"), DICTIONARY
)


@dataclass(frozen=True)
class Splits:
    """The label, sky group and split of each row of the catalog: 13 bytes a row."""

    label: NDArray[np.int16]  # (N,) label in galaxies.h5, or that of split.labels; UNLABELLED is none
    group: NDArray[np.int64]  # (N,) galaxies of one group are too close on the sky to be apart
    split: NDArray[np.uint8]  # (N,) index into SPLIT_NAMES
    reason: NDArray[np.uint8]  # (N,) index into REASONS
    near: NDArray[np.uint8]  # (N,) index into NEARNESS
    names: Mapping[int, str]  # the class that each label in use means

    def __len__(self) -> int:
        return len(self.label)

    def rows(self, split: str) -> NDArray[np.int64]:
        """Return the rows of one split, ascending."""
        return np.flatnonzero(self.split == SPLIT_NAMES.index(split))

    @cached_property
    def labelled(self) -> NDArray[np.int64]:
        """The rows of train, val and test, ascending."""
        return np.flatnonzero(self.split < len(DIVIDED))

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of the K classes in use, in the order of their labels. A head's logit k belongs to ``classes[k]``."""
        return tuple(self.names[label] for label in self._labels.tolist())

    @cached_property
    def targets(self) -> NDArray[np.int64]:
        """(N,) index of each row's class in ``classes``; -1 without a label, and for one that no labelled row has."""
        # One place more than there are labels: UNLABELLED, as an index, is the last.
        target = np.full(self.label.max(initial=0) + 2, -1, np.int64)
        target[self._labels] = np.arange(len(self._labels))
        return target[self.label]

    @cached_property
    def _labels(self) -> NDArray[np.int64]:
        """(K,) the labels of train, val and test, ascending."""
        labels = self.label[self.labelled]
        return np.flatnonzero(np.bincount(labels[labels != UNLABELLED]))


def write_splits(path: Path, splits: Splits) -> None:
    """Write ``splits.parquet``."""
    labels, place = np.unique(splits.label[splits.label != UNLABELLED]), np.full(splits.label.max(initial=0) + 2, -1)
    place[labels] = np.arange(len(labels))
    names = [splits.names[label] for label in labels.tolist()]
    tables = (
        pa.table(
            [
                np.arange(span.start, span.stop),
                splits.label[span],
                _to_text(place[splits.label[span]], names, null=-1),
                splits.group[span],
                _to_text(splits.split[span], SPLIT_NAMES),
                _to_text(splits.reason[span], REASONS, null=0),
                _to_text(splits.near[span], NEARNESS, null=0),
            ],
            schema=_SCHEMA,
        )
        for span in slice_groups(len(splits))
    )
    write_table(path, _SCHEMA, tables, encodings=_ENCODINGS, about={})


def read_splits(path: Path, catalog: Catalog) -> Splits:
    """Read the ``splits.parquet`` that belongs to ``catalog``. Raises InputError when it does not."""
    table = TableFile(path, _SCHEMA, stage="split")
    if len(table) != len(catalog):
        raise InputError(f"{path} has {len(table)} rows, the catalog has {len(catalog)}; `dvc repro --force split` makes both.")
    label, group = np.empty(len(table), np.int16), np.empty(len(table), np.int64)
    split, reason, near = (np.empty(len(table), np.uint8) for _ in range(3))
    names: dict[int, str] = {}
    start = 0
    for part in table.groups():
        rows = slice(start, start + len(part))
        table.require_rows(part, np.arange(start, start := start + len(part)))
        label[rows], group[rows] = part["label"].to_numpy(), part["group"].to_numpy()
        present, first = np.unique(label[rows], return_index=True)
        names |= zip(present.tolist(), part["class_name"].take(first).to_pylist(), strict=True)
        split[rows] = _number_texts(part, "split", SPLIT_NAMES, path)
        reason[rows] = _number_texts(part, "reason", REASONS, path)
        near[rows] = _number_texts(part, "near", NEARNESS, path)
    names.pop(UNLABELLED, None)
    return Splits(label, group, split, reason, near, names)


def require_labels(splits: Splits) -> None:
    """Raise InputError where no galaxy has a label to learn from."""
    if not len(splits.rows("train")):
        raise InputError(
            f"None of the {len(splits)} galaxies has a label, so there is nothing to train on. A table of id and label gives "
            "some: `-S split.labels=labels.csv -S split.labels_sha256=$(galaxies digest labels.csv)`. Without labels work "
            "`galaxies similar`, `galaxies export features.parquet` and, with another survey's head, `galaxies predict`."
        )


def deal_groups(
    targets: NDArray[np.int64], group: NDArray[np.int64], num_parts: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Deal rows to parts and return the part of each, (N,): sky groups stay whole and classes keep their shares.

    The groups of each class go to the parts in turn, in an order drawn by ``generator``; a group counts as of the class of its
    first row.

    Args:
        targets: class of each row, (N,).
        group: sky group of each row, (N,).
        num_parts: how many there are.
        generator: draws the order.
    """
    _, first, inverse = np.unique(group, return_index=True, return_inverse=True)
    order = np.lexsort((generator.random(len(first)), targets[first]))
    part = np.empty(len(first), np.int64)
    part[order] = np.arange(len(first)) % num_parts
    return part[inverse]


def divide_val(
    targets: NDArray[np.int64], group: NDArray[np.int64], *, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide validation rows in two halves: one chooses (the best epoch), one calibrates; with one sky group it serves both.

    Returns the positions in ``targets`` that choose, and those that calibrate, both ascending; arguments as of
    :func:`deal_groups`.
    """
    part = deal_groups(targets, group, 2, generator)
    rows = np.arange(len(targets))
    return (rows[part == 0], rows[part == 1]) if part.any() else (rows, rows)


def _number_texts(part: pa.Table, column: str, names: Sequence[str], path: Path) -> NDArray[np.uint8]:
    """Return the place in ``names`` of each text of a column; null is the empty one."""
    texts = pa.concat_arrays(part[column].chunks)
    found = texts.dictionary.to_pylist()
    unknown = sorted(set(found) - set(names))
    if unknown:
        raise InputError(
            f"{path}: unknown in the column {column}: {unknown}; allowed are {list(filter(None, names))}. "
            "`dvc repro --force split` makes it again."
        )
    # Null is the place beyond the dictionary.
    numbers = np.array([*map(names.index, found), 0], np.uint8)
    places: NDArray[np.uint8] = numbers[texts.indices.fill_null(len(found)).to_numpy(zero_copy_only=False)]
    return places


def _to_text(numbers: NDArray[np.integer[Any]], names: Sequence[str], *, null: int | None = None) -> pa.DictionaryArray:
    indices = pa.array(numbers, pa.int32(), mask=None if null is None else numbers == null)
    return pa.DictionaryArray.from_arrays(indices, list(names))
