"""What a head says of some galaxies: probabilities, and all that follows from them.

Legend: B galaxies, C features, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galaxies.heads.head import TrainedHead


@dataclass(frozen=True)
class Predictions:
    """What a head says of B galaxies."""

    class_names: tuple[str, ...]  # of the K classes
    probabilities: NDArray[np.float64]  # (B, K), calibrated
    sets: NDArray[np.bool_]  # (B, K) the classes that the galaxy may well be: in 9 of 10 cases the true one is among them
    novelty: NDArray[np.float64]  # (B,) distance from the training galaxies, near 1 for these
    novelty_threshold: float  # that 1 in 20 galaxies like those of training exceeds
    confidence_threshold: float  # from which on galaxies like those of training are right 9 times in 10

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def targets(self) -> NDArray[np.int64]:
        """(B,) index of the most probable class."""
        targets: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return targets

    @property
    def predicted(self) -> list[str]:
        """The most probable class of each galaxy, by name."""
        return [self.class_names[target] for target in self.targets]

    @property
    def confidence(self) -> NDArray[np.float64]:
        """(B,) the probability of the most probable class."""
        highest: NDArray[np.float64] = self.probabilities.max(axis=1)
        return highest

    @property
    def margin(self) -> NDArray[np.float64]:
        """(B,) how much more probable the first class is than the second; 1 where there is one class only."""
        ordered = np.sort(self.probabilities, axis=1)
        return ordered[:, -1] - ordered[:, -2] if ordered.shape[1] > 1 else np.ones(len(ordered))

    @property
    def is_novel(self) -> NDArray[np.bool_]:
        """(B,) whether the galaxy is unlike those of training, so that no probability means much."""
        return self.novelty > self.novelty_threshold

    @property
    def abstain(self) -> NDArray[np.bool_]:
        """(B,) whether a person should look: the head is not sure enough, or the galaxy is unlike those of training."""
        is_unsure: NDArray[np.bool_] = (self.confidence < self.confidence_threshold) | self.is_novel
        return is_unsure


@torch.inference_mode()
def predict_features(trained: TrainedHead, features: Tensor) -> Predictions:
    """Return what a head says of features (B, C) that it sees, as :meth:`TrainedHead.features` gives them."""
    probabilities, calibration = trained.classify(features).cpu().numpy(), trained.calibration
    return Predictions(
        trained.class_names,
        probabilities,
        calibration.predict_sets(probabilities),
        trained.novelty.score(features.cpu()).numpy(),
        trained.novelty.threshold,
        calibration.confidence_threshold,
    )


def join_predictions(batches: Sequence[Predictions]) -> Predictions:
    """Return the predictions of one head for several batches, at least one, as one."""
    return replace(
        batches[0],
        probabilities=np.concatenate([batch.probabilities for batch in batches]),
        sets=np.concatenate([batch.sets for batch in batches]),
        novelty=np.concatenate([batch.novelty for batch in batches]),
    )
