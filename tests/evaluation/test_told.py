"""What is measured of votes, numbers and tags is what hand and SciPy say."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from galaxies.data.questions import Question, QuestionTree
from galaxies.data.targets import Numbers, Tags, Votes
from galaxies.errors import InputError
from galaxies.evaluation.drawn_intervals import find_ends
from galaxies.evaluation.number_scores import OF_NUMBERS, OF_TAGS, measure_number, measure_tag
from galaxies.evaluation.told import tell_numbers, tell_tags, tell_votes
from galaxies.evaluation.told_baselines import predict_baselines
from galaxies.evaluation.told_comparison import compare_told
from galaxies.evaluation.told_predictions import SavedTold, parse_told, tells_no_classes
from galaxies.evaluation.told_tables import tabulate_density, tabulate_residuals, tabulate_told, tabulate_told_reliability
from galaxies.evaluation.vote_coverage import cover_as_printed, cover_randomised, find_positions
from galaxies.evaluation.vote_scores import find_agreement, log_likelihood, score_votes
from galaxies.heads.number_meaning import NumberPredictions
from galaxies.heads.vote_meaning import VotePredictions

TREE = QuestionTree("toy", (Question("smooth", ("yes", "no")), Question("bar", ("yes", "no"), "smooth", ("no",))))
VOTES = Votes(np.array([[9, 1, 0, 1], [5, 5, 5, 0], [0, 10, 2, 8]], np.float32), TREE)
SAID = VotePredictions(TREE, np.array([[8.0, 2, 1, 1], [4, 6, 6, 4], [1, 9, 3, 7]]), 10)


def test_votes_by_hand() -> None:
    overall, each = score_votes(VOTES, SAID, np.arange(3), generator=np.random.default_rng(0))
    # Of the first galaxy one of ten people was asked for a bar, which does not count.
    smooth, bar = np.array([0.9, 0.5, 0]), np.array([1, 0.2])
    expected = np.sqrt(np.square(smooth - [0.8, 0.4, 0.1]).mean())
    assert each.value[0, 1] == pytest.approx(expected)
    assert each.value[2, 1] == pytest.approx(np.sqrt(np.square(bar - [0.6, 0.3]).mean()))
    medians = stats.beta([8, 4, 1], [2, 6, 9]).median()
    assert each.value[0, 0] == pytest.approx(np.abs(medians - smooth).mean())
    # People agree about smooth of the first and third, and the bar of the second: the head gives the same three answers.
    assert overall.value[4] == 1
    betabinom = stats.betabinom
    likelihood = betabinom(10, 8, 2).logpmf(9) + betabinom(1, 1, 1).logpmf(0)
    assert log_likelihood(VOTES, SAID)[0] == pytest.approx(likelihood)
    assert overall.value[2] == pytest.approx(log_likelihood(VOTES, SAID).mean())


def test_agreement_needs_more_than_four_in_five() -> None:
    agree, right = find_agreement(VOTES, 1 - SAID.expected)
    assert agree.tolist() == [[True, False], [False, True], [True, False]]
    assert not right.any()


def test_positions_of_votes_are_the_beta_binomials() -> None:
    fewer, exactly = find_positions(VOTES, SAID)
    expected = stats.betabinom(10, [8, 4, 1], [2, 6, 9])
    np.testing.assert_allclose(fewer[:, 0], expected.cdf([8, 4, -1]), atol=1e-12)
    np.testing.assert_allclose(exactly[:, 0], expected.pmf([9, 5, 0]), atol=1e-12)
    covered = cover_as_printed(fewer, exactly)[:, 0]
    low, high = expected.ppf(0.05), expected.ppf(0.95)
    assert covered.tolist() == ((low <= [9, 5, 0]) & (high >= [9, 5, 0])).tolist()


def test_a_perfect_head_covers_nine_in_ten_with_randomised_ends_and_more_as_printed() -> None:
    generator = np.random.default_rng(0)
    concentrations = generator.gamma(2, 3, (4000, 2))
    people = generator.integers(5, 40, 4000)
    yes = generator.binomial(people, generator.beta(*concentrations.T))
    tree = QuestionTree("bar", (Question("bar", ("yes", "no")),))
    votes = Votes(np.stack([yes, people - yes], axis=1).astype(np.float32), tree)
    positions = find_positions(votes, VotePredictions(tree, concentrations, 20))
    assert cover_randomised(*positions, generator=generator)[:, 0].mean() == pytest.approx(0.9, abs=0.015)
    assert cover_as_printed(*positions)[:, 0].mean() > 0.92


def test_nobody_asked_and_one_answer_alone() -> None:
    tree = QuestionTree("one", (Question("galaxy", ("yes",)), Question("bar", ("yes", "no"))))
    votes = Votes(np.array([[7, 0, 0]], np.float32), tree)
    said = VotePredictions(tree, np.array([[3.0, 1, 1]]), 7)
    fewer, exactly = find_positions(votes, said)
    assert exactly[0, 0] == 1
    assert np.isnan(fewer[0, 1:]).all()
    told = tell_votes(votes, said)
    assert told.counts.tolist() == [[True, False, False]]
    assert log_likelihood(votes, said) == pytest.approx(0)


def test_numbers_by_hand_and_a_redshift_per_one_plus_z() -> None:
    values = np.array([[1.0, 1.0], [3.0, 0.0], [np.nan, np.nan], [2.0, 0.0]])
    numbers = Numbers(values, values * np.nan, ("size", "redshift"), ("", ""), ("linear", "linear"))
    value = np.array([[2.0, 1.4], [3.0, 0.1], [9.0, 9.0], [1.0, 0.0]])
    told = tell_numbers(numbers, NumberPredictions(value, value - 0.5, value + 0.5))
    size = dict(zip(OF_NUMBERS, measure_number(told, 0, np.arange(4)), strict=True))
    assert size["mae"] == pytest.approx(2 / 3)
    assert size["rmse"] == pytest.approx(np.sqrt(2 / 3))
    assert size["nmad"] == pytest.approx(1.4826)
    assert size["r2"] == pytest.approx(1 - 2 / 2)
    assert (size["coverage"], size["width"]) == (pytest.approx(1 / 3), 1)
    redshift = dict(zip(OF_NUMBERS, measure_number(told, 1, np.arange(4)), strict=True))
    assert redshift["mae"] == pytest.approx((0.2 + 0.1 + 0) / 3)
    assert redshift["outlier_share"] == pytest.approx(1 / 3)


def test_a_constant_number_has_no_share_explained() -> None:
    values = np.full((4, 1), 2.0)
    told = tell_numbers(Numbers(values, values, ("a",), ("",), ("linear",)), NumberPredictions(values, values, values))
    measured = dict(zip(OF_NUMBERS, measure_number(told, 0, np.arange(4)), strict=True))
    assert np.isnan(measured["r2"])
    assert (measured["mae"], measured["outlier_share"], measured["coverage"]) == (0, 0, 1)


def test_tags_count_where_they_are_known() -> None:
    tags = Tags(np.array([[1], [0], [-1], [1], [0]], np.int8), ("ring",))
    told = tell_tags(tags, np.array([[0.9], [0.6], [0.99], [0.4], [0.1]]))
    measured = dict(zip(OF_TAGS, measure_tag(told, 0, np.arange(5)), strict=True))
    assert measured["auc"] == pytest.approx(3 / 4)
    assert measured["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert measured["f1"] == pytest.approx(0.5)
    assert measured["calibration_error"] == pytest.approx((0.1 + 0.6 + 0.6 + 0.1) / 4)
    assert measured["base_rate"] == 0.5
    assert np.isnan(measure_tag(told, 0, np.array([0, 3]))[:2]).all()


def test_whole_groups_are_drawn() -> None:
    values = np.random.default_rng(0).normal(size=200)

    def mean(rows: np.ndarray) -> np.ndarray:
        return np.array([values[rows].mean()])

    alone = find_ends(mean, np.arange(200), generator=np.random.default_rng(0))
    values = np.repeat(values[:50], 4)
    together = find_ends(mean, np.repeat(np.arange(50), 4), generator=np.random.default_rng(0))
    assert (together.high - together.low)[0] == pytest.approx(2 * (alone.high - alone.low)[0], rel=0.35)


def test_the_tables_add_up() -> None:
    told = tell_votes(VOTES, SAID)
    assert tabulate_density(told).groupby("name")["count"].sum().to_dict() == dict(zip(told.names, [3, 3, 2, 2], strict=True))
    reliability = tabulate_told_reliability(told, ("smooth", "smooth", "bar", "bar"))
    assert reliability.groupby("name")["count"].sum().to_dict() == {"bar": 4, "smooth": 6}
    assert not len(tabulate_residuals(told, {"size": np.arange(3.0)}))
    many = tell_votes(VOTES.take(np.tile(np.arange(3), 10)), VotePredictions(TREE, np.tile(SAID.concentrations, (10, 1)), 10))
    residuals = tabulate_residuals(many, {"size": np.arange(30.0)})
    assert residuals.query("name == 'smooth_yes'")["count"].sum() == 30


def test_predictions_come_back_from_their_file() -> None:
    galaxies = pd.DataFrame({"row": [0, 1, 2], "galaxy": 0, "id": ["a", "b", "07"], "image_sha256": "f", "group": 0})
    told = tell_votes(VOTES, SAID)
    text = tabulate_told(told, galaxies).to_csv(index=False)
    assert tells_no_classes(text)
    saved = parse_told(text, "HEAD")
    assert (saved.names, saved.galaxies["id"].tolist()) == (told.names, ["a", "b", "07"])
    np.testing.assert_allclose(saved.true, told.true, atol=1e-4)
    np.testing.assert_allclose(saved.predicted, told.expected, atol=1e-4)


def saved(revision: str, scale: float) -> SavedTold:
    """Return predictions of 200 galaxies that are off by a scatter."""
    generator = np.random.default_rng(0)
    galaxies = pd.DataFrame(
        {"row": range(200), "id": [str(row) for row in range(200)], "image_sha256": "f", "group": range(200)}
    )
    true = generator.random((200, 2))
    return SavedTold(revision, galaxies, ("a", "b"), true, true + scale * generator.normal(size=(200, 2)))


def test_the_better_of_two_revisions_is_found_and_equal_ones_are_equal() -> None:
    found = compare_told(saved("A", 0.2), saved("B", 0.1))
    assert found["class_name"].tolist() == ["", "a", "b"]
    assert (found["high"] < 0).all()
    assert (found["probability"] > 0.99).all()
    np.testing.assert_allclose(found["second"] / found["first"], 0.5)
    same = compare_told(saved("A", 0.2), saved("B", 0.2))
    assert (same[["difference", "low", "high"]] == 0).all(axis=None)
    assert (same["probability"] == 0.5).all()


def test_revisions_that_tell_something_else_or_of_others_cannot_be_compared() -> None:
    first, second = saved("A", 0.2), saved("B", 0.1)
    with pytest.raises(InputError, match="A tells a, b, B tells a, c; only heads that tell the same"):
        compare_told(first, replace(second, names=("a", "c")))
    with pytest.raises(InputError, match="tested on different galaxies: 1 only there, 1 only here"):
        compare_told(first, replace(second, galaxies=second.galaxies.assign(id=[*map(str, range(1, 201))])))
    with pytest.raises(InputError, match="differ in what is true"):
        compare_told(first, replace(second, true=second.true + 1))


def test_baselines_use_what_is_known() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(300, 5)).astype(np.float32)
    true = (features[:, :1] + 0.1 * generator.normal(size=(300, 1))).astype(np.float64)
    true[::3] = np.nan
    said = predict_baselines(features, np.hstack([true, true * np.nan]), train=np.arange(200), val=np.arange(200, 250))
    assert said["train_mean"][0, 0] == pytest.approx(np.nanmean(true[:200]))
    assert said["train_median"][0, 0] == pytest.approx(np.nanmedian(true[:200]))
    known = ~np.isnan(true[250:, 0])
    assert np.abs(said["ridge"][250:, 0] - true[250:, 0])[known].mean() < 0.15
    assert np.isnan(said["ridge"][:, 1]).all()
