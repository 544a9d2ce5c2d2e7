"""How good the head is on the test rows of each class, and which classes it takes for each other.

Legend: B test rows, K classes.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, confusion_matrix, precision_recall_fscore_support, roc_auc_score

from galaxies.evaluation.intervals import METRICS, Intervals
from galaxies.evaluation.scores import DIGITS

# As the functions that fill them have them; a test compares.
_HEADERS = {
    "classes": "class_name,support,precision,recall,f1,f1_low,f1_high,roc_auc,average_precision,set_coverage,set_size,"
    "single_class_sets",
    "confusion": "label,predicted,count,share",
    "predictions": "row,galaxy,id,image_sha256,group,label,predicted",
    "reliability": "count,confidence,accuracy,accuracy_low,accuracy_high,temperature",
    "threshold_curves": "curve,class_name,point,x,y",
    "abstention": "answered,confidence,accuracy,accuracy_low,accuracy_high",
    "strata": "quantity,low,high,count,accuracy,accuracy_low,accuracy_high",
}


def tabulate_classes(
    targets: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    sets: NDArray[np.bool_],
    intervals: Intervals,
    class_names: Sequence[str],
) -> pd.DataFrame:
    """Return a row a class, in figures between 0 and 1 but for the galaxies in it (support) and the mean size of their sets.

    What has no galaxies to divide by is 0; where the figure needs galaxies both in and outside the class it is empty.

    Args:
        targets: true classes, (B,).
        probabilities: (B, K).
        sets: the classes in each galaxy's prediction set, (B, K).
        intervals: of the metrics.
        class_names: of the K classes.
    """
    classes = np.arange(len(class_names))
    precision, recall, f1, support = precision_recall_fscore_support(
        targets, probabilities.argmax(axis=1), labels=classes, zero_division=0.0
    )
    columns = {
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "f1_low": np.nan_to_num(intervals.low[len(METRICS) :], nan=0.0),
        "f1_high": np.nan_to_num(intervals.high[len(METRICS) :], nan=1.0),
        **_score_one_against_rest(targets, probabilities),
        "set_coverage": _mean_by_class(targets, sets[np.arange(len(targets)), targets], support),
        "set_size": _mean_by_class(targets, sets.sum(axis=1), support),
        "single_class_sets": _mean_by_class(targets, sets.sum(axis=1) == 1, support),
    }
    table = pd.DataFrame({"class_name": list(class_names), "support": support.astype(int), **columns})
    return table.round(DIGITS)


def tabulate_confusion(targets: NDArray[np.int64], predicted: NDArray[np.int64], class_names: Sequence[str]) -> pd.DataFrame:
    """Return a row a pair of classes, K x K: label, predicted, count, share (of the label's galaxies; 0 without any)."""
    num_classes = len(class_names)
    counts = confusion_matrix(targets, predicted, labels=np.arange(num_classes))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return pd.DataFrame(
        {
            "label": np.repeat(class_names, num_classes),
            "predicted": np.tile(class_names, num_classes),
            "count": counts.ravel(),
            "share": shares.ravel().round(DIGITS),
        }
    )


def _score_one_against_rest(targets: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return the areas under ROC and precision-recall curve of each class against the rest, (K,) each."""
    scores = {"roc_auc": roc_auc_score, "average_precision": average_precision_score}
    columns = {name: np.full(probabilities.shape[1], np.nan) for name in scores}
    for target in np.unique(targets):
        is_class = targets == target
        if not is_class.all():
            for name, score in scores.items():
                columns[name][target] = score(is_class, probabilities[:, target])
    return columns


def _mean_by_class(targets: NDArray[np.int64], values: NDArray[np.generic], support: NDArray[np.int64]) -> NDArray[np.float64]:
    sums = np.bincount(targets, values.astype(np.float64), len(support)).astype(np.float64)
    return sums / np.maximum(support, 1)


def empty_class_tables() -> dict[str, pd.DataFrame]:
    """Return the tables of a head that tells no classes, by their names in metrics/: headers alone."""
    return {name: pd.DataFrame(columns=header.split(",")) for name, header in _HEADERS.items()}
