"""metrics/predictions.csv of a head for votes, numbers or tags, read again: what is true and what was told of each test galaxy.

Legend: B test rows, P answers, numbers or tags.
"""

import io
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galaxies.errors import InputError
from galaxies.paths import PREDICTIONS

_TRUE, _PREDICTED = "true ", "predicted "
_COLUMNS = ["row", "id", "image_sha256", "group"]


@dataclass(frozen=True)
class SavedTold:
    """What such a file holds."""

    revision: str  # of the repository, for messages
    galaxies: pd.DataFrame  # row, id, image_sha256, group; B rows
    names: tuple[str, ...]  # (P,)
    true: NDArray[np.float64]  # (B, P), NaN where it does not count
    predicted: NDArray[np.float64]  # (B, P)


def tells_no_classes(text: str) -> bool:
    """Tell from the text of a ``predictions.csv`` whether its head told votes, numbers or tags."""
    return any(name.startswith(_TRUE) for name in text.partition("\n")[0].split(","))


def parse_told(text: str, revision: str) -> SavedTold:
    """Return what stands in the text of such a file. Raises InputError when it is not of this form, or holds no galaxies."""
    table = pd.read_csv(io.StringIO(text), dtype={"id": str, "image_sha256": str}, keep_default_na=False)
    names = tuple(name.removeprefix(_TRUE) for name in table.columns.astype(str) if name.startswith(_TRUE))
    wanted = [*_COLUMNS, *(f"{_PREDICTED}{name}" for name in names)]
    missing = [name for name in wanted if name not in table]
    if missing or not len(table) or not names:
        found = f"lacks the columns {', '.join(missing[:5])}" if missing else "has no galaxies of which something is told"
        raise InputError(f"{PREDICTIONS} at {revision} {found}; `dvc repro evaluate` writes it anew.")
    true, predicted = (
        table[[f"{prefix}{name}" for name in names]].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
        for prefix in (_TRUE, _PREDICTED)
    )
    return SavedTold(revision, table[_COLUMNS], names, true, predicted)
