"""Labels as a table beside the galaxies: ``id,label`` gives labels and changes them without touching the galaxies.

Legend: M galaxies of the file, L rows of the table.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from galaxies.data.labels import judge_labels, order_classes
from galaxies.data.splits import UNLABELLED
from galaxies.errors import InputError
from galaxies.files import file_sha256, require_digest
from galaxies.tables.cells import read_label
from galaxies.tables.table import Row, open_table

_MOST_COMPLAINTS = 40


@dataclass(frozen=True)
class LabelTable:
    """What a table says of the galaxies."""

    galaxy: NDArray[np.int64]  # (L,) index in galaxies.h5, in the order of the table
    label: NDArray[np.int64]  # (L,) index into the class names
    class_names: tuple[str, ...]  # those of the source, then those that the table alone has, in the order of `order_classes`

    def apply(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the labels of all galaxies of the file, (M,), with those of the table in place of the source's."""
        result = labels.copy()
        result[self.galaxy] = self.label
        return result


def read_label_table(
    path: Path, *, sha256: str | None, labels: NDArray[np.int64], ids: pa.StringArray, class_names: Sequence[str]
) -> LabelTable:
    """Read a table of labels. A row without a label says nothing, as in a catalogue that was filled in by hand.

    Args:
        path: a table of any kind with the columns id and label.
        sha256: the file's digest, or ``any``: DVC sees the parameter, not the file.
        labels: of the source, (M,) index into ``class_names``, UNLABELLED where it has none.
        ids: of the galaxies, (M,) unique texts.
        class_names: of the source. A label may be one of these names, the number of one, or the name of a new class.

    Raises:
        InputError: one message with every unknown id, repeated id and label that can be no class.
    """
    rows = _read_rows(path)
    require_digest(file_sha256(path), sha256, key="split.labels_sha256", what=str(path))
    # Bytes that are not UTF-8 are no galaxy's id.
    names = [row.cells["id"].encode("utf-8", "replace").decode() for row in rows]
    galaxies = pc.index_in(pa.array(names, pa.string()), value_set=ids).to_pylist()
    numbered = {str(position): name for position, name in enumerate(class_names)}
    complaints, found, meant = [], [], []
    for row, name, galaxy in zip(rows, names, galaxies, strict=True):
        label = row.cells["label"]
        if row.problem is not None:
            complaints.append(f"row {row.number}: {row.problem}")
        elif galaxy is None:
            complaints.append(f"row {row.number}: no galaxy has the id {name!r}")
        elif label:
            found.append(galaxy)
            # A class may be called 3.0, or by another one's number, in the file of galaxies itself.
            meant.append(label if label in class_names else numbered.get(read_label(label), read_label(label)))
    complaints += [f"the id {name!r} stands there {count} times" for name, count in Counter(names).items() if count > 1]
    complaints += _judge(meant, labels, class_names)
    if complaints:
        listing = "\n".join(f"  {complaint}" for complaint in complaints[:_MOST_COMPLAINTS])
        more = f"\n  … and {len(complaints) - _MOST_COMPLAINTS} more" if len(complaints) > _MOST_COMPLAINTS else ""
        raise InputError(f"split.labels, {path}:\n{listing}{more}")
    all_names = (*class_names, *order_classes(set(meant) - set(class_names)))
    codes = {name: code for code, name in enumerate(all_names)}
    return LabelTable(np.array(found, np.int64), np.array([codes[name] for name in meant], np.int64), all_names)


def _judge(meant: Sequence[str], labels: NDArray[np.int64], class_names: Sequence[str]) -> Iterator[str]:
    """Yield what keeps the labels of a table from being classes beside those of the source."""
    counts = np.bincount(labels[labels != UNLABELLED], minlength=len(class_names)).tolist()
    of_source = Counter(dict(zip(class_names, counts, strict=True)))
    # What is odd in the source's own names is not the table's fault.
    known = set(judge_labels(of_source).complaints)
    of_source.update(name for name in meant if name not in class_names)
    yield from (complaint for complaint in judge_labels(of_source).complaints if complaint not in known)
    # Where classes have names, a number that is none of theirs is hardly a new class.
    if class_names and not any(name.isdecimal() for name in class_names):
        for name in dict.fromkeys(name for name in meant if name.isdecimal()):
            yield f"no class has the number {name}; the classes are 0 to {len(class_names) - 1}: {', '.join(class_names)}"


def _read_rows(path: Path) -> list[Row]:
    try:
        table = open_table(path)
    except FileNotFoundError:
        raise InputError(f"split.labels: there is no file {path}.") from None
    if not {"id", "label"} <= set(table.names):
        raise InputError(f"split.labels: {path} has the columns {', '.join(table.names) or 'none'}, expected are id and label.")
    return list(table.rows())
