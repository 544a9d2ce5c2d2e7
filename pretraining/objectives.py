"""What the network is asked for: a galaxy's class, its physical parameters, the same answer to two views of one galaxy.

A weighted sum of the three; which mixture transfers best was measured (galaxies/backbones/galaxies-v1.md). B batch, K classes,
T targets, D dimensions of the expander.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from galaxies.data.galaxy_schema import GALAXY10_CLASS_NAMES
from pretraining.stream import TARGET_NAMES

NUM_CLASSES = len(GALAXY10_CLASS_NAMES)
NUM_ANSWERS = NUM_CLASSES + len(TARGET_NAMES)  # K + T
EXPANDED = 512  # D
_SMOOTHING = 0.05  # of the labels: neighbouring classes have no sharp border


def class_loss(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of the first K of outputs (B, >= K), with smoothed labels (B,)."""
    return functional.cross_entropy(outputs[:, :NUM_CLASSES], labels, label_smoothing=_SMOOTHING)


def parameter_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the smooth L1 distance of the T outputs after the classes to standardised targets (B, T); NaN does not count."""
    known = ~targets.isnan()
    difference = functional.smooth_l1_loss(outputs[:, NUM_CLASSES:NUM_ANSWERS], targets.nan_to_num(), reduction="none")
    return (difference * known).sum() / known.sum()


def invariance_loss(first: Tensor, second: Tensor) -> Tensor:
    """Return how far two views of the same galaxies, (B, D) each, differ, with what keeps them from being all alike.

    VICReg, Bardes, Ponce & LeCun 2022 (arXiv:2105.04906), with the paper's weights 25, 25, 1, divided by 25.
    """
    distance = functional.mse_loss(first, second)
    spread = sum(functional.relu(1 - (view.var(0) + 1e-4).sqrt()).mean() for view in (first, second)) / 2
    redundancy = sum(_off_diagonal(view) for view in (first, second))
    return distance + spread + redundancy / 25


def make_expander() -> nn.Module:
    """Return the layers between the network's last outputs (B, D), and what VICReg compares, (B, D)."""
    return nn.Sequential(
        nn.BatchNorm1d(EXPANDED), nn.ReLU(), nn.Linear(EXPANDED, EXPANDED, bias=False), nn.BatchNorm1d(EXPANDED), nn.ReLU(),
        nn.Linear(EXPANDED, EXPANDED, bias=False),
    )  # fmt: skip


def sum_weighted(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Return the objective."""
    return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()


def _off_diagonal(view: Tensor) -> Tensor:
    """Return the mean square of the covariances between dimensions, summed over one of them."""
    centred = view - view.mean(0)
    covariance = centred.T @ centred / (len(view) - 1)  # (D, D)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / len(covariance)
