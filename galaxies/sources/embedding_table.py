"""A Parquet table of other people's embeddings: which of its columns are the features, and what each row holds.

Legend: M rows of the table, B of a batch, C features.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from galaxies.data.galaxy_schema import GROUP
from galaxies.errors import InputError
from galaxies.tables.csv_files import KNOWN_COLUMNS
from galaxies.tables.position_names import POSITION_NAMES

CLASS_NAMES = "class_names"
"""In the metadata of our own exports: the classes in order, which the labels alone do not tell."""

_BATCH_ROWS = 1024  # of 768 float32 3 MB
_NUMBERED = re.compile(r"(?P<stem>.*?)\d+")
_MOST_SHOWN, _FEWEST_FEATURES = 20, 8
# What our exports and others count or measure; never features.
_NO_FEATURES = POSITION_NAMES.union(KNOWN_COLUMNS, (GROUP, "row", "redshift"))


@dataclass(frozen=True)
class FeatureBatch:
    """The features of some rows, as they stand there."""

    values: NDArray[np.float32]  # of all rows, one after the other
    lengths: NDArray[np.int64]  # (B,) how many are each row's; -1 where it holds none at all

    @cached_property
    def is_finite(self) -> NDArray[np.bool_]:
        """(B,) whether all features of a row are finite numbers in float32."""
        broken = np.flatnonzero(~np.isfinite(self.values))
        finite = np.ones(len(self.lengths), bool)
        finite[np.searchsorted(np.cumsum(np.maximum(self.lengths, 0)), broken, side="right")] = False
        return finite


@dataclass(frozen=True)
class EmbeddingTable:
    """A table whose columns are known; its rows are read when they are asked for."""

    path: Path
    columns: tuple[str, ...]  # of the features: one that holds lists, or one a feature
    holds_lists: bool
    class_names: tuple[str, ...] | None  # where our own export says their order

    def batches(self) -> Iterator[FeatureBatch]:
        """Yield the features of all rows; memory holds a batch and what Parquet's own pages need."""
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=list(self.columns)):
                yield _split_lists(batch.column(0)) if self.holds_lists else _join_columns(batch.columns)

    def read_group(self) -> NDArray[np.int64]:
        """Return the column ``group``, (M,), -1 where it says nothing."""
        with pq.ParquetFile(self.path) as file:
            names = {name.strip().lower(): name for name in file.schema_arrow.names}
            if GROUP not in names:
                return np.full(file.metadata.num_rows, -1)
            column = file.read(columns=[names[GROUP]]).column(0)
        if not pa.types.is_integer(column.type):
            raise InputError(f"{self.path}: the column {names[GROUP]} holds {column.type}, expected whole numbers.")
        try:
            group: NDArray[np.int64] = pc.fill_null(column.cast(pa.int64()), -1).to_numpy()
        except pa.ArrowInvalid as error:
            raise InputError(
                f"{self.path}: the column {names[GROUP]} holds {column.type} beyond 2^63 - 1, the largest number of a group "
                f"({error}); number the groups anew."
            ) from error
        return group


def open_embeddings(path: Path, columns: str | None = None) -> EmbeddingTable:
    """Open a table of embeddings.

    Args:
        path: of a Parquet file with the column id.
        columns: the column that holds the features as lists, or what the names of the columns of one feature each begin with;
            of these, where there are any, those alone that are a number apart from it. None: the one column with lists, or else
            the columns whose names are equal but for a number at their end.

    Raises:
        InputError: it is no such table, or it is not certain which columns are meant.
    """
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
    except FileNotFoundError:
        raise InputError(f"download.path: there is no file {path}.") from None
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is not a Parquet file, or damaged ({error}).") from error
    names = [name.strip().lower() for name in schema.names]
    if "id" not in names:
        raise InputError(
            f"{path}: found the columns {_show(schema.names)}; expected are id, features (a column of lists, or a column "
            "each) and where known label, ra, dec (deg)."
        )
    chosen, holds_lists = _choose_columns(path, schema, columns)
    return EmbeddingTable(path, chosen, holds_lists, _read_class_names(schema))


def holds_embeddings(path: Path) -> bool:
    """Tell whether a file is a Parquet table of embeddings, by its columns: a few numbered ones may be fluxes."""
    try:
        table = open_embeddings(path)
    except InputError:
        return False
    return table.holds_lists or len(table.columns) >= _FEWEST_FEATURES


def _choose_columns(path: Path, schema: pa.Schema, asked: str | None) -> tuple[tuple[str, ...], bool]:
    """Return the columns of the features, and whether they are one of lists."""
    free = [field for field in schema if field.name.strip().lower() not in _NO_FEATURES]
    lists = [field.name for field in free if _is_list(field.type)]
    if asked is None and len(lists) == 1:
        return (lists[0],), True
    if asked in lists:
        return (str(asked),), True
    numbers = [field.name for field in free if _is_number(field.type)]
    stem_of = {name: match["stem"] for name in numbers if (match := _NUMBERED.fullmatch(name))}
    if asked is not None:
        # f means f0, f1, ..., and not flux_r.
        exact = tuple(name for name, stem in stem_of.items() if stem == asked)
        found = exact or tuple(name for name in numbers if name.startswith(asked))
    else:
        found = tuple(stem_of) if len(set(stem_of.values())) == 1 and not lists else ()
    if not found:
        raise InputError(
            f"{path}: which columns are the features? Found are {_show([f'{field.name} ({field.type})' for field in free])}; "
            "expected is one column of lists of numbers, or columns such as f0, f1, …; name it, or what their names begin "
            "with, by `-S download.columns=…`."
        )
    return found, False


def _read_class_names(schema: pa.Schema) -> tuple[str, ...] | None:
    """Return the classes that our own export names; what others write under its key says nothing."""
    try:
        about = json.loads((schema.metadata or {}).get(b"galaxies", b"{}"))
    except ValueError:
        return None
    classes = about.get(CLASS_NAMES) if isinstance(about, dict) else None
    return tuple(map(str, classes)) if isinstance(classes, list) and classes else None


def _is_list(type_: pa.DataType) -> bool:
    is_list = pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_)
    return is_list and _is_number(type_.value_type)


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_floating(type_) or pa.types.is_integer(type_))


def _split_lists(column: Any) -> FeatureBatch:
    lengths = pc.fill_null(pc.list_value_length(column), -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return FeatureBatch(_to_float32(column.flatten()), lengths)  # Rows that are null have no values in it.


def _join_columns(columns: Sequence[Any]) -> FeatureBatch:
    values = np.stack([_to_float32(column) for column in columns], axis=1)  # (B, C)
    return FeatureBatch(values.ravel(), np.full(len(values), values.shape[1]))


def _to_float32(column: Any) -> NDArray[np.float32]:
    """Return numbers, NaN for a missing one; what float32 cannot hold is infinite."""
    with np.errstate(over="ignore"):
        numbers: NDArray[np.float32] = column.to_numpy(zero_copy_only=False).astype(np.float32)
    return numbers


def _show(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_SHOWN]) + (", …" if len(names) > _MOST_SHOWN else "")
