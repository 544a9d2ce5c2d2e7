"""What a threshold on the probabilities buys: ROC and precision-recall curve of each class, and accuracy by abstaining.

Legend: B test rows, K classes.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from galaxies.evaluation.intervals import share_interval

# More points than that nobody sees, and every one is a line of a diff.
_NUM_POINTS = 40
_ANSWERED = np.arange(1, 21) / 20
_DIGITS = 4


def tabulate_threshold_curves(
    targets: NDArray[np.int64], probabilities: NDArray[np.float64], class_names: Sequence[str]
) -> pd.DataFrame:
    """Return the curves of each class against the rest, a row a point: curve, class_name, point, x, y.

    ``ROC``: x is the false and y the true positive rate; ``precision-recall``: x is the recall and y the precision. Of long
    curves every n-th point is kept. Classes without galaxies, or without others, have no curve.

    Args:
        targets: true classes, (B,).
        probabilities: (B, K).
        class_names: of the K classes.
    """
    tables = [pd.DataFrame({"curve": [], "class_name": [], "point": [], "x": [], "y": []})]
    for target in np.unique(targets):
        is_class = targets == target
        if is_class.all():
            continue
        score = probabilities[:, target]
        false_positives, true_positives, _ = roc_curve(is_class, score)
        precision, recall, _ = precision_recall_curve(is_class, score, drop_intermediate=True)
        for curve, x, y in (("ROC", false_positives, true_positives), ("precision-recall", recall[::-1], precision[::-1])):
            kept = np.unique(np.linspace(0, len(x) - 1, _NUM_POINTS).round().astype(np.int64))
            points = {"point": np.arange(len(kept)), "x": x[kept], "y": y[kept]}
            tables.append(pd.DataFrame({"curve": curve, "class_name": class_names[target], **points}))
    return pd.concat(tables[1:] or tables, ignore_index=True).round(_DIGITS)


def tabulate_abstention(targets: NDArray[np.int64], probabilities: NDArray[np.float64]) -> pd.DataFrame:
    """Return how accurate the head is when it answers only for the galaxies it is most sure of.

    A row a share: answered (the share), confidence (the lowest that was answered), accuracy, accuracy_low, accuracy_high
    (its 95 % interval), all between 0 and 1.

    Args:
        targets: true classes, (B,), at least one.
        probabilities: (B, K).
    """
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    num_right = np.cumsum((probabilities.argmax(axis=1) == targets)[order])
    num_answered = np.unique(np.ceil(_ANSWERED * len(targets) - 1e-9).astype(np.int64))
    last = num_answered - 1
    low, high = share_interval(num_right[last], num_answered)
    return pd.DataFrame(
        {
            "answered": num_answered / len(targets),
            "confidence": confidence[order][last],
            "accuracy": num_right[last] / num_answered,
            "accuracy_low": low,
            "accuracy_high": high,
        }
    ).round(_DIGITS)
