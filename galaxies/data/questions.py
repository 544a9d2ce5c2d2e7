"""Trees of questions, as people answer them about galaxies: which answers there are, and which answer leads to which question.

The trees of Galaxy Zoo are in the folder ``trees``, a YAML file each, with its source; your own is a file of the same form.

Legend: N galaxies, Q questions, A answers of all questions in one flat list, in the order of the questions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from galaxies.errors import InputError

Kind = Literal["counts", "fractions", "debiased"]
"""What a table holds of votes: how many people gave an answer; their share; a share that was corrected for distance."""

KINDS: tuple[Kind, ...] = ("counts", "fractions", "debiased")


def describe_kind(kind: Kind) -> str:
    """Return what a kind of columns is called in a sentence."""
    return "debiased fractions" if kind == "debiased" else kind


@dataclass(frozen=True)
class Question:
    """What people are asked about a galaxy."""

    name: str
    answers: tuple[str, ...]
    after: str | None = None  # the question before it; None: everybody is asked
    answered: tuple[str, ...] = ()  # the answers of that one which lead here

    @property
    def columns(self) -> tuple[str, ...]:
        """What the answers are called among those of all questions: ``question_answer``."""
        return tuple(f"{self.name}_{answer}" for answer in self.answers)


@dataclass(frozen=True)
class Naming:
    """How a table calls its columns of votes: patterns with ``{question}`` and ``{answer}``; capital letters are no matter."""

    kind: Kind
    answer: str
    total: str | None = None  # of the people who were asked a question, with {question}

    def columns(self, question: Question) -> tuple[str, ...]:
        """Return the column of each answer, in lower case."""
        return tuple(_fill(self.answer, question.name, answer) for answer in question.answers)

    def total_column(self, question: Question) -> str | None:
        """Return the column of the number of people who were asked, in lower case, if tables of this form have one."""
        return None if self.total is None else _fill(self.total, question.name, "")


@dataclass(frozen=True)
class QuestionTree:
    """Questions in an order in which each comes after the one that leads to it.

    Indexing: question q has the answers ``slices[q]`` of the A answers.
    """

    name: str
    questions: tuple[Question, ...]
    namings: tuple[Naming, ...] = ()  # the first whose columns a table has is taken
    galaxy_totals: tuple[str, ...] = ()  # columns that say how many people looked at the galaxy, the first there is taken

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def num_answers(self) -> int:
        """The number A of answers of all questions."""
        return sum(len(question.answers) for question in self.questions)

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """(Q,) where the answers of each question stand among all."""
        ends = np.cumsum([len(question.answers) for question in self.questions]).tolist()
        return tuple(slice(end - len(question.answers), end) for end, question in zip(ends, self.questions, strict=True))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """(A,) the name of each answer, ``question_answer``."""
        return tuple(column for question in self.questions for column in question.columns)

    @cached_property
    def parents(self) -> tuple[tuple[int, ...], ...]:
        """(Q,) the answers, as places among all, that lead to each question; none where everybody is asked."""
        return tuple(tuple(self._leading(question)) for question in self.questions)

    def index(self, name: str) -> int:
        """Return the place of a question. Raises InputError that lists the questions where there is no such one."""
        names = [question.name for question in self.questions]
        if name not in names:
            raise InputError(f"{self.name} has no question {name!r}; its questions are {', '.join(names)}.")
        return names.index(name)

    def ancestors(self, question: int) -> tuple[int, ...]:
        """Return the questions that come before a question on the way to it, the first one first."""
        after = self.questions[question].after
        if after is None:
            return ()
        before = self.index(after)
        return (*self.ancestors(before), before)

    def reach(self, fractions: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the share of people who come to each question, (N, Q): the product of the fractions that lead to it.

        Args:
            fractions: of the people asked a question, the share of each answer, (N, A).
        """
        share = np.ones((len(fractions), len(self)))
        for number, (question, parents) in enumerate(zip(self.questions, self.parents, strict=True)):
            if question.after is not None:
                share[:, number] = share[:, self.index(question.after)] * fractions[:, list(parents)].sum(axis=1)
        return share

    def select(self, names: Sequence[str]) -> "QuestionTree":
        """Return the tree of some of the questions, in its own order; a question whose leading one is left out has none.

        Raises InputError for names that are no questions.
        """
        chosen = {self.index(name) for name in names}
        kept = [question for number, question in enumerate(self.questions) if number in chosen]
        present = {question.name for question in kept}
        questions = tuple(
            question if question.after in present else Question(question.name, question.answers) for question in kept
        )
        return QuestionTree(self.name, questions, self.namings, self.galaxy_totals)

    def _leading(self, question: Question) -> Iterator[int]:
        if question.after is not None:
            before = self.index(question.after)
            start, answers = self.slices[before].start, self.questions[before].answers
            yield from (start + answers.index(answer) for answer in question.answered)


def _fill(pattern: str, question: str, answer: str) -> str:
    # Not str.format, which would let a pattern reach into Python's objects.
    return pattern.replace("{question}", question).replace("{answer}", answer).lower()
