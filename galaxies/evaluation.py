"""How good the head is on the test rows: a few numbers, a table a class, a table a pair of classes, a table a galaxy.

Legend: B test rows, K classes.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    recall_score,
)

from galaxies.errors import InputError

PROBABILITY_PREFIX = "p "

# Four digits say more than 2,000 test galaxies can, and keep diffs readable.
_DIGITS = 4


def measure(
    targets: NDArray[np.int64], probabilities: NDArray[np.float64], *, train_counts: NDArray[np.int64]
) -> dict[str, float]:
    """Return the metrics of predictions, by name, and beside them the line to beat.

    ``majority_*`` always answers the class most frequent in train; ``prior_nll`` answers the shares of the classes in
    train. Classes without a test galaxy take no part in balanced accuracy and macro-F1.

    Args:
        targets: true classes, (B,).
        probabilities: (B, K).
        train_counts: train galaxies in each class, (K,), none of them 0.

    Raises:
        InputError: there are no rows, or a probability is not finite.
    """
    if not len(targets):
        raise InputError("evaluate: there are no test galaxies; raise split.test_fraction.")
    broken = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if len(broken):
        raise InputError(
            f"evaluate: the probabilities of test galaxy {broken[0]} are not finite; the head is damaged. Train again: "
            "`dvc repro --force train`."
        )
    prior = np.tile(train_counts / train_counts.sum(), (len(targets), 1))
    head = _measure_predicted(targets, probabilities.argmax(axis=1))
    majority = _measure_predicted(targets, np.full_like(targets, train_counts.argmax()))
    metrics = {
        **head,
        "nll": _nll(targets, probabilities),
        **{f"majority_{name}": value for name, value in majority.items()},
        "prior_nll": _nll(targets, prior),
    }
    counts = {"num_galaxies": len(targets), "num_classes": len(np.unique(targets))}
    return {**{name: round(value, _DIGITS) for name, value in metrics.items()}, **counts}


def _measure_predicted(targets: NDArray[np.int64], predicted: NDArray[np.int64]) -> dict[str, float]:
    present = np.unique(targets)
    return {
        "accuracy": float(accuracy_score(targets, predicted)),
        # The mean recall is the balanced accuracy; scikit-learn's own warns of predicted classes that no galaxy has.
        "balanced_accuracy": float(recall_score(targets, predicted, labels=present, average="macro")),
        "macro_f1": float(f1_score(targets, predicted, labels=present, average="macro")),
    }


def _nll(targets: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    """Return the mean negative log-likelihood in nats; scikit-learn clips probabilities of 0 to the smallest float."""
    return float(log_loss(targets, probabilities, labels=np.arange(probabilities.shape[1])))


def tabulate_classes(targets: NDArray[np.int64], predicted: NDArray[np.int64], class_names: Sequence[str]) -> pd.DataFrame:
    """Return a row a class: class_name, precision, recall, f1, support. What has no galaxies to divide by is 0."""
    precision, recall, f1, support = precision_recall_fscore_support(
        targets, predicted, labels=np.arange(len(class_names)), zero_division=0.0
    )
    table = pd.DataFrame({"class_name": list(class_names), "precision": precision, "recall": recall, "f1": f1})
    return table.round(_DIGITS).assign(support=support.astype(int))


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
            "share": shares.ravel().round(_DIGITS),
        }
    )


def tabulate_predictions(
    rows: NDArray[np.int64],
    galaxies: NDArray[np.int64],
    ids: Sequence[str],
    targets: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    class_names: Sequence[str],
) -> pd.DataFrame:
    """Return a row a test galaxy: row, galaxy, id, label, predicted (both by name), and ``p <class name>`` a class.

    Args:
        rows: of the catalog, (B,).
        galaxies: indices in galaxies.h5, (B,).
        ids: B strings.
        targets: true classes, (B,).
        probabilities: (B, K).
        class_names: of the K classes.
    """
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
