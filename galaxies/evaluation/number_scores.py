"""How good predicted numbers are, and probabilities of tags.

Legend: B test rows, P columns, or tags.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score, log_loss, roc_auc_score

from galaxies.evaluation.drawn_intervals import find_ends
from galaxies.evaluation.intervals import Intervals
from galaxies.evaluation.told import Told

OF_NUMBERS = ("mae", "rmse", "nmad", "outlier_share", "r2", "coverage", "width")
"""Of one number: mean absolute and root mean square error; 1.4826 times the median distance from the median error; the share of
errors beyond 0.15 for a redshift, else beyond three nmad; the share of the variance that is explained; the share of values in
their 90 % intervals, and the median width of these."""

OF_TAGS = ("average_precision", "auc", "f1", "log_loss", "calibration_error", "base_rate")
"""Of one tag: area under precision and recall; under ROC; F1 at one half; mean negative log-likelihood in nats; mean distance
of probability and frequency over ten bins; and the share of galaxies that have it: the average precision of a guess."""

_REDSHIFTS = ("redshift", "z", "zspec", "z_spec", "zphot", "photo_z", "z_phot")
_REDSHIFT_OUTLIER = 0.15
_NUM_OUTLIER_NMAD = 3.0
_NUM_BINS = 10


def is_redshift(name: str) -> bool:
    """Tell whether errors of a column are divided by 1 + z, as is usual for redshifts: by its name."""
    return name.lower() in _REDSHIFTS


def measure_number(told: Told, place: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the metrics of ``OF_NUMBERS`` of one column over some rows, NaN without any; errors of a redshift per 1 + z."""
    true = told.true[rows, place]
    known = ~np.isnan(true)
    if not known.any():
        return np.full(len(OF_NUMBERS), np.nan)
    true, value = true[known], told.expected[rows, place][known]
    low, high = told.low[rows, place][known], told.high[rows, place][known]
    scale = 1 + true if is_redshift(told.names[place]) else np.ones_like(true)
    error = (value - true) / scale
    nmad = 1.4826 * np.median(np.abs(error - np.median(error)))
    limit = _REDSHIFT_OUTLIER if is_redshift(told.names[place]) else max(_NUM_OUTLIER_NMAD * nmad, np.finfo(float).tiny)
    scatter = np.square(true - true.mean()).sum()
    return np.array(
        [
            np.abs(error).mean(),
            np.sqrt(np.square(error).mean()),
            nmad,
            (np.abs(error) > limit).mean(),
            1 - np.square(value - true).sum() / scatter if scatter else np.nan,
            ((low <= true) & (true <= high)).mean(),
            np.median(high - low),
        ]
    )


def measure_tag(told: Told, place: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the metrics of ``OF_TAGS`` of one tag over some rows; of rows that all have it, or none, the ranks are NaN."""
    true = told.true[rows, place]
    known = ~np.isnan(true)
    if not known.any():
        return np.full(len(OF_TAGS), np.nan)
    has_tag, probability = true[known] == 1, told.expected[rows, place][known]
    is_ranked = has_tag.any() and not has_tag.all()
    bins = np.minimum((probability * _NUM_BINS).astype(np.int64), _NUM_BINS - 1)
    gaps = np.bincount(bins, probability - has_tag, _NUM_BINS)
    return np.array(
        [
            average_precision_score(has_tag, probability) if is_ranked else np.nan,
            roc_auc_score(has_tag, probability) if is_ranked else np.nan,
            f1_score(has_tag, probability >= 0.5, zero_division=0.0),
            log_loss(has_tag, probability, labels=[False, True]),
            np.abs(gaps).sum() / len(has_tag),
            has_tag.mean(),
        ]
    )


def score_columns(told: Told, group: NDArray[np.int64], *, is_tag: bool, generator: np.random.Generator) -> list[Intervals]:
    """Return the metrics of each column with their intervals, P of them.

    Args:
        told: of the test galaxies.
        group: sky group of each row, (B,).
        is_tag: whether tags were told, and not numbers.
        generator: draws groups for the intervals.
    """
    measure = measure_tag if is_tag else measure_number
    return [
        find_ends(lambda rows, place=place: measure(told, place, rows), group, generator=generator)  # type: ignore[misc]
        for place in range(len(told.names))
    ]
