"""The scales on which numbers are predicted: as they are, their decimal logarithm, or their logit.

Legend: B values of one column.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Scale = Literal["linear", "log10", "logit"]
"""linear: any number; log10: numbers above 0; logit, log(x / (1 - x)): numbers between 0 and 1, both excluded."""

SCALES: tuple[Scale, ...] = get_args(Scale)

_DOMAINS = {"linear": "finite numbers", "log10": "numbers above 0", "logit": "numbers between 0 and 1, both excluded"}


def describe_domain(scale: Scale) -> str:
    """Say which numbers a scale is for."""
    return _DOMAINS[scale]


def is_in_domain(values: NDArray[np.float64], scale: Scale) -> NDArray[np.bool_]:
    """Tell of each value, (B,), whether it has a place on the scale; NaN has none."""
    if scale == "log10":
        return (values > 0) & np.isfinite(values)
    if scale == "logit":
        return (values > 0) & (values < 1)
    return np.isfinite(values)


def to_scale(
    values: NDArray[np.float64], errors: NDArray[np.float64], scale: Scale
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return values and standard deviations on a scale, each (B,); an error is carried over by the derivative.

    Args:
        values: in the domain of the scale, or NaN, (B,).
        errors: standard deviations, or NaN, (B,).
        scale: which one.
    """
    if scale == "log10":
        return np.log10(values), errors / (values * np.log(10))
    if scale == "logit":
        return np.log(values) - np.log1p(-values), errors / (values * (1 - values))
    return values, errors


def from_scale(values: NDArray[np.float64], scale: Scale) -> NDArray[np.float64]:
    """Return what stands at these places of a scale, in the unit of the number, any shape.

    The scales ascend, so the quantiles of a number are those on its scale.
    """
    if scale == "log10":
        # Beyond it there is no float, and a warning would be an error.
        return np.power(10.0, np.clip(values, -300, 300))
    if scale == "logit":
        odds = np.exp(-np.abs(values))
        return np.where(values < 0, odds / (1 + odds), 1 / (1 + odds))
    return values
