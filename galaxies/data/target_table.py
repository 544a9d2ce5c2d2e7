"""The table of targets that somebody brings, joined by id to the galaxies in use: ``split.targets``.

Legend: N rows of the catalog, C columns of numbers, B rows of the table.
"""

import itertools
import logging
import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from galaxies.data.target_file import explain_missing
from galaxies.errors import InputError
from galaxies.files import file_sha256, require_digest
from galaxies.tables.cells import read_number
from galaxies.tables.table import Row, Table, open_table

_BLOCK_ROWS = 1 << 14
_MAX_COLUMNS = 5000
_SHOWN = 10

ROW = "row"
"""A name that no column of targets has: in our own file it is the row of the catalog."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TargetColumns:
    """Columns of numbers, by row of the catalog."""

    names: tuple[str, ...]  # (C,) in lower case
    values: NDArray[np.float64]  # (N, C) NaN is unknown; on disk where a table was read
    left_out: Mapping[str, str]  # other columns, and why they are no numbers

    @property
    def known(self) -> NDArray[np.bool_]:
        """(N,) whether there is any value."""
        known = np.zeros(len(self.values), np.bool_)
        for start in range(0, len(known), _BLOCK_ROWS):
            part = self.values[start : start + _BLOCK_ROWS]
            known[start : start + _BLOCK_ROWS] = np.count_nonzero(~np.isnan(part), axis=1) > 0
        return known

    def column(self, name: str, key: str) -> NDArray[np.float64]:
        """Return the values of one column, (N,). Raises InputError that names the parameter ``key`` where there is none."""
        if name.lower() not in self.names:
            raise InputError(explain_missing([name], self.names, self.left_out, key))
        return np.array(self.values[:, self.names.index(name.lower())])


@dataclass
class _Findings:
    """What the rows so far have shown."""

    seen: NDArray[np.bool_]  # (N,) which galaxies have had a row
    not_numbers: dict[str, str] = field(default_factory=dict)  # the first cell of a column that is none
    complaints: list[str] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)  # of ids that no galaxy has
    num_rows: int = 0


def no_targets(num_rows: int) -> TargetColumns:
    """Return what is there where ``split.targets`` names no table."""
    return TargetColumns((), np.empty((num_rows, 0)), {})


def join_targets(path: Path, sha256: str | None, ids: pa.StringArray, *, id_column: str, folder: Path) -> TargetColumns:
    """Read the columns of numbers of a table, of the galaxies with these ids; memory holds some rows of it.

    Galaxies without a row have nothing known, and rows of other galaxies are no matter.

    Args:
        path: a table of any kind.
        sha256: the file's digest, or ``any``: DVC sees the parameter, not the file.
        ids: of the N galaxies in use, unique texts.
        id_column: the column of the table with the ids.
        folder: where the numbers are kept while they are needed, in a file without a name.

    Raises:
        InputError: one message with everything that is wrong, above all an id that stands there twice.
    """
    table = _open(path, sha256, id_column)
    names = [name for name in table.names if name not in (id_column.lower(), ROW, "")]
    left_out = {ROW: "the name is taken"} if ROW in table.names else {}
    values = _make_values(len(ids), len(names), folder)
    findings = _Findings(np.zeros(len(ids), np.bool_))
    for rows in _blocks(table, [id_column.lower(), *names]):
        _read_block(rows, id_column.lower(), names, ids, values, findings)
    _refuse(path, findings, ids)
    kept = [place for place, name in enumerate(names) if name not in findings.not_numbers]
    found = f"{np.count_nonzero(findings.seen)} of {len(ids)} galaxies"
    _logger.info("split.targets: %s stand in the %d rows of %s; %d columns.", found, findings.num_rows, path.name, len(kept))
    for start in range(0, len(ids), _BLOCK_ROWS):
        # In place: a copy of all would be in memory.
        values[start : start + _BLOCK_ROWS, : len(kept)] = values[start : start + _BLOCK_ROWS, kept]
    left_out |= findings.not_numbers
    return TargetColumns(tuple(names[place] for place in kept), values[:, : len(kept)], left_out)


def _open(path: Path, sha256: str | None, id_column: str) -> Table:
    try:
        table = open_table(path)
    except FileNotFoundError:
        raise InputError(f"split.targets: there is no file {path}.") from None
    require_digest(file_sha256(path), sha256, key="split.targets_sha256", what=str(path))
    if id_column.lower() not in table.names:
        raise InputError(
            f"split.targets: {path} has no column {id_column!r}, by which galaxies are found; it has "
            f"{', '.join(table.names) or 'none'}. split.targets_id names another one."
        )
    repeated = sorted(name for name, count in Counter(table.names).items() if count > 1 and name)
    if repeated:
        raise InputError(f"split.targets: {path} has several columns {', '.join(repeated)}; capital letters are no matter.")
    if len(table.names) > _MAX_COLUMNS:
        raise InputError(f"split.targets: {path} has {len(table.names)} columns, at most {_MAX_COLUMNS} are read.")
    return table


def _make_values(num_rows: int, num_columns: int, folder: Path) -> NDArray[np.float64]:
    """Return NaN, (num_rows, num_columns), on disk."""
    with tempfile.TemporaryFile(dir=folder) as file:
        # The array keeps the file open, which has no name: it is gone with it, also when the process is killed.
        values = np.memmap(file, np.float64, "w+", shape=(num_rows, max(num_columns, 1)))
    for start in range(0, num_rows, _BLOCK_ROWS):
        values[start : start + _BLOCK_ROWS] = np.nan
    return values[:, :num_columns]


def _blocks(table: Table, columns: Sequence[str]) -> Iterator[list[Row]]:
    rows = table.rows(columns)
    while block := list(itertools.islice(rows, _BLOCK_ROWS)):
        yield block


def _read_block(
    rows: Sequence[Row],
    id_column: str,
    names: Sequence[str],
    ids: pa.StringArray,
    values: NDArray[np.float64],
    findings: _Findings,
) -> None:
    """Put the numbers of some rows of the table where their galaxies stand in ``values``."""
    findings.num_rows += len(rows)
    findings.complaints += (f"row {row.number}: {row.problem}" for row in rows if row.problem is not None)
    # Bytes that are not UTF-8 are no galaxy's id.
    texts = [row.cells[id_column].encode("utf-8", "replace").decode() for row in rows]
    places = pc.index_in(pa.array(texts, pa.string()), value_set=ids).to_pylist()
    for row, text, place in zip(rows, texts, places, strict=True):
        if place is None:
            if len(findings.examples) < 3:
                findings.examples.append(text)
            continue
        if findings.seen[place]:
            findings.complaints.append(f"row {row.number}: the id {text!r} stands there already")
            continue
        findings.seen[place] = True
        values[place] = [_read_cell(row, name, findings.not_numbers) for name in names]


def _read_cell(row: Row, name: str, not_numbers: dict[str, str]) -> float:
    text = row.cells[name]
    if not text:
        return math.nan
    # What numpy and Parquet make of a tag.
    if text.lower() in ("true", "false"):
        return float(text.lower() == "true")
    try:
        return read_number(text)
    except ValueError as error:
        not_numbers.setdefault(name, f"row {row.number}: {error}")
        return math.nan


def _refuse(path: Path, findings: _Findings, ids: pa.StringArray) -> None:
    complaints = findings.complaints
    if not complaints and not findings.seen.any():
        found = ", ".join(map(repr, findings.examples)) or "none"
        raise InputError(
            f"split.targets: no galaxy in use has one of the ids of {path} (such as {found}); galaxies have ids such as "
            f"{', '.join(map(repr, ids.slice(0, 3).to_pylist()))}."
        )
    if complaints:
        more = [f"and {len(complaints) - _SHOWN} more"] if len(complaints) > _SHOWN else []
        raise InputError("\n  ".join([f"split.targets, {path}:", *complaints[:_SHOWN], *more]))
