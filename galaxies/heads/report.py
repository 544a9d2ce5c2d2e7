"""What a training came to: its heads, their curve, the settings tried, and the few numbers that ``dvc exp show`` lists.

Legend: B rows, K classes, S seeds, G settings.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galaxies.heads.head import Head
from galaxies.heads.train_params import Setting

# Finer differences are chance with any number of val galaxies there is, and would only fill diffs.
_DIGITS = 4
_SWEEP_DIGITS = 5


class Epoch(NamedTuple):
    """What one epoch came to, arrays (S, G). Losses are cross-entropies, weighted by class where the training is."""

    learning_rate: NDArray[np.float64]  # at its start
    train_loss: NDArray[np.float64]  # mean over the epoch's minibatches, while the heads were changing; with label smoothing
    train_accuracy: NDArray[np.float64]
    val_loss: NDArray[np.float64]  # after the epoch, without label smoothing, so that settings can be compared
    val_accuracy: NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """The head of the best epoch, on the CPU in eval mode, and how training went."""

    head: Head
    best_epoch: int
    epochs: pd.DataFrame  # a row an epoch, counted from 1; its columns are the fields of Epoch


@dataclass(frozen=True)
class Fits:
    """The heads of the best setting, one a seed, and how all settings did."""

    seeds: tuple[Fit, ...]
    settings: pd.DataFrame  # as tabulate_settings says


def tabulate_settings(
    settings: Sequence[Setting],
    *,
    val_loss: NDArray[np.float64],
    val_accuracy: NDArray[np.float64],
    best_epoch: NDArray[np.int64],
) -> pd.DataFrame:
    """Return a row a setting, the best first.

    The columns are rank, the setting's own, val_loss and val_accuracy at the best epoch, both means over seeds, and best_epoch,
    that of the first seed. A setting whose training broke down has no numbers.

    Args:
        settings: G of them.
        val_loss: at the best epoch, (S, G).
        val_accuracy: at the best epoch, (S, G).
        best_epoch: counted from 1, (S, G).
    """
    table = pd.DataFrame([asdict(setting) for setting in settings])
    table["val_loss"] = val_loss.mean(axis=0).round(_SWEEP_DIGITS)
    table["val_accuracy"] = val_accuracy.mean(axis=0).round(_SWEEP_DIGITS)
    table["best_epoch"] = best_epoch[0]
    table = table.iloc[np.argsort(val_loss.mean(axis=0), kind="stable")]
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    return table.replace([np.inf, -np.inf], np.nan)


def tabulate_curve(fit: Fit) -> pd.DataFrame:
    """Return the training curve, a row an epoch and split: epoch, split, loss, accuracy, learning_rate."""
    parts = [
        pd.DataFrame(
            {
                "epoch": fit.epochs.index,
                "split": split,
                "loss": fit.epochs[f"{split}_loss"].round(_DIGITS),
                "accuracy": fit.epochs[f"{split}_accuracy"].round(_DIGITS),
                "learning_rate": [float(f"{rate:.4g}") for rate in fit.epochs["learning_rate"]],
            }
        )
        for split in ("train", "val")
    ]
    return pd.concat(parts).sort_values("epoch", kind="stable")


def report_training(fit: Fit) -> dict[str, float]:
    """Return how training went, by name, whatever was learned; accuracies where something is right or wrong."""
    best = fit.epochs.iloc[fit.best_epoch - 1]
    measured = {name: float(best[name]) for name in ("train_accuracy", "val_accuracy", "val_loss")}
    return {
        "best_epoch": fit.best_epoch,
        **{name: round(value, _DIGITS) for name, value in measured.items() if np.isfinite(value)},
        "num_features": fit.head.num_features,
        "num_outputs": fit.head.num_outputs,
    }


def report_fit(
    fit: Fit, temperature: float, val_probabilities: NDArray[np.float64], val_targets: NDArray[np.int64]
) -> dict[str, float]:
    """Return how training went, by name; ``val_nll`` is that of the calibrated probabilities, unweighted.

    Args:
        fit: what was trained.
        temperature: that was fitted to it.
        val_probabilities: calibrated, of the rows that chose the epoch, (B, K).
        val_targets: their classes, (B,).
    """
    best = fit.epochs.iloc[fit.best_epoch - 1].to_dict()
    val_nll = -np.log(val_probabilities[np.arange(len(val_targets)), val_targets]).mean()
    return {
        "best_epoch": fit.best_epoch,
        "train_accuracy": round(best["train_accuracy"], _DIGITS),
        "val_accuracy": round(best["val_accuracy"], _DIGITS),
        "val_nll": round(float(val_nll), _DIGITS),
        "temperature": round(temperature, _DIGITS),
        "num_features": fit.head.num_features,
        "num_classes": fit.head.num_outputs,
    }
