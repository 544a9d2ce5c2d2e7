"""metrics/predictions.csv, in which everybody finds what the head says of each test galaxy: written and read here alone.

It says by itself which galaxies were tested (id, image digest, sky group), so that two revisions can be compared without
anything of DVC's cache. Legend: B test rows, K classes.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galaxies.data.catalog import Catalog
from galaxies.data.splits import Splits
from galaxies.errors import InputError
from galaxies.paths import PREDICTIONS

PROBABILITY_PREFIX = "p "
"""A class has the column of its probability under this and its name."""

_TEXTS = ("id", "image_sha256", "label")
_COLUMNS = ["row", "id", "image_sha256", "group", "label"]


@dataclass(frozen=True)
class SavedPredictions:
    """What such a file holds."""

    revision: str  # of the repository, for messages
    galaxies: pd.DataFrame  # row, id, image_sha256 (its first 16 digits), group, label; B rows
    class_names: tuple[str, ...]
    probabilities: NDArray[np.float64]  # (B, K)


def tabulate_predictions(
    catalog: Catalog, splits: Splits, probabilities: NDArray[np.float64], *, has_images: bool = True
) -> pd.DataFrame:
    """Return a row a test galaxy: which it is, label, predicted (both by name), ``p <class name>`` a class.

    Args:
        catalog: all galaxies.
        splits: which of them are tested, and their labels.
        probabilities: of the test rows, (B, K), written with four significant digits.
        has_images: without, the digest is left empty: of one galaxy there are as many embeddings as networks.
    """
    rows, names = splits.rows("test"), np.array(splits.classes)
    rows = rows[splits.targets[rows] >= 0]
    which = list_galaxies(catalog, splits, rows, has_images=has_images)
    which["label"], which["predicted"] = names[splits.targets[rows]], names[probabilities.argmax(axis=1)]
    # Significant ones: a true class at 0.000001 is not at 0, which would cost any number of nats.
    rounded = [[float(f"{value:.4g}") for value in row] for row in probabilities]
    columns = pd.DataFrame(rounded, columns=[f"{PROBABILITY_PREFIX}{name}" for name in splits.classes])
    return pd.concat([which, columns], axis=1)


def list_galaxies(catalog: Catalog, splits: Splits, rows: NDArray[np.int64], *, has_images: bool = True) -> pd.DataFrame:
    """Return which galaxies some rows (B,) are: row, galaxy, id, image_sha256 (its first 16 digits), group."""
    taken = catalog.take(rows)
    return pd.DataFrame(
        {
            "row": rows,
            "galaxy": taken.galaxy,
            "id": taken.ids.to_pylist(),
            "image_sha256": [digest[:8].tobytes().hex() if has_images else "" for digest in taken.image_sha256],
            "group": splits.group[rows],
        }
    )


def parse_predictions(text: str, revision: str) -> SavedPredictions:
    """Return what stands in the text of such a file, that of a revision, which errors name.

    Raises InputError when it is not of this form, or holds no galaxies.
    """
    types = dict.fromkeys(_TEXTS, str)
    table = pd.read_csv(io.StringIO(text), dtype=types, keep_default_na=False)
    missing = [name for name in _COLUMNS if name not in table]
    if missing or not len(table):
        found = f"lacks the columns {', '.join(missing)}" if missing else "has no galaxies"
        raise InputError(f"{PREDICTIONS} at {revision} {found}; `dvc repro evaluate` writes it anew.")
    columns = [name for name in table.columns.astype(str) if name.startswith(PROBABILITY_PREFIX)]
    probabilities = table[columns].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    broken = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if len(broken):
        raise InputError(
            f"{PREDICTIONS} at {revision}: the probabilities of galaxy {table['id'].iloc[broken[0]]} are not all numbers; "
            "`dvc repro evaluate` writes it anew."
        )
    names = tuple(name.removeprefix(PROBABILITY_PREFIX) for name in columns)
    return SavedPredictions(revision, table[_COLUMNS], names, probabilities)


def read_probabilities(path: Path, rows: Sequence[int], class_names: Sequence[str]) -> NDArray[np.float64]:
    """Return the probabilities of test rows, (B, K), in the order of ``rows`` and ``class_names``.

    Raises InputError when the file is missing, or is not about these galaxies and classes.
    """
    try:
        saved = parse_predictions(path.read_text(encoding="utf-8"), "workspace")
    except FileNotFoundError:
        raise InputError(f"There is no file {path}; `dvc repro evaluate` makes it.") from None
    absent = [name for name in class_names if name not in saved.class_names]
    if absent:
        raise InputError(f"{path} lacks the classes {', '.join(absent)}; `dvc repro evaluate` makes it again.")
    if saved.galaxies["row"].tolist() != list(rows):
        raise InputError(
            f"{path} has {len(saved.galaxies)} rows that are not the {len(rows)} test rows of data/splits.parquet; "
            "`dvc repro evaluate` makes it again."
        )
    return saved.probabilities[:, [saved.class_names.index(name) for name in class_names]]
