"""Corrected labels: a table with the columns ``id,label`` that overrides labels without touching the galaxies."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from galaxies.errors import InputError
from galaxies.files import file_sha256, require_digest
from galaxies.tables.cells import read_label
from galaxies.tables.table import Row, open_table


def correct_labels(
    labels: NDArray[np.int64], ids: pa.StringArray, class_names: Sequence[str], *, path: Path, sha256: str | None
) -> NDArray[np.int64]:
    """Return a copy of ``labels`` (N,) with the corrections of a file.

    Args:
        labels: index into ``class_names``, (N,).
        ids: of the galaxies, (N,) unique texts.
        class_names: the names that a corrected label may have; its number may stand instead.
        path: a table of any kind with the columns id and label.
        sha256: the file's digest, or ``any``: DVC sees the parameter, not the file.

    Raises:
        InputError: one message with every unknown id, unknown label and repeated id.
    """
    rows = _read_rows(path)
    require_digest(file_sha256(path), sha256, key="split.corrections_sha256", what=str(path))
    # Bytes that are not UTF-8 are no galaxy's id.
    names = [row.cells["id"].encode("utf-8", "replace").decode() for row in rows]
    galaxies = pc.index_in(pa.array(names, pa.string()), value_set=ids).to_pylist()
    label_of = {str(position): position for position in range(len(class_names))}
    # Names come last: a class may be called by another one's number.
    label_of |= {name: position for position, name in enumerate(class_names)}
    corrected, complaints = labels.copy(), []
    for row, name, galaxy in zip(rows, names, galaxies, strict=True):
        label = row.cells["label"]
        # A class may be called 3.0 in the file of galaxies itself.
        target = label_of.get(label, label_of.get(read_label(label)))
        if row.problem is not None:
            complaints.append(f"row {row.number}: {row.problem}")
        elif galaxy is None:
            complaints.append(f"row {row.number}: no galaxy has the id {name!r}")
        elif target is None:
            complaints.append(f"row {row.number}: no class is called {label!r}; the classes are {', '.join(class_names)}")
        else:
            corrected[galaxy] = target
    complaints += [f"the id {name!r} stands there {count} times" for name, count in Counter(names).items() if count > 1]
    if complaints:
        raise InputError(f"split.corrections, {path}:\n" + "\n".join(f"  {complaint}" for complaint in complaints))
    return corrected


def _read_rows(path: Path) -> list[Row]:
    try:
        table = open_table(path)
    except FileNotFoundError:
        raise InputError(f"split.corrections: there is no file {path}.") from None
    if not {"id", "label"} <= set(table.names):
        raise InputError(
            f"split.corrections: {path} has the columns {', '.join(table.names) or 'none'}, expected are id and label."
        )
    return list(table.rows())
