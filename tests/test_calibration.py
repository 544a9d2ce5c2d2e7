"""One half of val chooses, the other calibrates; the temperature undoes over- and under-confidence."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from galaxies.calibration import divide_val, fit_temperature


def divide(targets: list[int], group: list[int], seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return divide_val(np.array(targets), np.array(group), generator=np.random.default_rng(seed))


def calibrated_logits(num_rows: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits, (B, 4), and targets drawn from just their probabilities."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(num_rows, 4)) * 2
    gumbel = generator.gumbel(size=logits.shape)
    return torch.from_numpy(logits), torch.from_numpy((logits + gumbel).argmax(1))


def test_the_halves_are_disjoint_whole_and_have_every_classs_share() -> None:
    targets = np.repeat(np.arange(3), [40, 21, 2])
    choosing, calibrating = divide_val(targets, np.arange(63), generator=np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(np.concatenate([choosing, calibrating])), np.arange(63))
    counts = np.bincount(targets[choosing]), np.bincount(targets[calibrating])
    assert np.abs(counts[0] - counts[1]).max() <= 1
    assert (np.diff(choosing) > 0).all()


def test_sky_groups_stay_whole() -> None:
    group = np.random.default_rng(0).integers(0, 25, 90)
    choosing, calibrating = divide(list(np.arange(90) % 4), group.tolist())
    assert not set(group[choosing]) & set(group[calibrating])
    assert len(choosing) > 20 < len(calibrating)


def test_the_division_follows_from_the_generator() -> None:
    targets, group = [0] * 10, list(range(10))
    np.testing.assert_array_equal(divide(targets, group)[0], divide(targets, group)[0])
    np.testing.assert_array_equal(divide(targets, group)[1], [0, 2, 4, 8, 9])
    assert divide(targets, group, seed=1)[1].tolist() != [0, 2, 4, 8, 9]


@pytest.mark.parametrize(
    ("group", "num_choosing", "num_calibrating"),
    [([], 0, 0), ([5], 1, 1), ([5, 5, 5], 3, 3), ([5, 6], 1, 1), ([5, 6, 7], 2, 1)],
    ids=["none", "one", "one-group", "two", "three"],
)
def test_a_tiny_val_is_divided_or_serves_twice(group: list[int], num_choosing: int, num_calibrating: int) -> None:
    choosing, calibrating = divide([0] * len(group), group)
    assert (len(choosing), len(calibrating)) == (num_choosing, num_calibrating)


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
