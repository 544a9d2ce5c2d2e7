"""How good predicted votes are: of each answer, and of all.

Legend: B test rows, A answers, Q questions.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from galaxies.data.targets import Votes
from galaxies.evaluation.drawn_intervals import find_ends_of_sums
from galaxies.evaluation.intervals import Intervals
from galaxies.evaluation.told import Told, asked_share, tell_votes
from galaxies.heads.vote_losses import dirichlet_multinomial_loss
from galaxies.heads.vote_meaning import VotePredictions
from galaxies.heads.vote_objective import make_membership

OVERALL = ("mad", "rmse", "log_likelihood", "coverage", "agreed_accuracy")
"""Means over answers of the mean absolute deviation (of the median) and of the root mean square one (of the expected fraction);
mean log-likelihood of a galaxy's votes in nats; share of votes in their 90 % intervals; and of the questions that more than
0.8 of the people answered alike the share that the head answers as they do."""

AGREED = 0.8
"""People agree where more than this share of them gave one answer."""

OF_ANSWERS = ("mad", "rmse", "bias", "coverage")


def log_likelihood(votes: Votes, said: VotePredictions) -> NDArray[np.float64]:
    """Return that of each galaxy's votes in nats, all questions together, (B,)."""
    sizes = [len(question.answers) for question in votes.tree.questions]
    counts, concentrations = (torch.from_numpy(part.astype(np.float64).T) for part in (votes.counts, said.concentrations))
    loss = dirichlet_multinomial_loss(concentrations, counts, make_membership(sizes).double())
    found: NDArray[np.float64] = -loss.sum(0).numpy()
    return found


def find_agreement(votes: Votes, expected: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return on which questions people agree, and on which of those the head gives their answer as the likeliest, (B, Q) each.

    A question counts where at least half of the people who looked at the galaxy were asked.
    """
    is_asked = asked_share(votes) >= 0.5
    agree, right = np.zeros_like(is_asked), np.zeros_like(is_asked)
    for number, part in enumerate(votes.tree.slices):
        fractions = np.nan_to_num(votes.fractions[:, part])
        agree[:, number] = is_asked[:, number] & (fractions.max(axis=1) > AGREED)
        right[:, number] = agree[:, number] & (fractions.argmax(axis=1) == expected[:, part].argmax(axis=1))
    return agree, right


def score_votes(
    votes: Votes, said: VotePredictions, group: NDArray[np.int64], *, generator: np.random.Generator
) -> tuple[Intervals, Intervals]:
    """Return the metrics of ``OVERALL``, (5,), and those of ``OF_ANSWERS`` of each answer, (A, 4).

    Args:
        votes: of the test galaxies, (B).
        said: what the head says of them.
        group: sky group of each row, (B,).
        generator: draws groups for the intervals.
    """
    told = tell_votes(votes, said)
    agree, right = find_agreement(votes, said.expected)
    extra = [log_likelihood(votes, said), votes.known, agree.sum(axis=1), right.sum(axis=1)]
    columns = np.column_stack([*_sum_deviations(told), *extra]).astype(np.float64)
    metrics = _divide_sums(len(votes.names))
    ends = find_ends_of_sums(columns, group, metrics, generator=generator)
    size = len(OVERALL)
    first, rest = ([part[chosen] for part in vars(ends).values()] for chosen in (slice(size), slice(size, None)))
    return Intervals(*first), Intervals(*(part.reshape(len(votes.names), -1) for part in rest))


def _sum_deviations(told: Told) -> list[NDArray[np.float64]]:
    """Return what is added up of each answer, (B, A) each; nothing where a galaxy does not count."""
    true = np.where(told.counts, told.true, 0)
    deviation = np.where(told.counts, told.expected - true, 0)
    absolute = np.where(told.counts, np.abs(told.median - true), 0)
    return [told.counts.astype(np.float64), absolute, np.square(deviation), deviation, told.covered & told.counts]


def _divide_sums(num_answers: int) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    def metrics(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        count, absolute, square, deviation, covered = (
            sums[..., part * num_answers : (part + 1) * num_answers] for part in range(5)
        )
        likelihood, known, agree, right = np.moveaxis(sums[..., 5 * num_answers :], -1, 0)
        mad, rmse = absolute / count, np.sqrt(square / count)
        overall = [_mean(mad), _mean(rmse), likelihood / known, covered.sum(axis=-1) / count.sum(axis=-1), right / agree]
        each = np.stack([mad, rmse, deviation / count, covered / count], axis=-1)
        return np.concatenate([np.stack(overall, axis=-1), each.reshape(*each.shape[:-2], -1)], axis=-1)

    return metrics


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over answers with a galaxy that counts."""
    known = np.isfinite(values)
    mean: NDArray[np.float64] = np.where(known, values, 0).sum(axis=-1) / known.sum(axis=-1)
    return mean
