"""How training went: its curve as a table, and the few numbers that ``dvc exp show`` lists."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galaxies.heads.head import TrainedHead
from galaxies.heads.training import Epoch, Fit

# Finer differences are chance with any number of val galaxies there is, and would only fill diffs.
_DIGITS = 4


def tabulate_curve(epochs: Sequence[Epoch]) -> pd.DataFrame:
    """Return the training curve, a row an epoch and split: epoch, split, loss, accuracy, learning_rate."""
    rows = [
        {
            "epoch": epoch.epoch,
            "split": split,
            "loss": round(loss, _DIGITS),
            "accuracy": round(accuracy, _DIGITS),
            "learning_rate": float(f"{epoch.learning_rate:.4g}"),
        }
        for epoch in epochs
        for split, loss, accuracy in (
            ("train", epoch.train_loss, epoch.train_accuracy),
            ("val", epoch.val_loss, epoch.val_accuracy),
        )
    ]
    return pd.DataFrame(rows)


def report_fit(
    fit: Fit, trained: TrainedHead, val_probabilities: NDArray[np.float64], val_targets: NDArray[np.int64]
) -> dict[str, float]:
    """Return how training went, by name; ``val_nll`` is that of the calibrated probabilities, unweighted.

    Args:
        fit: what was trained.
        trained: its head with the temperature.
        val_probabilities: calibrated, of the rows that chose the epoch, (B, K).
        val_targets: their classes, (B,).
    """
    best = fit.epochs[fit.best_epoch - 1]
    val_nll = -np.log(val_probabilities[np.arange(len(val_targets)), val_targets]).mean()
    return {
        "best_epoch": best.epoch,
        "train_accuracy": round(best.train_accuracy, _DIGITS),
        "val_accuracy": round(best.val_accuracy, _DIGITS),
        "val_nll": round(float(val_nll), _DIGITS),
        "temperature": round(trained.temperature, _DIGITS),
        "num_features": fit.head.num_features,
        "num_classes": fit.head.num_classes,
    }
