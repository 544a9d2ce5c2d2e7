"""How good the head is on the test rows: a few numbers, a table a class, a table a galaxy.

Legend: B test rows, K classes.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
)

from galaxies.errors import InputError

PROBABILITY_PREFIX = "p "

# Four digits say more than 2,000 test galaxies can, and keep diffs readable.
_DIGITS = 4


def measure(targets: NDArray[np.int64], probabilities: NDArray[np.float64], majority: int) -> dict[str, float]:
    """Return the metrics of predictions, by name.

    Classes without a test galaxy take no part in balanced accuracy and macro-F1.

    Args:
        targets: true classes, (B,).
        probabilities: (B, K).
        majority: the most frequent class of the train rows; always to answer it is the line to beat.

    Raises:
        InputError: there are no rows, or a probability is not finite.
    """
    if not len(targets):
        raise InputError("evaluate: there are no test galaxies; raise split.test_fraction.")
    if not np.isfinite(probabilities).all():
        row = int(np.flatnonzero(~np.isfinite(probabilities).all(axis=1))[0])
        raise InputError(f"evaluate: the probabilities of test galaxy {row} are not finite; the head is damaged, train again.")
    predicted = probabilities.argmax(axis=1)
    present = np.unique(targets)
    recall = [float((predicted[targets == target] == target).mean()) for target in present]
    metrics = {
        "accuracy": accuracy_score(targets, predicted),
        # scikit-learn's warns when a class is predicted that has no test galaxy; without such a class they are equal.
        "balanced_accuracy": balanced_accuracy_score(targets, predicted)
        if set(predicted) <= set(present)
        else float(np.mean(recall)),
        "macro_f1": f1_score(targets, predicted, labels=present, average="macro", zero_division=0.0),
        "nll": log_loss(targets, probabilities, labels=np.arange(probabilities.shape[1])),
        "majority_accuracy": float((targets == majority).mean()),
    }
    return {**{name: round(float(value), _DIGITS) for name, value in metrics.items()}, "num_galaxies": len(targets)}


def measure_classes(targets: NDArray[np.int64], predicted: NDArray[np.int64], class_names: Sequence[str]) -> pd.DataFrame:
    """Return a row a class: class_name, precision, recall, f1, support. What has no galaxies to divide by is 0."""
    precision, recall, f1, support = precision_recall_fscore_support(
        targets, predicted, labels=np.arange(len(class_names)), zero_division=0.0
    )
    table = pd.DataFrame({"class_name": list(class_names), "precision": precision, "recall": recall, "f1": f1})
    return table.round(_DIGITS).assign(support=support.astype(int))


def tabulate_predictions(
    rows: NDArray[np.int64],
    galaxies: NDArray[np.int64],
    ids: Sequence[str],
    targets: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    class_names: Sequence[str],
) -> pd.DataFrame:
    """Return a row a test galaxy: row, galaxy, id, label, predicted (both by name), and ``p <class name>`` a class."""
    names = np.array(class_names)
    table = pd.DataFrame(
        {
            "row": rows,
            "galaxy": galaxies,
            "id": list(ids),
            "label": names[targets],
            "predicted": names[probabilities.argmax(axis=1)],
        }
    )
    columns = pd.DataFrame(probabilities.round(5), columns=[f"{PROBABILITY_PREFIX}{name}" for name in class_names])
    return pd.concat([table, columns], axis=1)
