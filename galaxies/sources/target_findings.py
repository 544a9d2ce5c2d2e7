"""What a table of targets holds, and the parameters that learn it: what ``galaxies targets`` says."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from galaxies.data.question_files import list_trees, open_tree
from galaxies.data.questions import KINDS, describe_kind
from galaxies.data.target_table import TargetColumns, join_targets
from galaxies.data.vote_columns import VoteForm, choose_form
from galaxies.errors import InputError
from galaxies.files import file_sha256
from galaxies.params_file import Value
from galaxies.tables.table import open_table

_SHOWN = 12

# What tables write for a number that nobody has measured.
_PLACEHOLDERS = (-9.0, -99.0, -999.0, -9999.0, -99999.0, -99.99, -999.99)


@dataclass(frozen=True)
class TargetFindings:
    """What was found, in sentences, and keys of two sections of params.yaml."""

    lines: tuple[str, ...]
    split: dict[str, Value]
    train: dict[str, Value] | None  # None: somebody must say what is to be learned


def look_at_targets(
    path: Path, ids: pa.StringArray | None, *, id_column: str, numbers: Sequence[str], tags: Sequence[str]
) -> TargetFindings:
    """Look at a table of targets, all of it.

    Args:
        path: of a table of any kind.
        ids: of the galaxies that it is for, unique texts; None: not known yet.
        id_column: its column with the ids.
        numbers: columns that are to be learned as numbers.
        tags: columns that are to be learned as tags; with neither, votes are looked for.

    Raises:
        InputError: it is no such table, or no column of numbers is called so.
    """
    if not path.is_file():
        raise InputError(f"There is no file {path}.")
    table_ids, digest = _read_ids(path, id_column), file_sha256(path)
    with TemporaryDirectory() as folder:
        wanted = table_ids if ids is None else ids
        columns = join_targets(path, digest, wanted, id_column=id_column, folder=Path(folder))
    for name in (*numbers, *tags):
        columns.column(name, "galaxies targets")
    form, name = _find_votes(columns)
    lines = [f"{path} has {len(table_ids)} rows.", _describe_ids(columns, ids), *_describe_columns(columns, form, name)]
    split: dict[str, Value] = {"targets": str(path), "targets_sha256": digest, "targets_id": id_column}
    if numbers or tags:
        train: dict[str, Value] = {"target": "number" if numbers else "tags", "columns": [*numbers, *tags]}
        return TargetFindings(tuple(lines), split, train)
    if form is None:
        lines.append(
            "It has the votes of no built-in tree of questions, or not all of them. `--number COLUMN ...` or `--tags "
            "COLUMN ...` says what to learn; for other votes set train.questions, and train.columns (docs/targets.md)."
        )
        return TargetFindings(tuple(lines), split, None)
    return TargetFindings(tuple(lines), split, {"target": "votes", "questions": name})


def _read_ids(path: Path, id_column: str) -> pa.StringArray:
    table = open_table(path)
    if id_column.lower() not in table.names:
        raise InputError(
            f"{path} has no column {id_column!r}, by which galaxies are found; it has {', '.join(table.names) or 'none'}. "
            "`--id COLUMN` names another one."
        )
    return pa.array([row.cells[id_column.lower()] for row in table.rows([id_column.lower()])], pa.string())


def _find_votes(columns: TargetColumns) -> tuple[VoteForm | None, str]:
    """Return where the votes on all questions of a built-in tree stand, of the largest tree that fits, and its name."""
    found: list[tuple[VoteForm, str]] = []
    for name in list_trees():
        try:
            found.append((choose_form(open_tree(name), columns.names, kind="auto", chosen=()), name))
        except InputError:
            continue
    # Of trees of one size the one whose kind of columns says most.
    return max(found, key=lambda pair: (len(pair[0].tree), -KINDS.index(pair[0].naming.kind)), default=(None, ""))


def _describe_ids(columns: TargetColumns, ids: pa.StringArray | None) -> str:
    if ids is None:
        return "Galaxies: none are known yet; `dvc repro split` will say how many of them stand there."
    return f"Galaxies: of {columns.known.sum()} of {len(ids)} something is known."


def _describe_columns(columns: TargetColumns, form: VoteForm | None, name: str) -> list[str]:
    lines, used = [], set(form.columns) if form else set()
    if form:
        size = f"{len(form.tree)} questions with {form.tree.num_answers} answers"
        lines.append(f"Votes: the {describe_kind(form.naming.kind)} of {name}, {size}.")
    tags: list[str] = []
    numbers: list[str] = []
    doubts: list[str] = []
    for column, values in zip(columns.names, columns.values.T, strict=True):
        known = values[~np.isnan(values)]
        if column in used or not len(known):
            continue
        is_tag = bool(np.isin(known, (0, 1)).all())
        # A number that often stands alone far below all others.
        count = int(np.count_nonzero(known == known.min()))
        if known.min() in _PLACEHOLDERS and count > 1:
            doubts.append(
                f"{column}: {count} galaxies have {known.min():g}; if it means unknown, make their cells empty first."
            )
        (tags if is_tag else numbers).append(column if is_tag else f"{column} ({known.min():.4g} to {known.max():.4g})")
    for kind, names in (("Numbers", numbers), ("Zeros and ones", tags), ("No numbers", list(columns.left_out))):
        if names:
            more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            lines.append(f"{kind}: {', '.join(names[:_SHOWN])}{more}.")
    return lines + doubts
