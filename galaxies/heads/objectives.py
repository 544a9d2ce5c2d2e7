"""What a head learns: how many outputs it has, what they cost, and how a batch of many heads is told so.

Every kind of target is one class with the same methods, so that one trainer serves them all: classes here, votes, numbers and
tags each in a file of their own. Losses are summed and differentiated in closed form, half the time of autograd (measured for
classes). Legend: S seeds, G settings, K outputs, B rows in a batch, C classes.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from galaxies.errors import InputError
from galaxies.heads.optimisation import CrossEntropy, count_right, sum_and_differentiate, sum_losses, weigh_classes
from galaxies.heads.train_params import TrainParams


class Objective(Protocol):
    """What the trainer asks; outputs are (S, G, K, B), targets as the batches give them, (S, B) or (S, B, ...)."""

    @property
    def num_outputs(self) -> int:
        """K."""

    def first_biases(self) -> Tensor | None:
        """Return where the last layer's biases begin, (K,); None leaves them to chance."""

    def differentiate(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean losses of a batch that trains, (S, G), and their derivatives by the outputs, (S, G, K, B)."""

    def sum_losses(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums of the losses without what only training has, (S, G), and the weight of the rows, (S, 1)."""

    def count_right(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return how many rows are right, (S, G), in parts where a row asks several things; NaN where nothing is."""


class ClassObjective:
    """Weighted cross-entropy of one class a galaxy, with label smoothing; targets are indices of classes (S, B)."""

    def __init__(self, targets: Tensor, class_names: Sequence[str], params: TrainParams) -> None:
        """Take the classes of all train rows, (N,), on the device. Raises InputError when a class has none."""
        absent = [name for index, name in enumerate(class_names) if not bool((targets == index).any())]
        if absent:
            raise InputError(
                f"train: no galaxy to train on in {', '.join(absent)}; add galaxies of that class, or leave the class out."
            )
        weight = weigh_classes(targets, len(class_names), params.class_weight)
        smoothing = torch.tensor([setting.label_smoothing for setting in params.settings], device=targets.device)
        self._loss, self._plain_loss = CrossEntropy(weight, smoothing), CrossEntropy(weight, 0 * smoothing[:1])
        self.num_outputs = len(class_names)

    def first_biases(self) -> None:
        """Leave them to chance."""
        return

    def differentiate(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """As the protocol says."""
        wanted, mass = self._loss.expand(targets)
        return sum_and_differentiate(outputs, wanted / mass[:, :, None, None])

    def sum_losses(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """As the protocol says; without label smoothing."""
        wanted, mass = self._plain_loss.expand(targets)
        return sum_losses(outputs, wanted), mass

    def count_right(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """As the protocol says."""
        return count_right(outputs, targets)
