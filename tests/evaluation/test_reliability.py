"""The calibration error is what one works out by hand, and falls when an over-confident head is calibrated."""

import numpy as np
import pytest
import torch

from galaxies.evaluation.reliability import change_temperature, expected_calibration_error, tabulate_reliability
from galaxies.heads.calibration import fit_temperature
from tests.heads.test_calibration import calibrated_logits


def test_the_calibration_error_is_that_worked_out_by_hand() -> None:
    # Bins of 1/15: 0.7 is in (10/15, 11/15], 0.8 in (11/15, 12/15], 0.9 in (13/15, 14/15].
    confidence = np.array([0.7, 0.7, 0.8, 0.9, 0.9])
    targets = np.array([0, 1, 0, 0, 0])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    table = tabulate_reliability(targets, probabilities)
    assert table["count"].tolist() == [2, 1, 2]
    np.testing.assert_allclose(table["confidence"], [0.7, 0.8, 0.9])
    np.testing.assert_allclose(table["accuracy"], [0.5, 1, 1])
    expected = (2 * 0.2 + 1 * 0.2 + 2 * 0.1) / 5
    assert expected_calibration_error(targets, probabilities) == pytest.approx(expected)


def test_the_calibration_error_of_an_over_confident_head_falls() -> None:
    logits, targets = calibrated_logits(2000)
    temperature = fit_temperature(3 * logits[:1000], targets[:1000])
    before = torch.softmax(3 * logits[1000:], dim=1).numpy()
    after = change_temperature(before, temperature)
    errors = [expected_calibration_error(targets[1000:].numpy(), probabilities) for probabilities in (before, after)]
    assert errors[1] < 0.5 * errors[0]


def test_another_temperature_divides_the_logits() -> None:
    logits, _ = calibrated_logits(5)
    logits[0, 0] = -np.inf  # A probability of 0 stays one.
    expected = torch.softmax(logits / 1.7, dim=1).numpy()
    changed = change_temperature(torch.softmax(logits, dim=1).numpy(), 1.7)
    np.testing.assert_allclose(changed, expected, rtol=1e-9)
