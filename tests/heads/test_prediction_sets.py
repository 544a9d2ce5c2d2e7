"""Prediction sets hold the true class as often as promised, in every class, whatever the head is worth."""

import numpy as np
import pytest
from numpy.typing import NDArray

from galaxies.heads.calibration import fit_set_thresholds, predict_sets

SHARES = np.array([0.6, 0.3, 0.1])


def draw_galaxies(num_galaxies: int, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return classes of unequal shares, (B,), and what an over-confident head says of them, (B, K)."""
    targets = generator.choice(3, num_galaxies, p=SHARES)
    logits = 4 * (generator.normal(size=(num_galaxies, 3)) + 1.2 * np.eye(3)[targets])
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return targets, exponentials / exponentials.sum(axis=1, keepdims=True)


def test_the_thresholds_are_those_worked_out_by_hand() -> None:
    # 19 galaxies: floor(0.1 * 20) = 2, so the second smallest; 9 galaxies: floor(0.1 * 10) = 1, the smallest.
    targets = np.repeat([0, 1], [19, 9])
    of_label = np.concatenate([np.arange(19, 0, -1) / 20, np.arange(1, 10) / 10])
    probabilities = np.where(np.arange(2) == targets[:, None], of_label[:, None], 1 - of_label[:, None])
    np.testing.assert_allclose(fit_set_thresholds(targets, probabilities), [2 / 20, 1 / 10])


def test_classes_with_too_few_galaxies_share_a_threshold() -> None:
    targets = np.repeat([0, 1, 2], [9, 5, 4])
    of_label = np.concatenate([np.full(9, 0.7), [0.5, 0.4, 0.6, 0.8, 0.9], [0.3, 0.35, 0.45, 0.99]])
    probabilities = np.where(np.arange(3) == targets[:, None], of_label[:, None], 0.0)
    np.testing.assert_allclose(fit_set_thresholds(targets, probabilities), [0.7, 0.3, 0.3])


@pytest.mark.parametrize("num_galaxies", [0, 1, 8])
def test_where_nothing_can_be_promised_every_class_is_in_every_set(num_galaxies: int) -> None:
    targets, probabilities = draw_galaxies(num_galaxies, np.random.default_rng(0))
    thresholds = fit_set_thresholds(targets, probabilities)
    assert thresholds.tolist() == [0, 0, 0]
    assert predict_sets(np.array([[1.0, 0.0, 0.0]]), thresholds).all()


def test_a_set_holds_what_reaches_its_threshold_and_is_never_empty() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.4, 0.35, 0.25], [0.1, 0.1, 0.8]])
    sets = predict_sets(probabilities, np.array([0.5, 0.35, 0.9]))
    assert sets.tolist() == [[True, False, False], [True, True, False], [False, False, True]]


def test_another_coverage_can_be_promised() -> None:
    targets = np.zeros(9, np.int64)
    probabilities = np.stack([np.arange(1, 10) / 10, np.zeros(9)], axis=1)
    assert fit_set_thresholds(targets, probabilities, coverage=0.5)[0] == 0.5


def test_the_promise_holds_in_every_class_in_simulation() -> None:
    """1,000 calibrations on 150 galaxies: the mean coverage lies between the promise and what finite samples add to it.

    With n galaxies a class's coverage is 1 - floor((n + 1) / 10) / (n + 1) on average: 0.9 to 0.95 from n = 9 on.
    """
    generator = np.random.default_rng(0)
    test_targets, test_probabilities = draw_galaxies(6000, generator)
    # Without the most probable class, which is added so that no set is empty, the theory is exact.
    of_label = test_probabilities[np.arange(len(test_targets)), test_targets]
    covered, expected = np.zeros((1000, 3)), np.zeros((1000, 3))
    for trial in range(1000):
        targets, probabilities = draw_galaxies(150, generator)
        thresholds = fit_set_thresholds(targets, probabilities)
        hits = of_label >= thresholds[test_targets]
        covered[trial] = np.bincount(test_targets, hits, 3) / np.bincount(test_targets, minlength=3)
        counts = np.bincount(targets, minlength=3)
        expected[trial] = 1 - np.floor((counts + 1) / 10) / (counts + 1)
    assert (covered.mean(axis=0) >= 0.9 - 0.005).all()
    np.testing.assert_allclose(covered.mean(axis=0), expected.mean(axis=0), atol=0.012)
