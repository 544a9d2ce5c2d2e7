"""Where observed votes lie among those that a head thinks possible: whether its intervals cover.

People are few, so that an observed fraction scatters about the true one: what covers 90 % of the true ones covers fewer of
those. Given how many people were asked, each answer's votes have a beta-binomial distribution, and 90 % of that should cover.
Counts are whole: an interval with whole ends covers more (94 to 97 % of 10 to 40 votes, for a perfect head), which randomised
ends make up for (Czado, Gneiting & Held 2009, "Predictive Model Assessment for Count Data").

Legend: B rows, A answers.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, gammaln

from galaxies.data.targets import Votes
from galaxies.heads.vote_meaning import INTERVAL, VotePredictions


def find_positions(votes: Votes, said: VotePredictions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the probabilities that an answer gets fewer votes than it got, and exactly as many, (B, A) each; NaN if not asked.

    Votes that are not whole (debiased ones) are rounded.
    """
    fewer, exactly = (np.full(votes.counts.shape, np.nan) for _ in range(2))
    for number, part in enumerate(votes.tree.slices):
        asked = np.rint(votes.totals[:, number]).astype(np.int64)
        rows = np.flatnonzero(asked > 0)
        for answer in range(part.start, part.stop):
            own, all_answers = said.concentrations[rows, answer], said.totals[rows, answer]
            got = np.minimum(np.rint(votes.counts[rows, answer]).astype(np.int64), asked[rows])
            probabilities = _beta_binomial(own, all_answers - own, asked[rows])
            cumulative = np.cumsum(probabilities, axis=1)
            places = np.arange(len(rows))
            exactly[rows, answer] = probabilities[places, got]
            fewer[rows, answer] = cumulative[places, got] - probabilities[places, got]
    return fewer, exactly


def cover_as_printed(fewer: NDArray[np.float64], exactly: NDArray[np.float64], level: float = INTERVAL) -> NDArray[np.bool_]:
    """Tell whether votes lie within the central interval with whole ends; shapes as of :func:`find_positions`."""
    tail = (1 - level) / 2
    covered: NDArray[np.bool_] = (fewer + exactly >= tail) & (fewer < 1 - tail)
    return covered


def cover_randomised(
    fewer: NDArray[np.float64], exactly: NDArray[np.float64], *, generator: np.random.Generator, level: float = INTERVAL
) -> NDArray[np.bool_]:
    """Tell the same with ends drawn by chance within a count: of a perfect head exactly ``level`` of the votes are covered."""
    position = fewer + generator.random(fewer.shape) * exactly
    covered: NDArray[np.bool_] = np.abs(position - 0.5) <= level / 2
    return covered


def _beta_binomial(own: NDArray[np.float64], others: NDArray[np.float64], asked: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the probability of each number of votes from 0 to the most asked, (B, most + 1), 0 beyond those asked."""
    counts, asked = np.arange(asked.max(initial=0) + 1)[None, :], asked[:, None]
    own, is_alone = own[:, None], (others <= 0)[:, None]
    others, left = np.where(is_alone, 1.0, others[:, None]), np.maximum(asked - counts, 0)
    ways = gammaln(asked + 1) - gammaln(counts + 1) - gammaln(left + 1)
    probabilities = np.exp(ways + betaln(counts + own, left + others) - betaln(own, others))
    # Of a question with one answer all votes are that one's.
    probabilities = np.where(is_alone, counts == asked, probabilities)
    return np.where(counts <= asked, probabilities, 0.0)
