"""Corrected labels: a CSV with the columns ``id,label`` that overrides labels without touching the galaxies."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from galaxies.errors import InputError
from galaxies.files import file_sha256, read_text_table, require_digest


def correct_labels(
    labels: NDArray[np.int64], ids: pa.StringArray, class_names: Sequence[str], *, path: Path, sha256: str | None
) -> NDArray[np.int64]:
    """Return a copy of ``labels`` (N,) with the corrections of a file.

    Args:
        labels: index into ``class_names``, (N,).
        ids: of the galaxies, (N,) unique texts.
        class_names: the names that a corrected label may have; its number may stand instead.
        path: a CSV with the columns id and label.
        sha256: the file's digest, or ``any``: DVC sees the parameter, not the file.

    Raises:
        InputError: one message with every unknown id, unknown label and repeated id.
    """
    table = _read_table(path)
    require_digest(file_sha256(path), sha256, key="split.corrections_sha256", what=str(path))
    galaxies = pc.index_in(pa.array(table["id"], pa.string()), value_set=ids).to_pylist()
    label_of = {str(position): position for position in range(len(class_names))}
    # Names come last: a class may be called by another one's number.
    label_of |= {name: position for position, name in enumerate(class_names)}
    corrected, complaints = labels.copy(), []
    for line, (name, label, galaxy) in enumerate(zip(table["id"], table["label"], galaxies, strict=True), start=2):
        if galaxy is None:
            complaints.append(f"line {line}: no galaxy has the id {name!r}")
        elif label not in label_of:
            complaints.append(f"line {line}: no class is called {label!r}; the classes are {', '.join(class_names)}")
        else:
            corrected[galaxy] = label_of[label]
    complaints += [f"the id {name!r} stands there twice" for name in table["id"][table["id"].duplicated()].unique()]
    if complaints:
        raise InputError(f"split.corrections, {path}:\n" + "\n".join(f"  {complaint}" for complaint in complaints))
    return corrected


def _read_table(path: Path) -> pd.DataFrame:
    try:
        table = read_text_table(path)
    except FileNotFoundError:
        raise InputError(f"split.corrections: there is no file {path}.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"split.corrections: {path} is not a CSV file ({error}).") from error
    if not {"id", "label"} <= set(table.columns):
        raise InputError(f"split.corrections: {path} has the columns {list(table.columns)}, expected are id and label.")
    return table
