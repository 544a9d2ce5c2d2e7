"""What simple methods make of the same features for votes, numbers and tags: mean, median, neighbours, ridge regression.

Everything is fitted on train rows; val rows choose the penalty of each column. Legend: N rows, P columns, B rows, C features.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.metrics import average_precision_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from galaxies.data.scales import from_scale
from galaxies.data.targets import UNKNOWN_TAG, Numbers, Tags, Targets, Votes
from galaxies.evaluation.scores import round_values
from galaxies.evaluation.told import countable_fractions

_NUM_NEIGHBOURS = 10
# Relative to the number of train rows, on standardised features.
_PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)

Values = NDArray[np.float64]
Rows = NDArray[np.int64]


def predict_baselines(features: NDArray[np.float32], true: Values, *, train: Rows, val: Rows) -> dict[str, Values]:
    """Return what each baseline says of all rows, (N, P); where no train row is known, NaN.

    Args:
        features: (N, C).
        true: fractions, numbers on their scales, or tags; NaN is unknown, (N, P).
        train: rows that fit.
        val: rows that choose.
    """
    standard = StandardScaler().fit(features[train]).transform(features)
    near = NearestNeighbors(n_neighbors=min(4 * _NUM_NEIGHBOURS, len(train)), algorithm="brute").fit(standard[train])
    places = near.kneighbors(standard, return_distance=False)
    said = {name: np.full(true.shape, np.nan) for name in ("train_mean", "train_median", "neighbours", "ridge")}
    for column, values in enumerate(true.T):
        known = train[~np.isnan(values[train])]
        if not len(known):
            continue
        said["train_mean"][:, column] = values[known].mean()
        said["train_median"][:, column] = np.median(values[known])
        said["neighbours"][:, column] = _mean_of_neighbours(values[train], places, values[known].mean())
        said["ridge"][:, column] = _fit_ridge(standard, values, known, val[~np.isnan(values[val])])
    return said


def measure_told_baselines(
    features: NDArray[np.float32], targets: Targets, *, train: Rows, val: Rows, test: Rows
) -> dict[str, dict[str, float]]:
    """Return the errors of each baseline on the test rows, means over the columns: mad and rmse, of tags average_precision.

    Numbers are fitted on their scales and measured in their units; fractions count as in `galaxies.evaluation.told`.
    Arguments as of :func:`predict_baselines`; ``targets`` are of N rows, ``test`` measures.
    """
    true = _find_true(targets)
    said, counted = predict_baselines(features, true, train=train, val=val), true
    if isinstance(targets, Votes):
        counted = countable_fractions(targets)
    if isinstance(targets, Numbers):
        said, counted = {name: _in_units(values, targets) for name, values in said.items()}, targets.values
    measured = {}
    for name, values in said.items():
        pairs = zip(values[test].T, counted[test].T, strict=True)
        known = [found for value, column in pairs if (found := _measure(value, column, is_tag=isinstance(targets, Tags)))]
        means = {key: float(np.mean([found[key] for found in known])) for key in known[0]} if known else {}
        measured[name] = round_values(means)
    return measured


def _find_true(targets: Targets) -> Values:
    """Return what is fitted, NaN where unknown."""
    if isinstance(targets, Votes):
        return targets.fractions.astype(np.float64)
    if isinstance(targets, Numbers):
        return targets.scaled()[0]
    return np.where(targets.values == UNKNOWN_TAG, np.nan, targets.values.astype(np.float64))


def _in_units(values: Values, numbers: Numbers) -> Values:
    return np.stack([from_scale(column, scale) for column, scale in zip(values.T, numbers.scales, strict=True)], axis=1)


def _measure(value: Values, true: Values, *, is_tag: bool) -> dict[str, float]:
    known = ~np.isnan(true) & ~np.isnan(value)
    if not known.any():
        return {}
    if is_tag:
        has_tag = true[known] == 1
        return {"average_precision": float(average_precision_score(has_tag, value[known]))} if has_tag.any() else {}
    error = value[known] - true[known]
    return {"mad": float(np.abs(error).mean()), "rmse": float(np.sqrt(np.square(error).mean()))}


def _mean_of_neighbours(values: Values, places: Rows, otherwise: float) -> Values:
    """Return the mean of the ten nearest train rows that are known, of up to forty looked at."""
    near = values[places]
    known = ~np.isnan(near)
    chosen = known & (known.cumsum(axis=1) <= _NUM_NEIGHBOURS)
    number = chosen.sum(axis=1)
    sums = np.where(chosen, near, 0).sum(axis=1)
    means: Values = np.divide(sums, number, out=np.full(len(near), otherwise), where=number > 0)
    return means


def _fit_ridge(standard: NDArray[np.float32], values: Values, train: Rows, val: Rows) -> Values:
    fits: list[Callable[[NDArray[np.float32]], Values]] = [
        Ridge(penalty * len(train)).fit(standard[train], values[train]).predict for penalty in _PENALTIES
    ]
    choosing = val if len(val) else train
    errors = [np.square(predict(standard[choosing]) - values[choosing]).mean() for predict in fits]
    best: Values = fits[int(np.argmin(errors))](standard)
    return best
