"""What the outputs of a head for tags mean: of each tag the probability that a galaxy has it.

Calibrated as Platt 1999 has it ("Probabilistic outputs for support vector machines"): a slope and an offset of each logit, by
the likelihood of validation rows that chose nothing; a slight prior keeps them finite where these are told apart perfectly.

Legend: N calibration rows, B rows, T tags.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from torch import Tensor

from galaxies.data.targets import UNKNOWN_TAG, Tags

# Below this a fitted slope is mostly chance: of galaxies that have a tag, and of those that do not.
_FEWEST_ROWS = 10
# Of the Gaussian prior of the slope's logarithm and of the offset.
_PRIOR_WIDTH = 2.0


@dataclass(frozen=True)
class TagMeaning:
    """Of T logits."""

    KIND: ClassVar = "tags"

    names: tuple[str, ...]  # what the head tells
    slopes: tuple[float, ...]  # (T,) that logits are multiplied by
    offsets: tuple[float, ...]  # (T,) then added

    @classmethod
    def fit(cls, outputs: Tensor, tags: Tags) -> Self:
        """Return what logits (N, T) of rows that trained and chose nothing, and their tags, ask for."""
        fitted = [_fit_tag(*columns) for columns in zip(outputs.double().numpy().T, tags.values.T, strict=True)]
        return cls(tags.names, tuple(slope for slope, _ in fitted), tuple(offset for _, offset in fitted))

    @property
    def num_outputs(self) -> int:
        """T."""
        return len(self.names)

    def predict(self, outputs: Tensor) -> NDArray[np.float64]:
        """Return the calibrated probabilities (B, T) of logits (B, T)."""
        probabilities: NDArray[np.float64] = expit(outputs.double().numpy() * self.slopes + self.offsets)
        return probabilities

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {name: list(values) for name, values in vars(self).items()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_json` gave."""
        return cls(*(tuple(content[name]) for name in ("names", "slopes", "offsets")))


def _fit_tag(logits: NDArray[np.float64], tags: NDArray[np.int8]) -> tuple[float, float]:
    """Return slope and offset of one tag, (N,) each; 1 and 0 where too few galaxies have it, or do not."""
    is_known = tags != UNKNOWN_TAG
    logits, has_tag = logits[is_known], tags[is_known] == 1
    if min(has_tag.sum(), (~has_tag).sum()) < _FEWEST_ROWS:
        return 1.0, 0.0
    signs = np.where(has_tag, 1.0, -1.0)

    def loss(parameters: NDArray[np.float64]) -> float:
        log_slope, offset = parameters
        margins = signs * (np.exp(log_slope) * logits + offset)
        return float(np.logaddexp(0, -margins).sum() + 0.5 * np.square(parameters / _PRIOR_WIDTH).sum())

    log_slope, offset = minimize(loss, np.zeros(2), method="L-BFGS-B", bounds=((-4, 3), (-20, 20))).x.tolist()
    return float(np.exp(log_slope)), offset
