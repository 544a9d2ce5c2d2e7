"""Votes from the columns of tables, each kind worked out by hand."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from galaxies.data.questions import Naming, Question, QuestionTree
from galaxies.data.vote_columns import KindChoice, OddSums, choose_form, read_counts
from galaxies.errors import InputError

COUNTS = Naming("counts", "{question}_{answer}", "{question}_n")
FRACTIONS = Naming("fractions", "{question}_{answer}_frac", "{question}_n")
DEBIASED = Naming("debiased", "{question}_{answer}_deb")
TREE = QuestionTree(
    "toy",
    (
        Question("Shape", ("smooth", "disk", "star")),
        Question("edge", ("yes", "no"), "Shape", ("disk",)),
        Question("bar", ("bar",), "edge", ("no",)),
        Question("odd", ("yes", "no"), "Shape", ("smooth", "disk")),
    ),
    (COUNTS, FRACTIONS, DEBIASED),
    ("People",),
)
NAN = float("nan")


def read(
    columns: Mapping[str, Any],
    *,
    kind: KindChoice = "auto",
    chosen: tuple[str, ...] = ("Shape", "edge"),
    tree: QuestionTree = TREE,
    odd_sums: OddSums | None = None,
) -> tuple[list[list[float]], list[str]]:
    """Return the votes, rounded, and what was complained of."""
    complaints: list[str] = []

    def complain(column: str, is_wrong: NDArray[np.bool_], expected: str) -> None:
        if is_wrong.any():
            complaints.append(f"{column} {np.flatnonzero(is_wrong).tolist()} {expected}")

    form = choose_form(tree, list(columns), kind=kind, chosen=chosen)
    arrays = {name: np.array(columns[name], np.float64) for name in form.columns}
    counts = read_counts(form, arrays, complain, odd_sums or OddSums())
    return counts.astype(float).round(3).tolist(), complaints


def shape(*fractions: list[float], suffix: str = "_frac") -> dict[str, list[float]]:
    """Return columns of the first question, of which a galaxy has three fractions each."""
    names = (f"shape_{answer}{suffix}" for answer in ("smooth", "disk", "star"))
    return dict(zip(names, map(list, zip(*fractions, strict=True)), strict=True))


def edge(*fractions: list[float], suffix: str = "_frac") -> dict[str, list[float]]:
    names = (f"edge_{answer}{suffix}" for answer in ("yes", "no"))
    return dict(zip(names, map(list, zip(*fractions, strict=True)), strict=True))


def test_counts_are_taken_as_they_are() -> None:
    # Whole ones, a galaxy nobody was asked about, an unknown one, one of which one answer is unknown, and weighted ones.
    columns = shape([1, 3, 0], [0, 0, 0], [NAN, NAN, NAN], [1, NAN, 2], [0.5, 1.25, 0], suffix="")
    counts, complaints = read(columns, chosen=("Shape",))
    assert counts == [[1, 3, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0.5, 1.25, 0]]
    assert not complaints


def test_counts_may_have_a_number_of_people_that_they_must_not_exceed() -> None:
    columns = {**shape([1, 3, 0], [4, 4, 0], [1, 1, 1], [2, 2, 2], suffix=""), "shape_n": [5, 7, NAN, 6]}
    _, complaints = read(columns, chosen=("Shape",))
    assert complaints == ["shape_n [1] the counts of Shape add to more than this"]


def test_counts_are_not_below_zero_and_finite() -> None:
    _, complaints = read(shape([1, -3, 0], [np.inf, 0, 0], suffix=""), chosen=("Shape",))
    assert complaints == [
        "shape_smooth [1] expected a number of people, 0 or more",
        "shape_disk [0] expected a number of people, 0 or more",
    ]


def test_fractions_with_a_total_a_question() -> None:
    columns = {
        **shape([0.25, 0.5, 0.25], [0, 0, 0], [1, 0, 0], [0.2, 0.3, 0.5]),
        **edge([0.2, 0.8], [NAN, NAN], [0, 0], [0.5, 0.5]),
        "shape_n": [40, 30, 20, NAN],
        "edge_n": [10, 0, 0, 4],
    }
    counts, complaints = read(columns)
    assert counts == [[10, 20, 10, 2, 8], [0] * 5, [20, 0, 0, 0, 0], [0, 0, 0, 2, 2]]
    assert not complaints


def test_a_question_without_a_total_of_its_own_takes_it_from_the_way_there() -> None:
    columns = {
        **shape([0.25, 0.5, 0.25], [1, 0, 0]),
        **edge([0.2, 0.8], [0.5, 0.5]),
        "bar_bar_frac": [1, 1],
        **{"odd_yes_frac": [0.1, 0], "odd_no_frac": [0.9, 1]},
        "people": [40, 20],
    }
    counts, _ = read(columns, chosen=())
    # 40 people, of whom half saw a disk, of whom 0.8 saw it not edge-on; three quarters were asked what is odd.
    assert counts[0] == [10, 20, 10, 4, 16, 16, 3, 27]
    # Everybody saw a smooth one: nobody came to the other questions, whatever stands there.
    assert counts[1] == [20, 0, 0, 0, 0, 0, 0, 20]


def test_the_nearest_total_on_the_way_counts() -> None:
    columns = {**shape([0.25, 0.5, 0.25]), **edge([0.2, 0.8]), "bar_bar_frac": [1], "edge_n": [10], "shape_n": [40]}
    assert read(columns, chosen=("Shape", "edge", "bar"))[0] == [[10, 20, 10, 2, 8, 8]]


def test_some_questions_are_read_with_their_columns_alone() -> None:
    columns = {**shape([0.25, 0.5, 0.25]), **edge([0.2, 0.8]), "people": [40]}
    form = choose_form(TREE, [*columns, "odd_yes_frac"], kind="auto", chosen=["edge", "Shape"])
    assert [question.name for question in form.tree.questions] == ["Shape", "edge"]
    assert set(form.columns) == set(columns)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (("Shape", "bar"), r"train\.columns: bar comes after edge; name that too, since it says how many people are asked\."),
        (("bar", "odd"), r"train\.columns: bar comes after Shape, edge; odd comes after Shape; name that too"),
    ],
)
def test_a_question_is_not_torn_from_those_that_lead_to_it(chosen: tuple[str, ...], message: str) -> None:
    """Without them everybody would be told to be asked about a bar: 40 people instead of 3."""
    columns = {**shape([3, 33, 4], suffix=""), **edge([30, 3], suffix=""), "bar_bar": [3], "odd_yes": [1], "odd_no": [35]}
    with pytest.raises(InputError, match=message):
        choose_form(TREE, list(columns), kind="counts", chosen=chosen)


def test_debiased_fractions_are_renormalised_and_counted() -> None:
    columns = {
        **shape([0.5, 1.0, 0.5], [0.2, 0.1, 0.1], [0.25, 0.5, 0.255], [0, 0, 0], suffix="_deb"),
        **edge([0.1, 0.3], [0.5, 0.5], [0.25, 0.75], [0.5, 0.5], suffix="_deb"),
        "people": [40, 40, 40, 40],
    }
    odd_sums = OddSums()
    counts, complaints = read(columns, odd_sums=odd_sums)
    assert counts[0] == [10, 20, 10, 5, 15]
    assert counts[1] == [20, 10, 10, 5, 5]
    assert counts[2] == pytest.approx([9.95, 19.9, 10.149, 4.975, 14.925], abs=1e-3)
    assert counts[3] == [0, 0, 0, 0, 0]
    assert not complaints
    # The third is within 0.02, and of the last nothing is known.
    assert (odd_sums.num_galaxies, odd_sums.by_question) == (2, {"Shape": 2, "edge": 1})


def test_fractions_that_add_to_less_than_1_are_counted_and_stay() -> None:
    columns = {
        # 0.3, within the tolerance below and above, nothing known, nobody asked.
        **shape([0.1, 0.1, 0.1], [0.5, 0.49, 0], [0.5, 0.5, 0.01], [NAN, 0.1, 0.1], [0, 0, 0]),
        **edge([0.5, 0.5], [0.2, 0.3], [0.1, 0.1], [0.1, 0.1], [0, 0]),
        "shape_n": [40] * 5,
        "edge_n": [10] * 5,
    }
    odd_sums = OddSums()
    counts, complaints = read(columns, odd_sums=odd_sums)
    assert counts[0] == [4, 4, 4, 5, 5]
    assert not complaints
    assert (odd_sums.num_galaxies, odd_sums.by_question) == (4, {"Shape": 1, "edge": 3})


def test_fractions_are_between_0_and_1_and_add_to_no_more() -> None:
    columns = {**shape([-0.1, 0.5, 0.6], [0.5, 0.5, 1.5], [0.5, 0.5, 0.5]), "people": [40, -1, 40]}
    _, complaints = read(columns, chosen=("Shape",))
    assert complaints == [
        "shape_smooth_frac [0] expected a fraction from 0 to 1",
        "shape_star_frac [1] expected a fraction from 0 to 1",
        "shape_smooth_frac [1, 2] the fractions of Shape add to more than 1; are they debiased?",
        "people [1] expected a number of people, 0 or more",
    ]


def test_the_first_kind_that_is_there_is_taken_unless_one_is_named() -> None:
    columns = {
        **shape([0.25, 0.5, 0.25]),
        **shape([2, 1, 1], suffix=""),
        **shape([1.0, 0.5, 0.5], suffix="_deb"),
        "people": [40],
    }
    assert read(columns, chosen=("Shape",))[0] == [[2, 1, 1]]
    assert read(columns, chosen=("Shape",), kind="fractions")[0] == [[10, 20, 10]]
    assert read(columns, chosen=("Shape",), kind="debiased")[0] == [[20, 10, 10]]


@pytest.mark.parametrize(
    ("names", "kind", "message"),
    [
        (
            ["shape_smooth", "shape_disk"],
            "auto",
            r"nearest are its counts, of which it lacks shape_star, edge_yes, edge_no\. Name",
        ),
        (["shape_smooth_deb", "shape_disk_deb", "shape_star_deb", "edge_yes_deb", "edge_no_deb"], "auto", "lacks People"),
        (["shape_smooth_frac"], "fractions", "nearest are its fractions, of which it lacks shape_disk_frac, .*, shape_n"),
    ],
)
def test_what_is_missing_of_the_nearest_form_is_listed(names: list[str], kind: KindChoice, message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose_form(TREE, names, kind=kind, chosen=("Shape", "edge"))


def test_a_kind_that_the_tree_does_not_know_is_refused() -> None:
    tree = QuestionTree("toy", TREE.questions, (COUNTS,))
    with pytest.raises(InputError, match=r"train\.vote_columns: found debiased, but toy knows counts alone"):
        choose_form(tree, ["a"], kind="debiased", chosen=())
    with pytest.raises(InputError, match="toy has no question 'arms'"):
        choose_form(tree, ["a"], kind="auto", chosen=("arms",))
