"""What ``train`` makes of the columns of ``data/targets.parquet``: votes, numbers or tags, checked value by value.

Legend: N rows of the catalog, A answers of all questions, C numbers, T tags, B rows of a group.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from galaxies.data.catalog import Catalog
from galaxies.data.questions import QuestionTree, describe_kind
from galaxies.data.scales import Scale, describe_domain, is_in_domain
from galaxies.data.target_file import TargetFile, explain_missing
from galaxies.data.targets import UNKNOWN_TAG, Numbers, Tags, Votes
from galaxies.data.vote_columns import SUM_TOLERANCE, KindChoice, OddSums, choose_form, read_counts
from galaxies.errors import InputError

_SHOWN = 20

_logger = logging.getLogger(__name__)


@dataclass
class _Complaints:
    """What is wrong with columns, each said once, with how many rows and the first of them."""

    catalog: Catalog
    start: int = 0  # the first row of the present group
    found: dict[tuple[str, str], tuple[int, int, float]] = field(default_factory=dict)
    columns: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def begin(self, rows: slice, columns: dict[str, NDArray[np.float64]]) -> None:
        """Take the columns of the next group."""
        self.start, self.columns = rows.start, columns

    def complain(self, column: str, is_wrong: NDArray[np.bool_], expected: str) -> None:
        """Note the rows of the group, (B,), in which a column holds what it cannot."""
        if is_wrong.any():
            first = int(np.argmax(is_wrong))
            count, row, value = self.found.get((column, expected), (0, self.start + first, self.columns[column][first]))
            self.found[column, expected] = count + int(is_wrong.sum()), row, value

    def refuse(self) -> None:
        """Raise InputError that lists everything, if there is anything."""
        if not self.found:
            return
        ids = self.catalog.take(np.array([row for _, row, _ in self.found.values()])).ids.to_pylist()
        lines = [
            f"  {column}: {count} galaxies, first {name!r} with {value:g}: {expected}"
            for ((column, expected), (count, _, value)), name in zip(self.found.items(), ids, strict=True)
        ]
        more = [f"  and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        listing = "\n".join(lines[:_SHOWN] + more)
        raise InputError(f"The table of split.targets holds what it cannot:\n{listing}\nWhat is not known is an empty cell.")


def read_votes(file: TargetFile, catalog: Catalog, tree: QuestionTree, *, kind: KindChoice, questions: Sequence[str]) -> Votes:
    """Return the votes of all rows of the catalog.

    Args:
        file: the open targets.
        catalog: whose rows they are.
        tree: of the questions.
        kind: which kind of columns; auto takes the first that are there.
        questions: those that are wanted; empty: all.

    Raises:
        InputError: columns are missing, or hold what they cannot; all of it is listed.
    """
    _require_table(file)
    form = choose_form(tree, file.names, kind=kind, chosen=questions)
    complaints, odd_sums = _Complaints(catalog), OddSums()
    votes = Votes(np.zeros((len(catalog), form.tree.num_answers), np.float32), form.tree)
    for rows, columns in file.groups(form.columns):
        complaints.begin(rows, columns)
        votes.counts[rows] = read_counts(form, columns, complaints.complain, odd_sums)
    complaints.refuse()
    _logger.info("votes: the %s of %s.", describe_kind(form.naming.kind), tree.name)
    if odd_sums.num_galaxies:
        listing = ", ".join(f"{name} {count}" for name, count in odd_sums.by_question.items() if count)
        which = f"{describe_kind(form.naming.kind)} of {odd_sums.num_galaxies} of {len(catalog)} galaxies"
        if form.naming.kind == "debiased":
            found = f"did not add to 1 within {SUM_TOLERANCE:g}, and were renormalised ({listing})."
        else:
            found = f"add to less than {1 - SUM_TOLERANCE:g} ({listing}); is an answer missing from the tree?"
        _logger.info("votes: the %s %s", which, found)
    return votes


def read_numbers(
    file: TargetFile,
    catalog: Catalog,
    names: Sequence[str],
    *,
    scales: Sequence[Scale],
    units: Sequence[str],
    error_columns: Sequence[str],
) -> Numbers:
    """Return the numbers of all rows of the catalog.

    Args:
        file: the open targets.
        catalog: whose rows they are.
        names: of the C columns.
        scales: of each; empty: all linear.
        units: of each; empty: none.
        error_columns: of each, an empty text where there is none; empty: none at all.

    Raises:
        InputError: columns are missing, or hold what they cannot; all of it is listed.
    """
    errors_of = [name.lower() for name in error_columns or [""] * len(names)]
    values_of = [name.lower() for name in names]
    _require_columns(file, [*values_of, *filter(None, errors_of)])
    linear: Scale = "linear"
    wanted = tuple(scales) or (linear,) * len(names)
    complaints = _Complaints(catalog)
    values, errors = (np.full((len(catalog), len(names)), np.nan) for _ in range(2))
    for rows, columns in file.groups(list(dict.fromkeys([*values_of, *filter(None, errors_of)]))):
        complaints.begin(rows, columns)
        for place, (name, error, scale) in enumerate(zip(values_of, errors_of, wanted, strict=True)):
            found = values[rows, place] = columns[name]
            is_wrong = ~np.isnan(found) & ~is_in_domain(found, scale)
            complaints.complain(name, is_wrong, f"expected {describe_domain(scale)} (train.scales: {scale})")
            if error:
                spread = errors[rows, place] = columns[error]
                complaints.complain(error, (spread < 0) | np.isinf(spread), "expected a standard deviation, 0 or more")
    complaints.refuse()
    return Numbers(values, errors, tuple(names), tuple(units) or ("",) * len(names), wanted)


def read_tags(file: TargetFile, catalog: Catalog, names: Sequence[str]) -> Tags:
    """Return the tags of all rows of the catalog. Raises InputError as :func:`read_numbers`."""
    wanted = [name.lower() for name in names]
    _require_columns(file, wanted)
    complaints = _Complaints(catalog)
    values = np.full((len(catalog), len(names)), UNKNOWN_TAG, np.int8)
    for rows, columns in file.groups(wanted):
        complaints.begin(rows, columns)
        for place, name in enumerate(wanted):
            found = columns[name]
            is_known = ~np.isnan(found)
            complaints.complain(name, is_known & (found != 0) & (found != 1), "expected 0 or 1")
            values[rows, place] = np.where(is_known, found == 1, UNKNOWN_TAG)
    complaints.refuse()
    return Tags(values, tuple(names))


def _require_table(file: TargetFile) -> None:
    if not file.names:
        raise InputError(
            "train.target: votes, numbers and tags stand in a table, and split.targets names none; "
            "`galaxies targets TABLE` writes it into params.yaml."
        )


def _require_columns(file: TargetFile, names: Sequence[str]) -> None:
    _require_table(file)
    missing = [name for name in dict.fromkeys(names) if name not in file.names]
    if missing:
        raise InputError(explain_missing(missing, file.names, file.left_out, "train.columns"))
