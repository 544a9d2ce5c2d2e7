"""The settings that a sweep tries, and the table of how each of them did."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galaxies.heads.head import HiddenLayers
from galaxies.heads.train_params import TrainParams

# Finer differences are chance with any number of val galaxies there is.
_DIGITS = 5


@dataclass(frozen=True)
class Setting:
    """What may differ between heads that train together; the fields are those of ``train.sweep``."""

    learning_rate: float
    weight_decay: float
    label_smoothing: float
    hidden_layers: HiddenLayers


def expand_sweep(params: TrainParams) -> list[Setting]:
    """Return every combination of the values in ``train.sweep``; without any, the one setting of ``train``."""
    names = [field.name for field in fields(Setting)]
    return [Setting(*values) for values in product(*(getattr(params.sweep, n) or (getattr(params, n),) for n in names))]


def choose_setting(val_loss: NDArray[np.float64]) -> int:
    """Return the setting with the lowest validation loss, the mean over seeds of (S, G); the first of equals."""
    return int(np.argmin(val_loss.mean(axis=0)))


def tabulate_sweep(
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
    table = pd.DataFrame([astuple(setting) for setting in settings], columns=[field.name for field in fields(Setting)])
    table["hidden_layers"] = [" ".join(str(layer) for layer in setting.hidden_layers) or "-" for setting in settings]
    table["val_loss"] = val_loss.mean(axis=0).round(_DIGITS)
    table["val_accuracy"] = val_accuracy.mean(axis=0).round(_DIGITS)
    table["best_epoch"] = best_epoch[0]
    table = table.iloc[np.argsort(val_loss.mean(axis=0), kind="stable")]
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    return table.replace([np.inf, -np.inf], np.nan)
