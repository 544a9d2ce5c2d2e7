"""What a head told of the test galaxies beside what is true, in one form for votes, numbers and tags.

Legend: B test rows, P answers, numbers or tags.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from galaxies.data.targets import UNKNOWN_TAG, Numbers, Tags, Votes
from galaxies.evaluation.vote_coverage import cover_as_printed, find_positions
from galaxies.heads.number_meaning import NumberPredictions
from galaxies.heads.vote_meaning import VotePredictions

ASKED_SHARE = 0.5
"""A fraction of votes counts where at least this share of the people who looked at the galaxy were asked the question."""


@dataclass(frozen=True)
class Told:
    """Each is (B, P), in the unit of the number, or a fraction."""

    names: tuple[str, ...]  # (P,)
    true: NDArray[np.float64]  # NaN where it is not known, or does not count
    expected: NDArray[np.float64]  # the mean of what may be, of tags the probability
    median: NDArray[np.float64]  # what it is as likely above as below
    low: NDArray[np.float64]  # ends of the 90 % interval; NaN: none is told
    high: NDArray[np.float64]
    covered: NDArray[np.bool_]  # whether what was observed lies where it should in 90 % of the cases

    @property
    def counts(self) -> NDArray[np.bool_]:
        """Whether a galaxy counts."""
        return ~np.isnan(self.true)


def asked_share(votes: Votes) -> NDArray[np.float64]:
    """Return the share of the people who looked at each galaxy that were asked each question, (B, Q)."""
    people = votes.totals.max(axis=1, keepdims=True)
    share: NDArray[np.float64] = np.divide(votes.totals, people, out=np.zeros(votes.totals.shape), where=people > 0)
    return share


def tell_votes(votes: Votes, said: VotePredictions) -> Told:
    """Return the fractions of B galaxies, which count where at least half of the people were asked.

    The intervals are of the fractions of all people there are; covered are the votes of those that were asked, in the interval
    with whole ends that `galaxies.evaluation.vote_coverage` gives them.
    """
    low, high = said.interval()
    covered = cover_as_printed(*find_positions(votes, said))
    return Told(votes.names, countable_fractions(votes), said.expected, said.median, low, high, covered)


def countable_fractions(votes: Votes) -> NDArray[np.float64]:
    """Return the fractions that count, (B, A), NaN elsewhere."""
    sizes = [len(question.answers) for question in votes.tree.questions]
    is_asked = np.repeat(asked_share(votes) >= ASKED_SHARE, sizes, axis=1)
    return np.where(is_asked, votes.fractions.astype(np.float64), np.nan)


def tell_numbers(numbers: Numbers, said: NumberPredictions) -> Told:
    """Return the numbers of B galaxies."""
    covered = (said.low <= numbers.values) & (numbers.values <= said.high)
    return Told(numbers.names, numbers.values, said.value, said.value, said.low, said.high, covered)


def tell_tags(tags: Tags, probabilities: NDArray[np.float64]) -> Told:
    """Return the tags of B galaxies."""
    true = np.where(tags.values == UNKNOWN_TAG, np.nan, tags.values.astype(np.float64))
    none = np.full_like(probabilities, np.nan)
    return Told(tags.names, true, probabilities, probabilities, none, none, np.zeros(none.shape, np.bool_))
