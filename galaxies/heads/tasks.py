"""What a training is given of each kind of target: batches' targets, an objective, and in the end what the outputs mean.

Legend: N rows of the catalog, B rows, K outputs.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from galaxies.data.targets import UNKNOWN_TAG, Numbers, Tags, Targets, Votes
from galaxies.errors import InputError
from galaxies.heads.calibration import Calibration
from galaxies.heads.class_meaning import ClassMeaning
from galaxies.heads.meanings import Meaning
from galaxies.heads.number_meaning import NumberMeaning, Standard
from galaxies.heads.number_objective import NumberObjective
from galaxies.heads.objectives import ClassObjective, Objective
from galaxies.heads.tag_meaning import TagMeaning
from galaxies.heads.tag_objective import TagObjective
from galaxies.heads.train_params import TrainParams
from galaxies.heads.vote_meaning import VoteMeaning
from galaxies.heads.vote_objective import VoteObjective


class Task(Protocol):
    """What ``train`` asks; rows are those of the catalog, of which something is known."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the head will tell."""

    def targets(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return what the batches hold of rows (B,): (B,) or (B, ...)."""

    def make_objective(self, train_targets: Tensor, params: TrainParams) -> Objective:
        """Return what is learned from the targets of all train rows, which are on the device."""

    def fit_meaning(self, outputs: Tensor, rows: NDArray[np.int64]) -> Meaning:
        """Return what outputs (B, K) mean, by rows (B,) that trained and chose nothing."""


@dataclass(frozen=True)
class ClassTask:
    """One class a galaxy."""

    classes: NDArray[np.int64]  # (N,) index of each row's class
    class_names: tuple[str, ...]
    train_rows: NDArray[np.int64]

    @property
    def names(self) -> tuple[str, ...]:
        """The classes."""
        return self.class_names

    def targets(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return classes (B,)."""
        return self.classes[rows]

    def make_objective(self, train_targets: Tensor, params: TrainParams) -> ClassObjective:
        """As the protocol says."""
        return ClassObjective(train_targets, self.class_names, params)

    def fit_meaning(self, outputs: Tensor, rows: NDArray[np.int64]) -> ClassMeaning:
        """As the protocol says."""
        counts = np.bincount(self.classes[self.train_rows], minlength=len(self.class_names))
        return ClassMeaning(Calibration.fit(outputs, self.classes[rows]), self.class_names, tuple(counts.tolist()))


@dataclass(frozen=True)
class VoteTask:
    """What people answered."""

    votes: Votes  # of N rows
    loss: str  # train.vote_loss
    train_rows: NDArray[np.int64]

    @property
    def names(self) -> tuple[str, ...]:
        """The answers."""
        return self.votes.names

    def targets(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return votes (B, A)."""
        return self.votes.counts[rows]

    def make_objective(self, train_targets: Tensor, params: TrainParams) -> VoteObjective:
        """As the protocol says. Raises InputError where nobody was asked a question."""
        asked = self.votes.totals[self.train_rows].sum(axis=0)
        silent = [question.name for question, total in zip(self.votes.tree.questions, asked, strict=True) if not total]
        if silent:
            raise InputError(
                f"train: of no train galaxy was anybody asked {', '.join(silent)}; name the other questions in train.columns."
            )
        return VoteObjective(train_targets, [len(question.answers) for question in self.votes.tree.questions], self.loss)

    def fit_meaning(self, outputs: Tensor, rows: NDArray[np.int64]) -> VoteMeaning:
        """As the protocol says."""
        # Everybody is asked the first question.
        most = self.votes.totals[self.train_rows].max(axis=1)
        return VoteMeaning.fit(outputs, self.votes.take(rows), loss=self.loss, num_people=float(most[most > 0].mean()))


@dataclass(frozen=True)
class NumberTask:
    """Numbers in their units."""

    numbers: Numbers  # of N rows
    loss: str  # train.number_loss
    standard: Standard  # of the train rows

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        return self.numbers.names

    def targets(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return standardised values and errors (B, 2 P)."""
        return self.standard.targets(self.numbers.take(rows))

    def make_objective(self, train_targets: Tensor, params: TrainParams) -> NumberObjective:
        """As the protocol says."""
        return NumberObjective(len(self.names), self.loss)

    def fit_meaning(self, outputs: Tensor, rows: NDArray[np.int64]) -> NumberMeaning:
        """As the protocol says."""
        return NumberMeaning.fit(outputs, self.numbers.take(rows), self.standard, loss=self.loss)


@dataclass(frozen=True)
class TagTask:
    """What is so and what is not."""

    tags: Tags  # of N rows

    @property
    def names(self) -> tuple[str, ...]:
        """The tags."""
        return self.tags.names

    def targets(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return 1, 0 or NaN, (B, T)."""
        values = self.tags.values[rows].astype(np.float32)
        return np.where(values == UNKNOWN_TAG, np.float32(np.nan), values)

    def make_objective(self, train_targets: Tensor, params: TrainParams) -> TagObjective:
        """As the protocol says."""
        return TagObjective(train_targets, self.names, params)

    def fit_meaning(self, outputs: Tensor, rows: NDArray[np.int64]) -> TagMeaning:
        """As the protocol says."""
        return TagMeaning.fit(outputs, self.tags.take(rows))


def make_task(targets: Targets, params: TrainParams, train_rows: NDArray[np.int64]) -> Task:
    """Return the task of votes, numbers or tags.

    Args:
        targets: of all rows of the catalog.
        params: how to train.
        train_rows: that fit.

    Raises:
        InputError: a number is known of no train row.
    """
    if isinstance(targets, Votes):
        return VoteTask(targets, params.vote_loss, train_rows)
    if isinstance(targets, Numbers):
        return NumberTask(targets, params.number_loss, Standard.fit(targets.take(train_rows)))
    return TagTask(targets)
