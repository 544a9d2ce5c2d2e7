"""Each metric is what one works out by hand, and is defined where classes are missing."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score

from galaxies.errors import InputError
from galaxies.evaluation.class_tables import tabulate_classes, tabulate_confusion
from galaxies.evaluation.differences import find_differences
from galaxies.evaluation.intervals import find_intervals
from galaxies.evaluation.reliability import tabulate_reliability
from galaxies.evaluation.scores import list_intervals, measure, measure_calibration, measure_views
from galaxies.evaluation.threshold_curves import tabulate_abstention, tabulate_threshold_curves

NAMES = ("round", "edge-on", "spiral")
# By hand: right are rows 0, 1, 3 and 5. Recall 2/3, 1/2, 1/1; precision 2/3, 1/1, 1/2; F1 2/3, 2/3, 2/3.
TARGETS = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 2, 1, 0, 2])
COUNTS = np.array([5, 3, 2])


def certain(predicted: NDArray[np.int64], probability: float = 0.8, num_classes: int = 3) -> NDArray[np.float64]:
    """Return probabilities, (B, K): ``probability`` for the predicted class, equal shares of the rest for the others."""
    rest = (1 - probability) / (num_classes - 1)
    return np.where(np.arange(num_classes) == predicted[:, None], probability, rest)


def measured(targets: Any, predicted: Any, **changes: Any) -> dict[str, float]:
    return measure(np.array(targets), certain(np.array(predicted), **changes), train_counts=COUNTS)


def test_the_metrics_are_those_worked_out_by_hand() -> None:
    metrics = measured(TARGETS, PREDICTED)
    assert metrics["accuracy"] == pytest.approx(4 / 6, abs=1e-4)
    assert metrics["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3, abs=1e-4)
    assert metrics["macro_f1"] == pytest.approx(2 / 3, abs=1e-4)
    assert metrics["nll"] == pytest.approx(-(4 * np.log(0.8) + 2 * np.log(0.1)) / 6, abs=1e-4)
    # Right: 0.2^2 + 2 * 0.1^2; wrong: 0.9^2 + 0.8^2 + 0.1^2.
    assert metrics["brier"] == pytest.approx((4 * 0.06 + 2 * 1.46) / 6, abs=1e-4)
    # All galaxies are in one bin, which promises 0.8 and keeps 4/6.
    assert metrics["ece"] == pytest.approx(0.8 - 4 / 6, abs=1e-4)
    # 4 right of 6; label counts 3, 2, 1, predicted counts 3, 1, 2 (Gorodkin 2004, R_K).
    assert metrics["mcc"] == pytest.approx((4 * 6 - 13) / np.sqrt((36 - 14) * (36 - 14)), abs=1e-4)


def test_the_second_best_counts_for_top_2() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    metrics = measure(np.array([0, 1, 2, 2]), probabilities, train_counts=COUNTS)
    assert metrics["top2_accuracy"] == 0.75
    generator = np.random.default_rng(0)
    targets, probabilities = generator.integers(0, 5, 300), generator.dirichlet(np.ones(5), 300)
    expected = top_k_accuracy_score(targets, probabilities, k=2)
    measured_here = measure(targets, probabilities, train_counts=np.ones(5, np.int64))["top2_accuracy"]
    assert measured_here == pytest.approx(expected, abs=1e-4)


def test_the_line_to_beat_is_that_of_the_train_rows() -> None:
    metrics = measured(TARGETS, PREDICTED)
    # Always class 0: recall 1, 0, 0; F1 2 * 3 / (6 + 3), 0, 0.
    assert metrics["majority_accuracy"] == pytest.approx(1 / 2, abs=1e-4)
    assert metrics["majority_balanced_accuracy"] == pytest.approx(1 / 3, abs=1e-4)
    assert metrics["majority_macro_f1"] == pytest.approx(2 / 9, abs=1e-4)
    assert metrics["prior_nll"] == pytest.approx(-(3 * np.log(0.5) + 2 * np.log(0.3) + np.log(0.2)) / 6, abs=1e-4)


def test_the_majority_is_found_in_train_and_not_in_test() -> None:
    assert measured([1, 1, 1, 0], [1, 1, 1, 0])["majority_accuracy"] == 0.25


def test_the_names_are_short_few_and_in_order_of_interest() -> None:
    metrics = measured(TARGETS, PREDICTED)
    assert list(metrics)[:4] == ["accuracy", "balanced_accuracy", "macro_f1", "top2_accuracy"]
    assert metrics["num_galaxies"] == 6
    assert metrics["num_classes"] == 3
    assert len(metrics) <= 15


def test_metrics_have_few_digits() -> None:
    assert all(value == round(value, 4) for value in measured(TARGETS, PREDICTED).values())


def test_balanced_accuracy_agrees_with_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    targets, predicted = generator.integers(0, 3, (2, 200))
    expected = balanced_accuracy_score(targets, predicted)
    assert measured(targets, predicted)["balanced_accuracy"] == pytest.approx(expected, abs=1e-4)


def test_all_right_is_one_and_all_wrong_is_zero() -> None:
    right, wrong = measured(TARGETS, TARGETS, probability=1.0), measured(TARGETS, (TARGETS + 1) % 3, probability=1.0)
    assert [right[name] for name in ("accuracy", "balanced_accuracy", "macro_f1", "nll")] == [1, 1, 1, 0]
    assert [wrong[name] for name in ("accuracy", "balanced_accuracy", "macro_f1")] == [0, 0, 0]
    assert np.isfinite(wrong["nll"])


def test_a_class_without_test_galaxies_takes_no_part() -> None:
    assert measured([0, 0, 1], [0, 0, 1])["macro_f1"] == 1
    metrics = measured([0, 0, 1], [0, 2, 1])  # Predicted, but no galaxy is one.
    assert metrics["balanced_accuracy"] == 0.75
    assert metrics["macro_f1"] == pytest.approx((2 / 3 + 1) / 2, abs=1e-4)
    assert metrics["num_classes"] == 2


@pytest.mark.parametrize(("predicted", "accuracy"), [(1, 1.0), (2, 0.0)])
def test_one_test_galaxy_is_enough(predicted: int, accuracy: float) -> None:
    metrics = measured([1], [predicted])
    assert [metrics[name] for name in ("accuracy", "balanced_accuracy", "macro_f1")] == [accuracy] * 3
    assert metrics["num_galaxies"] == 1


def test_no_test_galaxies_are_an_error() -> None:
    with pytest.raises(InputError, match=r"no test galaxies; raise split\.test_fraction"):
        measure(np.arange(0), np.empty((0, 3)), train_counts=COUNTS)


def test_probabilities_that_are_not_finite_are_an_error() -> None:
    probabilities = certain(PREDICTED)
    probabilities[4, 1] = np.nan
    with pytest.raises(InputError, match="test galaxy 4 are not finite; the head is damaged"):
        measure(TARGETS, probabilities, train_counts=COUNTS)


def tabulated(targets: NDArray[np.int64], predicted: NDArray[np.int64]) -> pd.DataFrame:
    """Return the table of classes; every galaxy's set holds its predicted class and the first one."""
    probabilities = certain(predicted)
    sets = probabilities > 0.5
    sets[:, 0] = True
    intervals = find_intervals(targets, probabilities, np.arange(len(targets)), generator=np.random.default_rng(0))
    return tabulate_classes(targets, probabilities, sets, intervals, NAMES)


def test_each_class_has_its_line() -> None:
    table = tabulated(TARGETS, PREDICTED)
    assert table["class_name"].tolist() == list(NAMES)
    np.testing.assert_allclose(table["precision"], [2 / 3, 1, 1 / 2], atol=1e-4)
    np.testing.assert_allclose(table["recall"], [2 / 3, 1 / 2, 1], atol=1e-4)
    np.testing.assert_allclose(table["f1"], [2 / 3, 2 / 3, 2 / 3], atol=1e-4)
    assert table["support"].tolist() == [3, 2, 1]
    assert table["set_coverage"].tolist() == [1, 0.5, 1]
    np.testing.assert_allclose(table["set_size"], [4 / 3, 3 / 2, 2], atol=1e-4)
    np.testing.assert_allclose(table["single_class_sets"], [2 / 3, 1 / 2, 0], atol=1e-4)
    # Class 0 has the scores 0.8, 0.8, 0.1, the rest 0.1, 0.8, 0.1: of the 9 pairs 4 are in order and 4 tied.
    assert table["roc_auc"][0] == pytest.approx((4 + 4 / 2) / 9, abs=1e-4)
    assert (table["f1_low"] <= table["f1"]).all()
    assert (table["f1"] <= table["f1_high"]).all()


def test_a_class_without_galaxies_has_a_line_of_zeros() -> None:
    table = tabulated(np.array([0, 0]), np.array([0, 0]))
    spiral = table.iloc[2]
    assert spiral[["class_name", "support", "precision", "recall", "f1"]].tolist() == ["spiral", 0, 0.0, 0.0, 0.0]
    assert spiral[["f1_low", "f1_high"]].tolist() == [0, 1]
    assert table["roc_auc"].isna().all()


def test_the_confusion_table_has_every_pair_of_classes_by_name_in_order() -> None:
    table = tabulate_confusion(TARGETS, PREDICTED, NAMES)
    assert table[["label", "predicted"]].iloc[[0, 1, 3, 8]].to_numpy().tolist() == [
        ["round", "round"],
        ["round", "edge-on"],
        ["edge-on", "round"],
        ["spiral", "spiral"],
    ]
    assert table["count"].tolist() == [2, 0, 1, 1, 1, 0, 0, 0, 1]
    np.testing.assert_allclose(table["share"], [2 / 3, 0, 1 / 3, 1 / 2, 1 / 2, 0, 0, 0, 1], atol=1e-4)


def test_a_label_without_galaxies_has_no_shares() -> None:
    table = tabulate_confusion(np.array([0]), np.array([2]), NAMES)
    assert table["count"].sum() == 1
    assert table.loc[table["label"] == "spiral", "share"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("targets", "predicted"),
    [([1], [1]), ([1], [2]), ([0, 1, 2], [0, 1, 2]), ([0, 1, 2], [1, 2, 0]), ([0, 0, 2], [0, 1, 2]), ([0, 0], [0, 0])],
    ids=["one-right", "one-wrong", "all-right", "all-wrong", "absent-but-predicted", "one-class"],
)
@pytest.mark.parametrize("probability", [0.8, 1.0])
def test_every_number_is_defined(targets: list[int], predicted: list[int], probability: float) -> None:
    """Whatever `evaluate` writes; warnings are errors here."""
    truth, probabilities = np.array(targets), certain(np.array(predicted), probability)
    sets, rows = probabilities > 0.5, np.arange(len(targets))
    intervals = find_intervals(truth, probabilities, rows, generator=np.random.default_rng(0))
    metrics = measure(truth, probabilities, train_counts=COUNTS)
    metrics |= measure_calibration(truth, probabilities, sets, temperature=1.5, confidence_threshold=0.5)
    assert np.isfinite(list(metrics.values())).all()
    classes = tabulate_classes(truth, probabilities, sets, intervals, NAMES)
    tables = [
        classes.drop(columns=["roc_auc", "average_precision"]),  # Empty where there is nothing to tell apart.
        tabulate_confusion(truth, np.array(predicted), NAMES),
        tabulate_reliability(truth, probabilities),
        tabulate_abstention(truth, probabilities),
        tabulate_threshold_curves(truth, probabilities, NAMES),
    ]
    for table in tables:
        assert np.isfinite(table.select_dtypes("number")).all(axis=None)
    for name, ends in list_intervals(intervals).items():
        assert ends["low"] <= metrics[name] <= ends["high"]
    assert (classes["f1_low"] <= classes["f1"]).all()
    assert (classes["f1"] <= classes["f1_high"]).all()


def test_what_the_temperature_changed_and_what_the_sets_are_worth() -> None:
    """A head that was twice as sure as it should have been: its temperature of 2 took it from 0.941 to 0.8."""
    probabilities = certain(np.array([0] * 10), 0.8, num_classes=2)
    targets = np.array([0] * 8 + [1] * 2)
    sets = np.ones((10, 2), bool)
    sets[:3, 1] = False
    report = measure_calibration(targets, probabilities, sets, temperature=2.0, confidence_threshold=0.8)
    assert report["ece"] == 0
    assert report["ece_before"] == pytest.approx(0.8**2 / (0.8**2 + 0.2**2) - 0.8, abs=1e-4)
    assert report["nll"] < report["nll_before"]
    assert report["brier"] < report["brier_before"]
    assert (report["set_coverage"], report["set_size"], report["single_class_sets"]) == (1, 1.7, 0.3)
    assert (report["confident_share"], report["confident_accuracy"]) == (1, 0.8)
    silent = measure_calibration(targets, probabilities, sets, temperature=2.0, confidence_threshold=np.inf)
    assert silent["confident_share"] == 0
    assert "confident_accuracy" not in silent


def test_views_are_averaged_as_probabilities() -> None:
    """The first view is wrong by a little, the second right by much: together they are right."""
    views = [np.array([[0.45, 0.55]]), np.array([[0.85, 0.15]])]
    found = measure_views(np.array([0]), views, np.zeros(1, np.int64))
    assert found["num_views"] == 2
    assert (found["accuracy"]["one_view"], found["accuracy"]["mean_of_views"]) == (0, 1)
    before, after = round(-np.log(0.45), 4), round(-np.log(0.65), 4)
    assert (found["nll"]["one_view"], found["nll"]["mean_of_views"]) == (before, after)
    assert found["nll"]["difference"] == pytest.approx(after - before, abs=1e-4)
    assert measure_views(np.array([0]), views[:1], np.zeros(1, np.int64)) == {"num_views": 1}


def test_what_averaging_changes_has_the_interval_of_a_comparison() -> None:
    generator = np.random.default_rng(0)
    targets, group = np.arange(60) % 3, np.arange(60) // 2
    views = [softmax(generator.normal(size=(60, 3)) + np.eye(3)[targets], axis=1) for _ in range(8)]
    found = measure_views(targets, views, group)
    expected = find_differences(targets, views[0], np.mean(views, axis=0), group)
    for place, name in enumerate(("accuracy", "balanced_accuracy", "macro_f1", "nll")):
        low, high = found[name]["low"], found[name]["high"]
        assert (low, high) == (round(expected.low[place], 4), round(expected.high[place], 4))
        assert low < found[name]["difference"] < high


def test_the_intervals_are_listed_by_name() -> None:
    intervals = find_intervals(TARGETS, certain(PREDICTED), np.arange(6), generator=np.random.default_rng(0))
    listed = list_intervals(intervals)
    assert list(listed) == ["accuracy", "balanced_accuracy", "macro_f1", "nll"]
    assert listed["accuracy"] == {"low": round(intervals.low[0], 4), "high": round(intervals.high[0], 4)}
