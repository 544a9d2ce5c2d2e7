"""How far a number can be trusted: 95 % confidence intervals that count sky groups, not galaxies.

Galaxies of one sky group are not independent, so whole groups are drawn. Every metric here is a function of sums over
galaxies, and the sums of all resamples are one matrix product.

- Accuracy and NLL: the percentile interval of the bootstrap (Efron & Tibshirani 1993, "An Introduction to the Bootstrap",
  chapter 13).
- F1 of a class: with few galaxies the bootstrap promises too much, for what did not happen in 5 galaxies happens in none of
  their resamples. But F1 is 2 s / (1 + s), where s is the share of right ones among the galaxies labelled or predicted as the
  class (Hand, Christen & Kirielle 2021, "F*: an interpretable transformation of the F-measure"), so Wilson's interval of
  that share, with the effective number of galaxies, is one of the F1.
- Balanced accuracy and macro-F1: the intervals of the classes, put together by how far each end is from its value and how the
  classes move together ("method of variance estimates recovery", Zou, Huang & Zhang 2009, "A note on confidence interval
  estimation for a linear function of binomial proportions").

In simulations (`benchmarks/interval_coverage.py`: ten classes as in Galaxy10, three heads, a tenth of the galaxies twice) they
cover 91 to 96 % at 300 test galaxies and 93 to 96 % at 2,000; the least for the means over classes of a nearly perfect head,
98 % right. There the bootstrap's cover 36 % (F1 of the most frequent class), 62 % (of the rarest) and 88 % (macro-F1).
Legend: B test rows, G sky groups, K classes, R resamples, M sums (3 K + 3), P metrics (K + 4).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

NUM_RESAMPLES = 2000
LEVEL = 0.95

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "nll")
"""The metrics of all classes; after them comes the F1 of each class."""

# Resamples are made in blocks of so many drawn groups: 32 MB of float64.
_BLOCK_CELLS = 4_000_000


@dataclass(frozen=True)
class Intervals:
    """The metrics of ``METRICS`` and the F1 of each class, (P,) each; NaN where there is nothing to measure."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def find_intervals(
    targets: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    group: NDArray[np.int64],
    *,
    generator: np.random.Generator,
    num_resamples: int = NUM_RESAMPLES,
) -> Intervals:
    """Return the metrics with their 95 % intervals.

    Where every galaxy is right, or none is, all resamples agree and say nothing: Wilson's interval of the accuracy stands in.

    Args:
        targets: true classes, (B,), at least one.
        probabilities: (B, K).
        group: sky group of each row, (B,); any numbers.
        generator: draws the groups.
        num_resamples: R.
    """
    sums = sum_groups(targets, probabilities, group)
    value = metrics_of_sums(sums.sum(axis=0))
    drawn = resample_sums(sums[:, :3], num_resamples=num_resamples, generator=generator)
    accuracy, nll = percentiles(drawn[:, 1:] / drawn[:, :1]).T
    if value[0] in (0, 1):
        accuracy = _measure_shares(sums[:, 1:2], sums[:, :1]).ends[:, 0]
    hits, labelled, predicted = np.split(sums[:, 3:], 3, axis=1)
    recall, f1 = _measure_shares(hits, labelled), _measure_f1(hits, labelled + predicted - hits)
    present = labelled.sum(axis=0) > 0
    means = [_find_mean_ends(measured, present) for measured in (recall, f1)]
    low, high = np.column_stack([accuracy, *means, nll, f1.ends])
    return Intervals(value, low, high)


@dataclass(frozen=True)
class _Measured:
    """A metric of each class; NaN where it has no galaxies."""

    value: NDArray[np.float64]  # (K,)
    ends: NDArray[np.float64]  # (2, K) of the 95 % interval
    moves: NDArray[np.float64]  # (G, K) by how much each group moves it


def _measure_shares(num_right: NDArray[np.float64], num_galaxies: NDArray[np.float64]) -> _Measured:
    """Return shares with Wilson's intervals, from the numbers of each group, (G, K) both.

    The galaxies count for as many independent ones as the scatter between groups says.
    """
    num_groups, total = len(num_galaxies), num_galaxies.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = num_right.sum(axis=0) / total
        moves = (num_right - share * num_galaxies) / total
        variance = np.square(moves).sum(axis=0) * num_groups / (num_groups - 1)
        # Where all groups agree, their number is all there is to go by.
        effective = np.where(variance > 0, np.minimum(share * (1 - share) / variance, total), (num_galaxies > 0).sum(axis=0))
        return _Measured(share, np.stack(share_interval(share * effective, effective)), moves)


def _measure_f1(hits: NDArray[np.float64], involved: NDArray[np.float64]) -> _Measured:
    """Return F1s from the galaxies of each group that a class has rightly, and that are labelled or predicted as it, (G, K)."""
    share = _measure_shares(hits, involved)
    f1, ends = (2 * values / (1 + values) for values in (share.value, share.ends))
    return _Measured(f1, ends, 2 * share.moves / (1 + share.value) ** 2)


def _find_mean_ends(measured: _Measured, present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the 95 % interval of the mean over the classes that are present, (2,)."""
    value, (low, high), moves = measured.value[present], measured.ends[:, present], measured.moves[:, present]
    deviation = np.sqrt(np.square(moves).sum(axis=0))
    scaled = moves / np.where(deviation > 0, deviation, np.inf)
    correlation = scaled.T @ scaled
    np.fill_diagonal(correlation, 1)
    distances = np.stack([value - low, high - value])
    # Rounding can make the sum a hair less than 0.
    half = np.sqrt(np.maximum(np.einsum("ek,kl,el->e", distances, correlation, distances), 0)) / len(value)
    ends: NDArray[np.float64] = np.clip(value.mean() + np.array([-1, 1]) * half, 0, 1)
    return ends


def percentiles(resampled: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ends of the 95 % interval of each column, (2, P), from resamples (R, P); NaN where all are NaN."""
    ends = np.full((2, resampled.shape[1]), np.nan)
    for place, column in enumerate(resampled.T):
        known = column[np.isfinite(column)]
        if len(known):
            ends[:, place] = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return ends


def share_interval(num_right: ArrayLike, num_galaxies: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of Wilson's 95 % interval of a share, for any number of shares; every galaxy counts as independent.

    Source: Wilson 1927; Brown, Cai & DasGupta 2001, "Interval Estimation for a Binomial Proportion". There must be galaxies.
    """
    total = np.asarray(num_galaxies, np.float64)
    share = np.asarray(num_right, np.float64) / total
    z = ndtri((1 + LEVEL) / 2)
    middle = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z * np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2)) / (1 + z**2 / total)
    return np.maximum(middle - half, 0), np.minimum(middle + half, 1)


def sum_groups(targets: NDArray[np.int64], probabilities: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sums of each group, (G, M): what ``metrics_of_sums`` needs, and nothing more.

    Columns: galaxies, right ones, negative log-likelihoods, and for each class the galaxies rightly predicted, labelled and
    predicted as it.

    Args:
        targets: true classes, (B,).
        probabilities: (B, K).
        group: sky group of each row, (B,); any numbers.
    """
    num_classes = probabilities.shape[1]
    labelled = np.eye(num_classes)[targets]
    predicted = np.eye(num_classes)[probabilities.argmax(axis=1)]
    hits = labelled * predicted
    # As scikit-learn's log_loss: a probability of 0 costs as much as the smallest step above it.
    own = np.clip(probabilities[np.arange(len(targets)), targets], np.finfo(np.float64).eps, 1)
    columns = np.column_stack([np.ones(len(targets)), hits.sum(axis=1), -np.log(own), hits, labelled, predicted])
    numbers, index = np.unique(group, return_inverse=True)
    sums = np.zeros((len(numbers), columns.shape[1]))
    np.add.at(sums, index, columns)
    return sums


def metrics_of_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the metrics of sums (..., M): (..., P), in the order of ``METRICS``, then the F1 of each class.

    A class without a galaxy takes no part in the means; its F1 is NaN unless it was predicted.
    """
    num_classes = (sums.shape[-1] - 3) // 3
    total, right, nll = sums[..., 0], sums[..., 1], sums[..., 2]
    hits, labelled, predicted = (sums[..., 3 + part * num_classes :][..., :num_classes] for part in range(3))
    present = labelled > 0
    num_present = present.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.where(present, hits / labelled, 0)
        f1 = 2 * hits / (labelled + predicted)
        overall = [
            right / total,
            recall.sum(axis=-1) / num_present,
            np.where(present, f1, 0).sum(axis=-1) / num_present,
            nll / total,
        ]
    return np.concatenate([np.stack(overall, axis=-1), f1], axis=-1)


def resample_sums(sums: NDArray[np.float64], *, num_resamples: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return the sums over as many groups as there are, drawn with replacement, (R, M), from those of each group, (G, M)."""
    num_groups = len(sums)
    resampled = np.empty((num_resamples, sums.shape[1]))
    step = max(1, _BLOCK_CELLS // num_groups)
    for start in range(0, num_resamples, step):
        block = resampled[start : start + step]
        drawn = generator.integers(num_groups, size=(len(block), num_groups))
        cells = (drawn + num_groups * np.arange(len(block))[:, None]).ravel()
        counts = np.bincount(cells, minlength=len(block) * num_groups).reshape(len(block), num_groups)
        block[:] = counts @ sums
    return resampled
