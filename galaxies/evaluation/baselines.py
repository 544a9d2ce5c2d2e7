"""What simple methods make of the same features: a head that is worth its parameters beats them.

Everything is fitted on train rows; val rows choose a penalty. Legend: N rows of the catalog, M train rows, B rows, C features,
K classes.
"""

import warnings
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from galaxies.errors import InputError
from galaxies.evaluation.scores import measure_predicted, round_values

_NUM_NEIGHBOURS = 10
# Relative to the number of train rows, on standardised features.
_RIDGE_PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)
_LOGISTIC_PENALTIES = (0.01, 0.1, 1.0)
# Of the loss's gradient; scikit-learn's own is 1e-4. A line to beat needs no more.
_TOLERANCE = 1e-2

Features = NDArray[np.float32]
Targets = NDArray[np.int64]
Fitted = tuple[float, Callable[[Features], Targets]]
"""A penalty, and the function from features (B, C) to predicted classes (B,)."""


def measure_baselines(
    features: Features, targets: Targets, *, train: Targets, val: Targets, test: Targets
) -> dict[str, dict[str, float]]:
    """Return accuracy, balanced accuracy and macro-F1 of each baseline on the test rows, and the penalty that val rows chose.

    ``majority`` always answers the class most frequent in train; ``neighbours`` takes the vote of the ten nearest train rows;
    ``ridge`` is least squares on one column a class; ``logistic_regression`` is scikit-learn's. Features of 17,736 x 2,048
    took 15 s of processor time.

    Args:
        features: (N, C).
        targets: class of each row, (N,).
        train: rows that fit.
        val: rows that choose.
        test: rows that measure.

    Raises:
        InputError: a split has no rows, or train only one class.
    """
    _require_rows(targets, train=train, val=val, test=test)
    scaler = StandardScaler().fit(features[train])
    seen, choosing, unseen = (scaler.transform(features[rows]) for rows in (train, val, test))
    labels = targets[train]

    def share_right(fitted: Fitted) -> float:
        progress.update()
        return float((fitted[1](choosing) == targets[val]).mean())

    neighbours = KNeighborsClassifier(min(_NUM_NEIGHBOURS, len(labels)), algorithm="brute").fit(seen, labels)
    measured = {
        "majority": measure_predicted(targets[test], np.full(len(test), np.bincount(labels).argmax())),
        "neighbours": measure_predicted(targets[test], neighbours.predict(unseen)),
    }
    with tqdm(total=len(_RIDGE_PENALTIES) + len(_LOGISTIC_PENALTIES), desc="baselines", unit="fit", delay=2) as progress:
        for name, fit in (("ridge", _fit_ridge), ("logistic_regression", _fit_logistic_regression)):
            penalty, predict = max(fit(seen, labels), key=share_right)
            measured[name] = {**measure_predicted(targets[test], predict(unseen)), "penalty": penalty}
    return {name: round_values(values) for name, values in measured.items()}


def _require_rows(targets: Targets, **splits: Targets) -> None:
    for name, rows in splits.items():
        if not len(rows):
            raise InputError(f"baselines: there are no {name} galaxies; change split.val_fraction or split.test_fraction.")
    if len(np.unique(targets[splits["train"]])) < 2:
        raise InputError("baselines: all train galaxies are of one class; add galaxies of another.")


def _fit_ridge(seen: Features, labels: Targets) -> Iterator[Fitted]:
    """Yield a fit for every penalty."""
    for penalty in _RIDGE_PENALTIES:
        yield penalty, RidgeClassifier(penalty * len(seen), solver="cholesky").fit(seen, labels).predict


def _fit_logistic_regression(seen: Features, labels: Targets) -> Iterator[Fitted]:
    """Yield a fit for every penalty."""
    for penalty in _LOGISTIC_PENALTIES:
        model = LogisticRegression(C=1 / (penalty * len(seen)), tol=_TOLERANCE)
        with warnings.catch_warnings():
            # So far as it gets in a hundred steps will do, too.
            warnings.simplefilter("ignore", ConvergenceWarning)
            yield penalty, model.fit(seen, labels).predict
