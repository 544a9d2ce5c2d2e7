"""Mean and standard deviation of features, from the train rows alone.

Legend: N rows, B rows in a batch, C features.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from galaxies.heads.batches import Batches, ResidentBatches

if TYPE_CHECKING:
    from galaxies.backbones.ending import Ending

# A feature that varies less than this, relative to its mean where that is above 1, carries nothing on the train rows:
# what is left is float32's rounding, and dividing by its deviation would blow that up.
_SMALLEST_STD = 1e-6


class Standardiser:
    """From activations to standardised features.

    Attributes:
        mean: of the features of the train rows, (C,).
        std: as mean.
    """

    def __init__(
        self, train: Batches, val: Batches, ending: "Ending | None", known: tuple[Tensor, Tensor] | None = None
    ) -> None:
        """Measure the train rows, unless mean and standard deviation are known; those that are resident change in place."""
        self._ending = ending
        resident = [part for part in (train, val) if isinstance(part, ResidentBatches) and not ending]
        if known:
            self.mean, self.std = (tensor.to(train.targets.device) for tensor in known)
        elif train in resident:
            self.mean, self.std = measure_resident(resident[0].activations.flatten(0, 1))
        else:
            with torch.no_grad():
                self.mean, self.std = measure_stream(self._extract(activations) for activations, _ in train.in_order())
        # Once, and not in every step.
        self._is_done = {id(part) for part in resident}
        for part in resident:
            part.activations.sub_(self.mean).div_(self.std)

    def __call__(self, activations: Tensor, source: Batches) -> Tensor:
        """Return features (S, B, C) of activations (S, B, ...) that came from ``source``."""
        if id(source) in self._is_done:
            return activations
        # An ending serves one seed.
        features = (self._extract(activations.flatten(0, 1)) - self.mean) / self.std
        return torch.unflatten(features, 0, activations.shape[:2])

    def _extract(self, activations: Tensor) -> Tensor:
        """Return features (B, C) of activations (B, ...)."""
        return self._ending(activations) if self._ending else activations.float()


def measure_resident(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (C,) of features (N, C); that of a constant one is infinite, so that it becomes 0."""
    # In two passes, so that float32 is exact enough; by way of float64 this takes several times as long (measured).
    mean = features.mean(dim=0)
    return mean, _usable((features - mean).square_().mean(dim=0).sqrt(), mean)


def measure_stream(batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the same of batches of features (B, C), in constant memory.

    Method: Chan, Golub & LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances".
    """
    count, mean, squares = 0, torch.zeros(()), torch.zeros(())
    for batch in batches:
        features = batch.double()
        own_mean = features.mean(dim=0)
        total = count + len(features)
        own_squares = (features - own_mean).square().sum(dim=0)
        shift = own_mean - mean.to(own_mean)
        mean = mean.to(own_mean) + shift * (len(features) / total)
        squares = squares.to(own_mean) + own_squares + shift.square() * (count * len(features) / total)
        count = total
    return mean.float(), _usable((squares / max(count, 1)).sqrt().float(), mean.float())


def _usable(std: Tensor, mean: Tensor) -> Tensor:
    return torch.where(std > _SMALLEST_STD * mean.abs().clamp(min=1), std, torch.inf)
