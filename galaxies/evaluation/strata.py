"""How the accuracy depends on what a galaxy looks like and how far away it is.

Legend: B test rows.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galaxies.evaluation.intervals import share_interval

_NUM_STRATA = 5
# Fewer galaxies than that in a stratum say nothing.
_FEWEST_GALAXIES = 10


def tabulate_strata(is_right: NDArray[np.bool_], quantities: Mapping[str, NDArray[np.float64]]) -> pd.DataFrame:
    """Return the accuracy in up to five strata of each quantity, of about equally many galaxies.

    A row a stratum: quantity, low, high (its smallest and largest value), count, accuracy, accuracy_low, accuracy_high (the
    95 % interval). Galaxies of equal value stay together; those of unknown value (NaN) are left out, and so is a quantity
    known of too few to make two strata of ten, or that is the same everywhere.

    Args:
        is_right: whether a galaxy was predicted rightly, (B,).
        quantities: by name, (B,) each.
    """
    tables = [_divide(name, values, is_right) for name, values in quantities.items()]
    return pd.concat(tables, ignore_index=True)


def _divide(name: str, values: NDArray[np.float64], is_right: NDArray[np.bool_]) -> pd.DataFrame:
    known = np.isfinite(values)
    values, right = values[known], is_right[known]
    num_strata = min(_NUM_STRATA, len(values) // _FEWEST_GALAXIES)
    edges = np.unique(np.quantile(values, np.arange(1, num_strata) / num_strata)) if num_strata > 1 else np.array([])
    stratum = np.searchsorted(edges, values)
    count = np.bincount(stratum)
    used = np.flatnonzero(count)
    if len(used) < 2:
        used = used[:0]
    num_right = np.bincount(stratum, right)[used] if len(used) else np.array([])
    low, high = share_interval(num_right, count[used])
    members = [values[stratum == index] for index in used]
    return pd.DataFrame(
        {
            "quantity": name,
            "low": [float(f"{member.min():.3g}") for member in members],
            "high": [float(f"{member.max():.3g}") for member in members],
            "count": count[used],
            "accuracy": (num_right / count[used]).round(4),
            "accuracy_low": low.round(4),
            "accuracy_high": high.round(4),
        }
    )
