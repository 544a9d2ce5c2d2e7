"""Prediction sets: the classes a galaxy may well be, so many that the true one is among them nine times out of ten.

Method: class-conditional split conformal prediction with the least ambiguous sets (Sadinle, Lei & Wasserman 2019, "Least
Ambiguous Set-Valued Classifiers with Bounded Error Levels"). Every class has a threshold of its own, so the promise holds
for rare classes as for frequent ones, and a class belongs to the set of a galaxy whose probability for it reaches that.

Legend: N calibration rows, B rows, K classes.
"""

import numpy as np
from numpy.typing import NDArray

COVERAGE = 0.9
"""The promised share of galaxies whose set holds their class."""


def fit_set_thresholds(
    targets: NDArray[np.int64], probabilities: NDArray[np.float64], *, coverage: float = COVERAGE
) -> NDArray[np.float64]:
    """Return the probability at which each class enters a set, (K,).

    With n calibration galaxies in a class, the threshold is the floor((1 - coverage) (n + 1))-th smallest probability they
    have for it: of new galaxies of the class at least ``coverage`` reach it, whatever the head is worth. For 0.9 that takes 9
    galaxies. Classes with fewer share one threshold, which keeps the promise for them together; where even together they are
    too few it is 0, and they stand in every set.

    Args:
        targets: classes of rows that trained and chose nothing, (N,).
        probabilities: (N, K).
        coverage: the share to promise, between 0 and 1.
    """
    num_classes = probabilities.shape[1]
    own = probabilities[np.arange(len(targets)), targets]
    counts = np.bincount(targets, minlength=num_classes)
    is_rare = np.array([_num_missed(count, coverage) == 0 for count in counts])
    thresholds = np.full(num_classes, _threshold(own[is_rare[targets]], coverage))
    for target in np.flatnonzero(~is_rare):
        thresholds[target] = _threshold(own[targets == target], coverage)
    return thresholds


def predict_sets(probabilities: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which classes are in each galaxy's set, (B, K).

    The most probable class always is: a set that is never empty only raises the coverage.

    Args:
        probabilities: (B, K).
        thresholds: of ``fit_set_thresholds``, (K,).
    """
    sets: NDArray[np.bool_] = probabilities >= thresholds
    sets[np.arange(len(sets)), probabilities.argmax(axis=1)] = True
    return sets


def _num_missed(num_galaxies: int, coverage: float) -> int:
    """Return how many of the lowest probabilities may lie at or below the threshold."""
    # (1 - 0.9) * 10 is 0.9999999999999998: what is a whole number but for rounding is one.
    return int(np.floor((1 - coverage) * (num_galaxies + 1) + 1e-9))


def _threshold(probabilities: NDArray[np.float64], coverage: float) -> float:
    num_missed = _num_missed(len(probabilities), coverage)
    return float(np.sort(probabilities)[num_missed - 1]) if num_missed else 0.0
