"""Votes from the columns of a table, in any of the forms in which surveys publish them.

counts: how many people gave an answer. fractions: their share, with the number of people who were asked. debiased: a share
that was corrected for how far away a galaxy is; those of a question need not add to 1, and are renormalised. Where a question
has no number of people of its own, it is that of the question before it times the fractions that lead on: in the end the
galaxy's number times the product of all fractions on the way.

Legend: B rows of the catalog, A answers of all questions, Q questions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from galaxies.data.questions import KINDS, Kind, Naming, Question, QuestionTree, describe_kind
from galaxies.errors import InputError

KindChoice = Literal["auto"] | Kind
Columns = Mapping[str, NDArray[np.float64]]
"""Numbers by the name of their column, (B,) each, NaN where unknown."""

Complain = Callable[[str, NDArray[np.bool_], str], None]
"""Takes a column, which of the rows are wrong, (B,), and what was found wrong and expected."""

# The fractions of catalogues have three digits, and a question up to seven answers.
SUM_TOLERANCE = 0.02
_TOLERANCE = 1e-6
_SHOWN = 12


@dataclass(frozen=True)
class VoteForm:
    """Where the votes on some questions stand in a table."""

    tree: QuestionTree  # of those
    naming: Naming
    galaxy_total: str | None  # a column
    own_totals: frozenset[str]  # columns with the number of people who were asked a question

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read."""
        answers = [column for question in self.tree.questions for column in self.naming.columns(question)]
        return (*answers, *sorted(self.own_totals), *([self.galaxy_total] if self.galaxy_total else []))


@dataclass
class OddSums:
    """How many galaxies had debiased fractions of a question that do not add to 1, or others that add to less."""

    num_galaxies: int = 0
    by_question: dict[str, int] = field(default_factory=dict)


def choose_form(tree: QuestionTree, names: Sequence[str], *, kind: KindChoice, chosen: Sequence[str]) -> VoteForm:
    """Find out in which of a tree's forms a table holds the votes.

    Args:
        tree: of the questions.
        names: the columns of the table, in lower case.
        kind: which kind of columns; auto takes the first that are there, in the order counts, fractions, debiased.
        chosen: the questions that are wanted; empty: all.

    Raises:
        InputError: the table has none of them whole; it lists what is missing of the nearest form. Or a question is chosen
            and one that leads to it is not.
    """
    wanted = tuple(chosen) or tuple(question.name for question in tree.questions)
    _require_ways(tree, wanted)
    kinds = KINDS if kind == "auto" else (kind,)
    forms = [_fit(tree, naming, names, wanted) for order in kinds for naming in tree.namings if naming.kind == order]
    if not forms:
        kinds_there = ", ".join(dict.fromkeys(naming.kind for naming in tree.namings))
        raise InputError(f"train.vote_columns: found {kind}, but {tree.name} knows {kinds_there} alone.")
    # The first of those that lack least.
    form, missing = min(forms, key=lambda pair: len(pair[1]))
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise InputError(
            f"train.questions: split.targets has no whole set of columns for the votes of {tree.name}; nearest are its "
            f"{describe_kind(form.naming.kind)}, of which it lacks {', '.join(missing[:_SHOWN])}{more}. Name the questions "
            "that it has in train.columns, or what the columns are called in a tree of your own (train.questions)."
        )
    return form


def _require_ways(tree: QuestionTree, wanted: Sequence[str]) -> None:
    """Raise InputError where a question would be torn from those before it: everybody would seem to be asked."""
    cut = []
    for name in wanted:
        before = [tree.questions[place].name for place in tree.ancestors(tree.index(name))]
        if absent := [other for other in before if other not in wanted]:
            cut.append(f"{name} comes after {', '.join(absent)}")
    if cut:
        raise InputError(
            f"train.columns: {'; '.join(cut)}; name that too, since it says how many people are asked. If the table does not "
            "have it, begin a tree of your own with the question that it has (train.questions)."
        )


def _fit(tree: QuestionTree, naming: Naming, names: Sequence[str], wanted: Sequence[str]) -> tuple[VoteForm, list[str]]:
    """Return where the votes would stand under one naming, and the columns that are missing."""
    places = sorted({tree.index(name) for name in wanted})
    galaxy_total = next((name.lower() for name in tree.galaxy_totals if name.lower() in names), None)
    totals = [naming.total_column(question) for question in tree.questions]
    missing = dict[str, None]()
    # Of counts the sum is the number of people, so nobody needs to know who leads where.
    for place in places if naming.kind != "counts" else ():
        way = (*tree.ancestors(place), place)
        if galaxy_total is None and not any(totals[before] in names for before in way):
            missing[totals[way[0]] or " or ".join(tree.galaxy_totals) or "the number of people"] = None
    some = tree.select(wanted)
    own = frozenset(total for place in places if (total := totals[place]) is not None and total in names)
    form = VoteForm(some, naming, galaxy_total, own)
    absent = [name for question in some.questions for name in naming.columns(question) if name not in names]
    return form, [*absent, *missing]


def read_counts(form: VoteForm, columns: Columns, complain: Complain, odd_sums: OddSums) -> NDArray[np.float32]:
    """Return the votes of some rows on all questions of the form's tree, (B, A); 0 where unknown.

    Args:
        form: where they stand.
        columns: those of the form.
        complain: is told of each column that holds what it cannot.
        odd_sums: where rows are counted whose fractions did not add to 1.
    """
    if form.naming.kind == "counts":
        return _read_whole(form, columns, complain)
    shape = len(next(iter(columns.values()))), form.tree.num_answers
    fractions, counts = np.empty(shape), np.empty(shape, np.float32)
    totals = np.empty((shape[0], len(form.tree)))
    is_odd, is_debiased = np.zeros(shape[0], np.bool_), form.naming.kind == "debiased"
    for place, question in enumerate(form.tree.questions):
        answers = form.tree.slices[place]
        found, total = _read_fractions(form, question, columns, complain)
        # Others that add to more are complained of.
        odd = (total > 0) & ((np.abs(total - 1) if is_debiased else 1 - total) > SUM_TOLERANCE)
        odd_sums.by_question[question.name] = odd_sums.by_question.get(question.name, 0) + int(odd.sum())
        is_odd |= odd
        if is_debiased:
            found /= np.where(total > 0, total, 1)[:, None]
        fractions[:, answers] = np.where((total > 0)[:, None], found, np.nan)
        totals[:, place] = _find_total(form, place, columns, fractions, totals, complain)
        people = fractions[:, answers] * totals[:, place, None]
        counts[:, answers] = np.where(np.isfinite(people), people, 0)
    odd_sums.num_galaxies += int(is_odd.sum())
    return counts


def _read_fractions(
    form: VoteForm, question: Question, columns: Columns, complain: Complain
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the fractions of a question as they are, (B, answers), and their sums, (B,)."""
    names = form.naming.columns(question)
    found = np.stack([columns[name] for name in names], axis=1)
    for name, values in zip(names, found.T, strict=True):
        complain(name, (values < 0) | (values > 1 + _TOLERANCE), "expected a fraction from 0 to 1")
    total: NDArray[np.float64] = found.sum(axis=1)
    if form.naming.kind == "fractions":
        is_above = total > 1 + SUM_TOLERANCE
        complain(names[0], is_above, f"the fractions of {question.name} add to more than 1; are they debiased?")
    return found, total


def _read_whole(form: VoteForm, columns: Columns, complain: Complain) -> NDArray[np.float32]:
    """Return counts that stand in the table, (B, A)."""
    counts = np.empty((len(next(iter(columns.values()))), form.tree.num_answers), np.float32)
    for place, question in enumerate(form.tree.questions):
        names = form.naming.columns(question)
        found = np.stack([columns[name] for name in names], axis=1)  # (B, answers)
        for name, values in zip(names, found.T, strict=True):
            complain(name, (values < 0) | np.isinf(values), "expected a number of people, 0 or more")
        total = form.naming.total_column(question)
        if total is not None and total in form.own_totals:
            is_above = found.sum(axis=1) > columns[total] * (1 + _TOLERANCE) + _TOLERANCE
            complain(total, is_above, f"the counts of {question.name} add to more than this")
        # A question of which only some answers are known is unknown.
        counts[:, form.tree.slices[place]] = np.where(np.isnan(found).any(axis=1, keepdims=True), 0, found)
    return counts


def _find_total(
    form: VoteForm,
    place: int,
    columns: Columns,
    fractions: NDArray[np.float64],
    totals: NDArray[np.float64],
    complain: Complain,
) -> NDArray[np.float64]:
    """Return how many people were asked a question, (B,), from what is known of those before it."""
    question = form.tree.questions[place]
    own = form.naming.total_column(question)
    if own is not None and own in form.own_totals:
        name, total = own, columns[own]
    elif question.after is not None:
        leading = fractions[:, list(form.tree.parents[place])].sum(axis=1)
        share: NDArray[np.float64] = totals[:, form.tree.index(question.after)] * leading
        return share
    else:
        assert form.galaxy_total is not None  # choose_form has seen to it
        name, total = form.galaxy_total, columns[form.galaxy_total]
    complain(name, (total < 0) | np.isinf(total), "expected a number of people, 0 or more")
    return total
