"""The targets of the galaxies in use: ``data/targets.parquet``, a row for each row of the catalog.

It holds the columns of numbers of ``split.targets`` as they are; what they mean, votes, numbers or tags, says the training.
Without such a table it has its header only.

Legend: N rows of the catalog, C columns, B rows of a group.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from galaxies.data.table_file import DICTIONARY, TableFile, slice_groups, write_table
from galaxies.errors import InputError

_SHOWN, _MANY = 10, 40
_ROW = pa.field("row", pa.int64(), nullable=False)


def write_targets(path: Path, names: Sequence[str], values: NDArray[np.float64], left_out: Mapping[str, str]) -> None:
    """Write ``targets.parquet``.

    Args:
        path: of the file.
        names: of the C columns.
        values: (N, C), NaN where unknown.
        left_out: other columns of the table that was read, and why they are no numbers.
    """
    schema = _make_schema(names)
    tables = (
        pa.table([np.arange(span.start, span.stop), *np.ascontiguousarray(values[span].T)], schema=schema)
        for span in slice_groups(len(values) if names else 0)
    )
    # Votes and tags have few different values.
    encodings = {"row": "DELTA_BINARY_PACKED"} | dict.fromkeys(names, DICTIONARY)
    write_table(path, schema, tables, encodings=encodings, about={"left_out": dict(left_out)})


class TargetFile:
    """The open targets; their columns are read when they are asked for.

    Attributes:
        path: of the file.
        names: of the C columns.
        left_out: other columns of the table that was read, and why they are no numbers.
    """

    def __init__(self, path: Path, num_rows: int) -> None:
        """Open the ``targets.parquet`` of a catalog with so many rows. Raises InputError when it is not one."""
        self.path, self.names = path, _read_names(path)
        self._table = TableFile(path, _make_schema(self.names), stage="split")
        self.left_out: Mapping[str, str] = self._table.about["left_out"]
        if self.names and len(self._table) != num_rows:
            raise InputError(
                f"{path} has {len(self._table)} rows, the catalog has {num_rows}; `dvc repro --force split` makes both."
            )

    def groups(self, columns: Sequence[str]) -> Iterator[tuple[slice, dict[str, NDArray[np.float64]]]]:
        """Yield some columns, which must be there, group by group: the rows, and (B,) numbers by name."""
        start = 0
        for part in self._table.groups(["row", *columns]):
            rows = slice(start, start := start + len(part))
            self._table.require_rows(part, np.arange(rows.start, rows.stop))
            yield rows, {name: part[name].to_numpy() for name in columns}


def explain_missing(wanted: Sequence[str], names: Sequence[str], left_out: Mapping[str, str], key: str) -> str:
    """Return the message for columns that are not among those of the targets."""
    lines = [
        f"  {name}: {left_out[name.lower()]}" if name.lower() in left_out else f"  {name}: there is none"
        for name in wanted[:_SHOWN]
    ]
    more = [f"  and {len(wanted) - _SHOWN} more"] if len(wanted) > _SHOWN else []
    listing = "\n".join(lines + more)
    found = ", ".join(names[:_MANY]) + (", …" if len(names) > _MANY else "")
    return f"{key}: these are no columns of numbers in split.targets:\n{listing}\nThere are {found or 'none; name a table'}."


def _read_names(path: Path) -> tuple[str, ...]:
    try:
        found = pq.read_schema(path).names
    except (pa.ArrowException, OSError):
        found = []  # TableFile says what is wrong.
    return tuple(name for name in found if name != _ROW.name)


def _make_schema(names: Sequence[str]) -> pa.Schema:
    return pa.schema([_ROW, *(pa.field(name, pa.float64(), nullable=False) for name in names)])
