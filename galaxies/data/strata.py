"""Of which kind a galaxy is when galaxies are divided: its class, or else where one of its targets stands among all.

Legend: N rows of the catalog, K classes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from galaxies.data.splits import UNLABELLED
from galaxies.data.target_table import TargetColumns

_NUM_QUANTILES = 5
# Train, val and test want a sky group each.
_FEWEST_GROUPS = 3


def find_strata(
    labels: NDArray[np.int64],
    class_names: Sequence[str],
    targets: TargetColumns,
    *,
    stratify_by: str | None,
    group: NDArray[np.int64],
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the stratum of each row, (N,), and the names of the strata; UNLABELLED where nothing is known to learn from.

    A class is a stratum. Galaxies without one that have a target are divided by the quintiles of a column; where it is unknown
    is one more stratum. Strata of fewer than three sky groups are joined to the one before.

    Args:
        labels: of all rows, (N,); UNLABELLED is none.
        class_names: what the labels mean.
        targets: what else is known of the rows.
        stratify_by: the column; null is the first.
        group: sky group of each row, (N,).

    Raises:
        InputError: there is no such column.
    """
    if not targets.names and stratify_by is None:
        return labels, tuple(class_names)
    values = targets.column(stratify_by or targets.names[0], "split.stratify_by")
    name = (stratify_by or targets.names[0]).lower()
    rows = np.flatnonzero((labels == UNLABELLED) & targets.known)
    strata, names = labels.copy(), [f"{name}, quintile {number}" for number in range(1, _NUM_QUANTILES + 1)]
    if len(rows):
        strata[rows] = len(class_names) + _join_small(_find_quantiles(values[rows]), group[rows])
    return strata, (*class_names, *names, f"{name} unknown")


def _find_quantiles(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the fifth that each value belongs to, from 0, and one more where it is unknown; ties stay together."""
    known = values[~np.isnan(values)]
    if not len(known):
        return np.full(len(values), _NUM_QUANTILES)
    inner = np.arange(1, _NUM_QUANTILES) / _NUM_QUANTILES
    # A method that takes values as they are: between -inf and inf there is nothing.
    edges = np.quantile(known, inner, method="lower")
    return np.where(np.isnan(values), _NUM_QUANTILES, np.searchsorted(edges, values, side="left"))


def _join_small(strata: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Join each stratum with too few sky groups to the one before it, the first to the one after."""
    strata = strata.copy()
    for stratum in np.unique(strata)[::-1].tolist():
        members = strata == stratum
        others = np.unique(strata[~members])
        if len(others) and len(np.unique(group[members])) < _FEWEST_GROUPS:
            before = others[others < stratum]
            strata[members] = before[-1] if len(before) else others[0]
    return strata
