"""Whether one revision tells votes, numbers or tags better than another on the same test galaxies, or had luck.

What is hard about a galaxy cancels, for both were measured on it: whole sky groups are drawn for both at once.
Legend: B test rows, P answers, numbers or tags.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from galaxies.errors import InputError
from galaxies.evaluation.drawn_intervals import find_ends_of_sums
from galaxies.evaluation.intervals import LEVEL
from galaxies.evaluation.told_predictions import SavedTold

_KEYS = ["id", "image_sha256"]


def compare_told(first: SavedTold, second: SavedTold) -> pd.DataFrame:
    """Return how much nearer the second is to what is true: a row for the mean over all names, and one for each.

    Columns as of `galaxies.evaluation.comparison.compare_predictions`: metric (rmse), class_name (the answer, number or tag,
    empty for the mean over all), first, second, difference (second - first; below 0 is better), low, high (its 95 % interval),
    probability (that the second is better).

    Args:
        first: revision A.
        second: revision B; what is true is that of its galaxies, which must be A's.

    Raises:
        InputError: the test galaxies, what is true of them, or what is told differ.
    """
    if sorted(first.names) != sorted(second.names):
        raise InputError(
            f"{first.revision} tells {', '.join(first.names)}, {second.revision} tells {', '.join(second.names)}; only heads "
            "that tell the same can be compared."
        )
    order, places = _find_galaxies(first, second), [first.names.index(name) for name in second.names]
    true, predicted = first.true[order][:, places], first.predicted[order][:, places]
    if not np.allclose(true, second.true, rtol=1e-3, equal_nan=True):
        raise InputError(
            f"{first.revision} and {second.revision} differ in what is true of the same galaxies; run the older one again with "
            "the present table of split.targets."
        )
    group = second.galaxies["group"].to_numpy(np.int64)
    counts = ~np.isnan(second.true)
    squares = [np.where(counts, np.square(said - second.true), 0) for said in (predicted, second.predicted)]
    ends = find_ends_of_sums(np.hstack([counts, *squares]), group, _measure, generator=np.random.default_rng(0))
    value, low, high = (part.reshape(3, -1) for part in (ends.value, ends.low, ends.high))
    # Of a normal distribution with this interval.
    spread = np.maximum(high[2] - low[2], np.finfo(float).tiny) / (2 * ndtri((1 + LEVEL) / 2))
    better = ndtr(-value[2] / spread)
    names = ["", *second.names]
    return pd.DataFrame(
        {
            "metric": "rmse",
            "class_name": names,
            "first": value[0],
            "second": value[1],
            "difference": value[2],
            "low": low[2],
            "high": high[2],
            "probability": np.where(value[2] == 0, 0.5, better),
        }
    )


def _measure(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the RMSEs of the first, of the second, and their difference, each the mean over the names before that of each."""
    counts, first, second = np.split(sums, 3, axis=-1)
    errors = [np.sqrt(part / counts) for part in (first, second)]
    with_mean = [np.concatenate([np.nanmean(part, axis=-1, keepdims=True), part], axis=-1) for part in errors]
    return np.concatenate([*with_mean, with_mean[1] - with_mean[0]], axis=-1)


def _find_galaxies(first: SavedTold, second: SavedTold) -> NDArray[np.int64]:
    """Return where in ``first`` each galaxy of ``second`` stands, (B,)."""
    keys = [pd.MultiIndex.from_frame(side.galaxies[_KEYS]) for side in (first, second)]
    order = keys[0].get_indexer(keys[1])
    num_new = int((order < 0).sum())
    num_old = len(keys[0]) - len(keys[1]) + num_new
    if num_new or num_old:
        raise InputError(
            f"{first.revision} and {second.revision} were tested on different galaxies: {num_old} only there, {num_new} only "
            f"here. The split and the targets must be the same (`dvc params diff`)."
        )
    return np.asarray(order, np.int64)
