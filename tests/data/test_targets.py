"""Votes, numbers and tags: what is known of each, by hand."""

import numpy as np
import pytest

from galaxies.data.questions import Question, QuestionTree
from galaxies.data.scales import SCALES, Scale, from_scale, is_in_domain, to_scale
from galaxies.data.targets import Numbers, Tags, Votes

TREE = QuestionTree("toy", (Question("shape", ("smooth", "disk")), Question("bar", ("yes",), "shape", ("disk",))))
# Some people, nobody, all for one answer, and a question with one answer.
COUNTS = np.array([[1, 3, 2], [0, 0, 0], [0, 5, 5], [0.5, 0, 0]], np.float32)


def test_votes_know_their_totals_and_fractions() -> None:
    votes = Votes(COUNTS, TREE)
    assert votes.totals.tolist() == [[4, 2], [0, 0], [5, 5], [0.5, 0]]
    np.testing.assert_array_equal(
        votes.fractions, np.array([[0.25, 0.75, 1], [np.nan, np.nan, np.nan], [0, 1, 1], [1, 0, np.nan]])
    )
    assert votes.known.tolist() == [True, False, True, True]
    assert votes.names == ("shape_smooth", "shape_disk", "bar_yes")


def test_votes_of_some_rows_and_questions() -> None:
    votes = Votes(COUNTS, TREE).take(np.array([2, 0])).select(["bar"])
    assert votes.counts.tolist() == [[5], [2]]
    assert votes.names == ("bar_yes",)
    assert len(votes) == 2


def test_numbers_on_their_scales() -> None:
    numbers = Numbers(
        np.array([[100.0, 0.5, 3.0], [np.nan, np.nan, np.nan], [1.0, np.nan, 4.0]]),
        np.array([[10.0, 0.1, np.nan], [1.0, 1.0, 1.0], [0.0, 1.0, 2.0]]),
        ("mass", "fraction", "z"),
        ("Msun", "", ""),
        ("log10", "logit", "linear"),
    )
    assert numbers.known.tolist() == [True, False, True]
    values, errors = numbers.scaled()
    np.testing.assert_allclose(values, np.array([[2, 0, 3], [np.nan, np.nan, np.nan], [0, np.nan, 4]]))
    # 10 of 100 are 0.1 / ln(10) dex; the logit has the slope 4 at one half.
    np.testing.assert_allclose(errors[0], [0.1 / np.log(10), 0.4, np.nan])
    assert errors[2, 2] == 2
    assert numbers.take(np.array([2])).values[0, 0] == 1


@pytest.mark.parametrize("scale", SCALES)
def test_a_scale_and_back(scale: Scale) -> None:
    values = np.array([1e-9, 0.2, 0.5, 1 - 1e-9])
    assert is_in_domain(values, scale).all()
    there, _ = to_scale(values, np.ones(4), scale)
    np.testing.assert_allclose(from_scale(there, scale), values, rtol=1e-12)
    # Far out there is an end, not a warning.
    assert np.isfinite(from_scale(np.array([-1e4, 1e4]), scale)).all()


def test_what_has_no_place_on_a_scale() -> None:
    values = np.array([-1.0, 0.0, 1.0, np.nan, np.inf])
    assert is_in_domain(values, "linear").tolist() == [True, True, True, False, False]
    assert is_in_domain(values, "log10").tolist() == [False, False, True, False, False]
    assert is_in_domain(values, "logit").tolist() == [False] * 5


def test_an_unknown_tag_is_not_a_no() -> None:
    tags = Tags(np.array([[1, -1], [-1, -1], [0, 0]], np.int8), ("ring", "dust lane"))
    assert tags.known.tolist() == [True, False, True]
    assert tags.take(np.array([0])).values.tolist() == [[1, -1]]
