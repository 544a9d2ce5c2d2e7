"""Honest probabilities: one temperature, fitted on validation rows that chose nothing else.

Method: Guo et al. 2017, "On Calibration of Modern Neural Networks". Legend: B rows, K classes.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional

_TEMPERATURES = (0.05, 20.0)


def divide_val(targets: NDArray[np.int64], group: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide validation rows in two halves: one chooses (the best epoch), one calibrates (the temperature).

    Every second sky group of each class calibrates, so groups stay whole and classes keep their shares; the rule has no
    seed. Returns two arrays of positions in ``targets``. With fewer than two groups the one part serves both.
    """
    _, first, inverse = np.unique(group, return_index=True, return_inverse=True)
    order = np.lexsort((first, targets[first]))  # Groups by the class and place of their first member.
    calibrates = np.zeros(len(first), bool)
    calibrates[order[1::2]] = True
    rows = np.arange(len(targets))
    if len(first) < 2:
        return rows, rows
    return rows[~calibrates[inverse]], rows[calibrates[inverse]]


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """Return the temperature that minimises the negative log-likelihood of logits (B, K) over 0.05 to 20."""
    logits = logits.double()

    def loss(log_temperature: float) -> float:
        return float(functional.cross_entropy(logits / np.exp(log_temperature), targets))

    bounds = tuple(np.log(_TEMPERATURES))
    with torch.inference_mode():
        best = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(best.x))
