"""How good the head is on the test rows, in a few numbers.

Legend: B test rows, K classes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    log_loss,
    matthews_corrcoef,
    recall_score,
)

from galaxies.errors import InputError
from galaxies.evaluation.differences import find_differences
from galaxies.evaluation.intervals import METRICS, Intervals
from galaxies.evaluation.reliability import change_temperature, expected_calibration_error

# Four digits say more than 2,000 test galaxies can, and keep diffs readable.
DIGITS = 4


def measure(
    targets: NDArray[np.int64], probabilities: NDArray[np.float64], *, train_counts: NDArray[np.int64]
) -> dict[str, float]:
    """Return the metrics of predictions, by name, and beside them the line to beat.

    ``majority_*`` always answers the class most frequent in train; ``prior_nll`` answers the shares of the classes in
    train. Classes without a test galaxy take no part in balanced accuracy and macro-F1. ``brier`` is the squared distance of
    the probabilities from the truth, 0 to 2 (Brier 1950); ``ece`` the expected calibration error.

    Args:
        targets: true classes, (B,).
        probabilities: (B, K).
        train_counts: train galaxies in each class, (K,), none of them 0.

    Raises:
        InputError: there are no rows, or a probability is not finite.
    """
    _require_finite(targets, probabilities)
    prior = np.tile(train_counts / train_counts.sum(), (len(targets), 1))
    predicted = probabilities.argmax(axis=1)
    majority = measure_predicted(targets, np.full_like(targets, train_counts.argmax()))
    two_best = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    metrics = {
        **measure_predicted(targets, predicted),
        "top2_accuracy": float((two_best == targets[:, None]).any(axis=1).mean()),
        "mcc": _mcc(targets, predicted),
        **_measure_probabilities(targets, probabilities),
        **{f"majority_{name}": value for name, value in majority.items()},
        "prior_nll": _nll(targets, prior),
    }
    counts = {"num_galaxies": len(targets), "num_classes": len(np.unique(targets))}
    return {**round_values(metrics), **counts}


def measure_predicted(targets: NDArray[np.int64], predicted: NDArray[np.int64]) -> dict[str, float]:
    """Return accuracy, balanced accuracy and macro-F1 of predicted classes (B,); classes without a galaxy take no part."""
    present = np.unique(targets)
    return {
        "accuracy": float(accuracy_score(targets, predicted)),
        # The mean recall is the balanced accuracy; scikit-learn's own warns of predicted classes that no galaxy has.
        "balanced_accuracy": float(recall_score(targets, predicted, labels=present, average="macro")),
        "macro_f1": float(f1_score(targets, predicted, labels=present, average="macro")),
    }


def measure_seeds(targets: NDArray[np.int64], probabilities: Sequence[NDArray[np.float64]]) -> dict[str, Any]:
    """Return the number of seeds and, where there are several, mean and standard deviation over them of a few metrics.

    Args:
        targets: true classes, (B,).
        probabilities: of each seed's head, (B, K).
    """
    each = [{**measure_predicted(targets, seed.argmax(axis=1)), "nll": _nll(targets, seed)} for seed in probabilities]
    found: dict[str, Any] = {"num_seeds": len(each)}
    if len(each) > 1:
        for name in each[0]:
            values = [metrics[name] for metrics in each]
            found[name] = round_values({"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1))})
    return found


def measure_views(
    targets: NDArray[np.int64], probabilities: Sequence[NDArray[np.float64]], group: NDArray[np.int64]
) -> dict[str, Any]:
    """Return the number of views and, where there are several, the metrics of the first view and of the mean of all.

    Beside them stand the difference (mean of all - first) and the ends of its 95 % interval, low and high. The mean is
    test-time averaging: a galaxy's class does not change when its image is turned or mirrored, so what the head says of the
    eight images is averaged (Dieleman, Willett & Dambre 2015, "Rotation-invariant convolutional neural networks for galaxy
    morphology prediction").

    Args:
        targets: true classes, (B,).
        probabilities: of each view, (B, K).
        group: sky group of each row, (B,); any numbers.
    """
    found: dict[str, Any] = {"num_views": len(probabilities)}
    if len(probabilities) > 1:
        views = find_differences(targets, probabilities[0], np.mean(probabilities, axis=0), group)
        columns = (views.first, views.second, views.second - views.first, views.low, views.high)
        for name, *numbers in zip(METRICS, *(column.tolist() for column in columns), strict=False):
            named = zip(("one_view", "mean_of_views", "difference", "low", "high"), numbers, strict=True)
            found[name] = round_values(dict(named))
    return found


def measure_calibration(
    targets: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    sets: NDArray[np.bool_],
    *,
    temperature: float,
    confidence_threshold: float,
) -> dict[str, float]:
    """Return what the temperature changed, and what the prediction sets and the head's confidence are worth, by name.

    Args:
        targets: true classes, (B,).
        probabilities: calibrated, (B, K).
        sets: the classes in each galaxy's prediction set, (B, K).
        temperature: that was fitted.
        confidence_threshold: below it the head abstains. Where it always does, there is no ``confident_accuracy``.
    """
    is_right, is_confident = probabilities.argmax(axis=1) == targets, probabilities.max(axis=1) >= confidence_threshold
    before = _measure_probabilities(targets, change_temperature(probabilities, 1 / temperature))
    size = sets.sum(axis=1)
    return round_values(
        {
            "temperature": temperature,
            **{f"{name}_before": value for name, value in before.items()},
            **_measure_probabilities(targets, probabilities),
            "set_coverage": float(sets[np.arange(len(targets)), targets].mean()),
            "set_size": float(size.mean()),
            "single_class_sets": float((size == 1).mean()),
            "confident_share": float(is_confident.mean()),
            **({"confident_accuracy": float(is_right[is_confident].mean())} if is_confident.any() else {}),
        }
    )


def list_intervals(intervals: Intervals) -> dict[str, dict[str, float]]:
    """Return the ends of the intervals of the metrics of all classes, by name: low and high."""
    ends = zip(METRICS, intervals.low.tolist(), intervals.high.tolist(), strict=False)
    return {name: round_values({"low": low, "high": high}) for name, low, high in ends}


def round_values(values: dict[str, float]) -> dict[str, float]:
    """Return the values with as many digits as they are worth."""
    return {name: round(value, DIGITS) for name, value in values.items()}


def _require_finite(targets: NDArray[np.int64], probabilities: NDArray[np.float64]) -> None:
    if not len(targets):
        raise InputError("evaluate: there are no test galaxies; raise split.test_fraction.")
    broken = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if len(broken):
        raise InputError(
            f"evaluate: the probabilities of test galaxy {broken[0]} are not finite; the head is damaged. Train again: "
            "`dvc repro --force train`."
        )


def _mcc(targets: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """Return Matthews' correlation of label and prediction; 0, as scikit-learn has it, where there is nothing to correlate."""
    if len(np.unique(np.concatenate([targets, predicted]))) < 2:
        return 0.0  # scikit-learn would warn.
    return float(matthews_corrcoef(targets, predicted))


def _measure_probabilities(targets: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[str, float]:
    truth = np.eye(probabilities.shape[1])[targets]
    return {
        "nll": _nll(targets, probabilities),
        "brier": float(np.square(probabilities - truth).sum(axis=1).mean()),
        "ece": expected_calibration_error(targets, probabilities),
    }


def _nll(targets: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    """Return the mean negative log-likelihood in nats; scikit-learn clips probabilities of 0 to the smallest float."""
    return float(log_loss(targets, probabilities, labels=np.arange(probabilities.shape[1])))
