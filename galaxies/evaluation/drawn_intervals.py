"""95 % intervals of any metric of the test galaxies, by drawing sky groups with replacement.

Percentiles of the bootstrap (Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13); whole groups are drawn,
for their galaxies are not independent. What is a function of sums over galaxies takes one matrix product for all draws.
Legend: B test rows, G sky groups, M sums, P metrics, R draws.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from galaxies.evaluation.intervals import Intervals, percentiles, resample_sums

_NUM_DRAWS = 1000
_NUM_SLOW_DRAWS = 200


def find_ends_of_sums(
    columns: NDArray[np.float64],
    group: NDArray[np.int64],
    metrics: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    generator: np.random.Generator,
) -> Intervals:
    """Return metrics that are functions of sums over galaxies.

    Args:
        columns: what is added up, (B, M).
        group: sky group of each row, (B,); any numbers.
        metrics: from sums (..., M) to metrics (..., P).
        generator: draws the groups.
    """
    numbers, index = np.unique(group, return_inverse=True)
    sums = np.zeros((len(numbers), columns.shape[1]))
    np.add.at(sums, index, columns)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = metrics(sums.sum(axis=0))
        drawn = metrics(resample_sums(sums, num_resamples=_NUM_DRAWS, generator=generator))
    return Intervals(value, *percentiles(drawn))


def find_ends(
    metrics: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    group: NDArray[np.int64],
    *,
    generator: np.random.Generator,
) -> Intervals:
    """Return any metrics, of which 200 draws have to do.

    Args:
        metrics: from places of test rows, with repeats, to (P,).
        group: sky group of each row, (B,); any numbers.
        generator: draws the groups.
    """
    numbers, index = np.unique(group, return_inverse=True)
    members = np.split(np.argsort(index, kind="stable"), np.cumsum(np.bincount(index))[:-1])
    value = metrics(np.arange(len(group)))
    drawn = np.stack(
        [
            metrics(np.concatenate([members[place] for place in generator.integers(len(numbers), size=len(numbers))]))
            for _ in range(_NUM_SLOW_DRAWS)
        ]
    )
    return Intervals(value, *percentiles(drawn))
