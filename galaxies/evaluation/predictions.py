"""metrics/predictions.csv, in which everybody finds what the head says of each test galaxy. Light to import.

Legend: B test rows, K classes.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

from galaxies.errors import InputError

PROBABILITY_PREFIX = "p "
"""A class has the column of its probability under this and its name."""


def read_probabilities(path: Path, rows: Sequence[int], class_names: Sequence[str]) -> list[list[float]]:
    """Return the probabilities of test rows, B lists of K, in the order of ``rows`` and ``class_names``.

    Raises InputError when the file is missing, or is not about these galaxies and classes.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            table, found = list(reader), reader.fieldnames or ()
    except FileNotFoundError:
        raise InputError(f"There is no file {path}; `dvc repro evaluate` makes it.") from None
    columns = [f"{PROBABILITY_PREFIX}{name}" for name in class_names]
    absent = [column for column in ("row", *columns) if column not in found]
    if absent:
        raise InputError(f"{path} lacks the columns {absent}; `dvc repro evaluate` makes it again.")
    if [line["row"] for line in table] != [str(row) for row in rows]:
        raise InputError(
            f"{path} has {len(table)} rows that are not the {len(rows)} test rows of data/splits.parquet; "
            "`dvc repro evaluate` makes it again."
        )
    return [[float(line[column]) for column in columns] for line in table]
