"""The curves are scikit-learn's, one a class; abstaining is counted by hand."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from galaxies.evaluation.threshold_curves import tabulate_abstention, tabulate_threshold_curves

NAMES = ("round", "edge-on", "spiral")


def test_the_area_under_a_curve_is_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 3, 400)
    probabilities = generator.dirichlet(np.ones(3), 400) * 0.6 + 0.4 * np.eye(3)[targets]
    table = tabulate_threshold_curves(targets, probabilities, NAMES)
    for target, name in enumerate(NAMES):
        roc = table[(table["curve"] == "ROC") & (table["class_name"] == name)]
        assert (roc["x"].iloc[0], roc["y"].iloc[0], roc["x"].iloc[-1], roc["y"].iloc[-1]) == (0, 0, 1, 1)
        assert roc["point"].tolist() == list(range(len(roc)))
        expected = roc_auc_score(targets == target, probabilities[:, target])
        assert np.trapezoid(roc["y"], roc["x"]) == pytest.approx(expected, abs=0.01)
    assert len(table) <= 6 * 40


def test_precision_and_recall_are_those_worked_out_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    table = tabulate_threshold_curves(np.array([0, 1, 0]), probabilities, NAMES[:2])
    curve = table[(table["curve"] == "precision-recall") & (table["class_name"] == "round")]
    assert curve[["x", "y"]].to_numpy().round(3).tolist() == [[0, 1], [0.5, 1], [0.5, 0.5], [1, 0.667]]


@pytest.mark.parametrize("targets", [[1], [1, 1, 1]], ids=["one", "all-of-one-class"])
def test_a_class_without_galaxies_or_without_others_has_no_curve(targets: list[int]) -> None:
    table = tabulate_threshold_curves(np.array(targets), np.full((len(targets), 3), 1 / 3), NAMES)
    assert list(table) == ["curve", "class_name", "point", "x", "y"]
    assert table.empty


def test_the_surest_are_answered_first() -> None:
    # In order of confidence: right, right, wrong, right.
    probabilities = np.array([[0.6, 0.4], [0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
    table = tabulate_abstention(np.array([0, 0, 1, 1]), probabilities)
    assert table["answered"].tolist() == [0.25, 0.5, 0.75, 1]
    assert table["confidence"].tolist() == [0.9, 0.8, 0.7, 0.6]
    np.testing.assert_allclose(table["accuracy"], [1, 1, 2 / 3, 3 / 4], atol=1e-4)
    assert ((table["accuracy_low"] <= table["accuracy"]) & (table["accuracy"] <= table["accuracy_high"])).all()


def test_one_galaxy_makes_a_curve_of_one_point() -> None:
    assert len(tabulate_abstention(np.array([1]), np.array([[0.4, 0.6]]))) == 1
