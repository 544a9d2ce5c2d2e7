"""What a head learns of a galaxy beside its class: votes of people, numbers, or tags.

Legend: N rows of the catalog, Q questions, A answers of all questions, C numbers of a galaxy, T tags.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from galaxies.data.questions import QuestionTree
from galaxies.data.scales import Scale, to_scale

UNKNOWN_TAG = -1


@dataclass(frozen=True)
class Votes:
    """How many people gave each answer, of rows of the catalog."""

    counts: NDArray[np.float32]  # (N, A) finite, >= 0, not always whole; of a question that nobody was asked all are 0
    tree: QuestionTree

    def __len__(self) -> int:
        return len(self.counts)

    @cached_property
    def totals(self) -> NDArray[np.float32]:
        """(N, Q) how many people answered each question: the sum of its counts; 0 is unknown."""
        return np.stack([self.counts[:, answers].sum(axis=1) for answers in self.tree.slices], axis=1)

    @cached_property
    def fractions(self) -> NDArray[np.float32]:
        """(N, A) the share of each answer among those of its question, NaN where nobody was asked."""
        fractions = np.full_like(self.counts, np.nan)
        for number, answers in enumerate(self.tree.slices):
            total = self.totals[:, number, None]
            np.divide(self.counts[:, answers], total, out=fractions[:, answers], where=total > 0)
        return fractions

    @property
    def known(self) -> NDArray[np.bool_]:
        """(N,) whether anybody was asked any of the questions."""
        known: NDArray[np.bool_] = np.count_nonzero(self.counts, axis=1) > 0
        return known

    @property
    def names(self) -> tuple[str, ...]:
        """(A,) ``question_answer``."""
        return self.tree.columns

    def take(self, rows: NDArray[np.int64]) -> "Votes":
        """Return the votes of some rows."""
        return Votes(self.counts[rows], self.tree)

    def select(self, questions: Sequence[str]) -> "Votes":
        """Return the votes on some of the questions, in the order of the tree. Raises InputError for names that are none."""
        tree = self.tree.select(questions)
        places = [self.tree.columns.index(column) for column in tree.columns]
        return Votes(self.counts[:, places], tree)


@dataclass(frozen=True)
class Numbers:
    """Measured values of rows of the catalog, each in its own unit."""

    values: NDArray[np.float64]  # (N, C) NaN is unknown
    errors: NDArray[np.float64]  # (N, C) standard deviations in the unit of the value; NaN: none is known
    names: tuple[str, ...]  # (C,)
    units: tuple[str, ...]  # (C,) as people write them; empty: none
    scales: tuple[Scale, ...]  # (C,) on which each is predicted

    def __len__(self) -> int:
        return len(self.values)

    @property
    def known(self) -> NDArray[np.bool_]:
        """(N,) whether any of the numbers is known."""
        known: NDArray[np.bool_] = np.count_nonzero(~np.isnan(self.values), axis=1) > 0
        return known

    def scaled(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return values and errors on the scales, each (N, C) with NaN as here: what a loss compares."""
        values, errors = np.empty_like(self.values), np.empty_like(self.errors)
        for column, scale in enumerate(self.scales):
            values[:, column], errors[:, column] = to_scale(self.values[:, column], self.errors[:, column], scale)
        return values, errors

    def take(self, rows: NDArray[np.int64]) -> "Numbers":
        """Return the numbers of some rows."""
        return Numbers(self.values[rows], self.errors[rows], self.names, self.units, self.scales)


@dataclass(frozen=True)
class Tags:
    """What is so and what is not, of rows of the catalog; several tags may hold for one galaxy."""

    values: NDArray[np.int8]  # (N, T) 1, 0, or UNKNOWN_TAG
    names: tuple[str, ...]  # (T,)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def known(self) -> NDArray[np.bool_]:
        """(N,) whether any of the tags is known."""
        known: NDArray[np.bool_] = (self.values != UNKNOWN_TAG).any(axis=1)
        return known

    def take(self, rows: NDArray[np.int64]) -> "Tags":
        """Return the tags of some rows."""
        return Tags(self.values[rows], self.names)


Targets = Votes | Numbers | Tags
