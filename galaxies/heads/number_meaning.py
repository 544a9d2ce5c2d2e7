"""What the outputs of a head for numbers mean: a value and an interval, in the unit of the column.

The interval is conformal: its width is set by validation rows that chose nothing, so that of galaxies like these 9 in 10 have
their measured value in it, whatever the head is worth (Lei et al. 2018, "Distribution-Free Predictive Inference for
Regression"; of quantiles Romano, Patterson & Candès 2019, "Conformalized Quantile Regression"). It is wide where the head says
so, and infinite where fewer than 9 rows would have to say it.

Legend: N calibration rows, B rows, P columns, K outputs.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from galaxies.data.scales import Scale, from_scale
from galaxies.data.targets import Numbers
from galaxies.errors import InputError
from galaxies.heads.number_objective import QUANTILES

COVERAGE = 0.9
"""The share of galaxies whose measured value lies within its interval."""


@dataclass(frozen=True)
class Standard:
    """How the numbers of the train rows are centred and scaled, on their scales."""

    names: tuple[str, ...]
    units: tuple[str, ...]
    scales: tuple[Scale, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]  # 1 where all are alike

    @classmethod
    def fit(cls, train: Numbers) -> Self:
        """Return that of the train rows. Raises InputError when a column is known of none of them."""
        values, _ = train.scaled()
        unknown = [name for name, column in zip(train.names, values.T, strict=True) if np.isnan(column).all()]
        if unknown:
            raise InputError(f"train: no train galaxy has a known {', '.join(unknown)}; leave it out of train.columns.")
        means, deviations = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
        deviations = np.where(deviations > 1e-9 * np.maximum(np.abs(means), 1), deviations, 1)
        return cls(train.names, train.units, train.scales, tuple(means.tolist()), tuple(deviations.tolist()))

    def targets(self, numbers: Numbers) -> NDArray[np.float32]:
        """Return standardised values, NaN where unknown, and their errors, 0 where unknown, (B, 2 P)."""
        values, errors = numbers.scaled()
        standardised = (values - self.means) / self.deviations
        return np.hstack([standardised, np.nan_to_num(errors / self.deviations)]).astype(np.float32)

    def restore(self, standardised: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return standardised numbers (B, P) in their units."""
        places = standardised * self.deviations + self.means
        columns = [from_scale(column, scale) for column, scale in zip(places.T, self.scales, strict=True)]
        return np.stack(columns, axis=1)


@dataclass(frozen=True)
class NumberPredictions:
    """What a head says of the numbers of B galaxies, (B, P) each, in their units."""

    value: NDArray[np.float64]  # as likely above as below
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True)
class NumberMeaning:
    """Of the K outputs of a head for numbers."""

    KIND: ClassVar = "number"

    standard: Standard
    loss: str  # train.number_loss
    stretches: tuple[float, ...]  # (P,) of a Gaussian the half interval in its widths, of quantiles what is added at both ends

    @classmethod
    def fit(cls, outputs: Tensor, numbers: Numbers, standard: Standard, *, loss: str) -> Self:
        """Return what outputs (N, K) of rows that trained and chose nothing, and their numbers, ask for."""
        raw = cls(standard, loss, (0.0,) * len(standard.names))
        middle, low, high = raw._divide(outputs)
        values = standard.targets(numbers)[:, : len(standard.names)].astype(np.float64)
        scores = np.abs(values - middle) / (high - middle) if loss == "gaussian" else np.maximum(low - values, values - high)
        return cls(standard, loss, tuple(_rank(column) for column in scores.T))

    @property
    def names(self) -> tuple[str, ...]:
        """What the head tells."""
        return self.standard.names

    @property
    def num_outputs(self) -> int:
        """K."""
        return len(self.names) * (2 if self.loss == "gaussian" else len(QUANTILES))

    def predict(self, outputs: Tensor) -> NumberPredictions:
        """Return what outputs (B, K) say."""
        middle, low, high = self._divide(outputs)
        stretches = np.array(self.stretches)
        if self.loss == "gaussian":
            # An infinite stretch of no width at all is infinite, too.
            half = stretches * np.maximum(high - middle, np.finfo(np.float64).tiny)
            low, high = middle - half, middle + half
        else:
            low, high = np.minimum(low - stretches, middle), np.maximum(high + stretches, middle)
        return NumberPredictions(*(self.standard.restore(part) for part in (middle, low, high)))

    def _divide(self, outputs: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return the standardised middle, low and high, (B, P) each; of a Gaussian one width below and above."""
        parts = outputs.double().numpy().reshape(len(outputs), -1, len(self.names))
        if self.loss == "gaussian":
            middle, width = parts[:, 0], np.exp(np.clip(parts[:, 1], -30, 30))
            return middle, middle - width, middle + width
        # Quantiles are learned apart and may cross.
        low, middle, high = np.sort(parts, axis=1).transpose(1, 0, 2)
        return middle, low, high

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        standard = {name: list(values) for name, values in vars(self.standard).items()}
        return {"standard": standard, "loss": self.loss, "stretches": list(self.stretches)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_json` gave."""
        saved = {name: tuple(values) for name, values in content["standard"].items()}
        return cls(Standard(**cast(dict[str, Any], saved)), content["loss"], tuple(content["stretches"]))


def _rank(scores: NDArray[np.float64]) -> float:
    """Return the score that 9 in 10 new ones do not exceed, infinite where those known are too few to say it."""
    known = np.sort(scores[np.isfinite(scores)])
    rank = math.ceil((len(known) + 1) * COVERAGE - 1e-9)
    return float(known[rank - 1]) if rank <= len(known) else math.inf
