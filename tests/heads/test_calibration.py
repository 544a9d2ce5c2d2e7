"""The temperature undoes over- and under-confidence; the confidence threshold keeps its promise."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from galaxies.heads.calibration import fit_confidence_threshold, fit_temperature


def calibrated_logits(num_rows: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits, (B, 4), and targets drawn from just their probabilities."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(num_rows, 4)) * 2
    gumbel = generator.gumbel(size=logits.shape)
    return torch.from_numpy(logits), torch.from_numpy((logits + gumbel).argmax(1))


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_is_the_factor_by_which_logits_are_too_large(factor: float) -> None:
    logits, targets = calibrated_logits(4000)
    assert fit_temperature(logits.float() * factor, targets) == pytest.approx(factor, rel=0.08)


def test_no_other_temperature_has_a_lower_nll() -> None:
    logits, targets = calibrated_logits(300)
    logits *= 2.5

    def nll(temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits / temperature, targets))

    best = fit_temperature(logits, targets)
    assert nll(best) <= min(nll(best * 1.01), nll(best / 1.01), nll(1.0))


def test_too_few_rows_change_nothing() -> None:
    logits, targets = calibrated_logits(20)
    assert fit_temperature(logits[:19] * 5, targets[:19]) == 1.0
    assert fit_temperature(logits[:0], targets[:0]) == 1.0
    assert fit_temperature(logits * 5, targets) != 1.0


def test_a_head_that_is_always_right_or_always_wrong_stays_in_bounds() -> None:
    logits = torch.eye(3).repeat(10, 1)
    right, wrong = torch.arange(3).repeat(10), (torch.arange(3).repeat(10) + 1) % 3
    assert fit_temperature(logits, right) == pytest.approx(0.05, rel=0.01)
    assert fit_temperature(logits, wrong) == pytest.approx(20, rel=0.01)


def confident_rows(confidence: list[float], is_right: list[bool]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return targets and probabilities of two classes, where the first has the given probability."""
    first = np.array(confidence)
    return np.where(is_right, 0, 1), np.stack([first, 1 - first], axis=1)


@pytest.mark.parametrize(
    ("num_right", "expected"), [(22, 0.8), (21, np.inf), (0, np.inf)], ids=["22 suffice", "21 do not", "no rows"]
)
def test_it_takes_22_right_answers_to_promise_nine_in_ten(num_right: int, expected: float) -> None:
    """0.9 ** 22 is the first power below 0.1: so rarely are all right where 0.9 are on average."""
    assert fit_confidence_threshold(*confident_rows([0.8] * num_right, [True] * num_right)) == expected


def test_the_lowest_confidence_that_keeps_the_promise_is_taken() -> None:
    confidence = [0.99 - 0.01 * place for place in range(40)]
    # Of 38 one may be wrong: 0.9 ** 38 + 38 * 0.1 * 0.9 ** 37 < 0.1.
    rows = confident_rows(confidence, [place not in (5, 39) for place in range(40)])
    assert fit_confidence_threshold(*rows) == pytest.approx(confidence[38])
    assert fit_confidence_threshold(*rows, accuracy=0.8) == pytest.approx(confidence[39])
    assert fit_confidence_threshold(*confident_rows(confidence, [place not in (5, 36) for place in range(40)])) == np.inf


def test_nothing_right_means_no_answers() -> None:
    assert fit_confidence_threshold(*confident_rows([0.8] * 40, [False] * 40)) == np.inf


def test_rows_of_one_confidence_are_answered_together() -> None:
    targets, probabilities = confident_rows([0.9] * 30 + [0.7] * 10, [True] * 35 + [False] * 5)
    assert fit_confidence_threshold(targets, probabilities) == 0.9


def test_new_galaxies_above_the_threshold_are_right_nine_times_in_ten() -> None:
    shares, is_kept = [], []
    for seed in range(60):
        halves = [calibrated_logits(300, seed=2 * seed + half) for half in range(2)]
        (old, old_targets), (new, new_targets) = [(torch.softmax(x, 1).numpy(), t.numpy()) for x, t in halves]
        is_answered = new.max(axis=1) >= fit_confidence_threshold(old_targets, old)
        shares.append(is_answered.mean())
        is_kept.append((new.argmax(axis=1) == new_targets)[is_answered].sum() >= 0.9 * is_answered.sum())
    assert np.mean(is_kept) > 0.75
    assert np.mean(shares) > 0.15
