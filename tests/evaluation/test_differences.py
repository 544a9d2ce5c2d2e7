"""What lies between two heads, and how sure it is: worked by hand, and by simulation."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from galaxies.evaluation.differences import Differences, find_differences

Z = 1.959964


def certain(predicted: NDArray[np.int64], share: float = 0.8, num_classes: int = 2) -> NDArray[np.float64]:
    """Return probabilities (B, K) of a head that gives the predicted class ``share``."""
    return np.where(np.arange(num_classes) == predicted[:, None], share, (1 - share) / (num_classes - 1))


def differences(targets: list[int], first: list[int], second: list[int], num_classes: int = 2) -> Differences:
    one, other = (certain(np.array(predicted), num_classes=num_classes) for predicted in (first, second))
    return find_differences(np.array(targets), one, other, np.arange(len(targets)))


def test_an_accuracy_is_compared_as_agresti_and_min_do() -> None:
    """Of 40 galaxies 5 are right in the second only, 1 in the first only."""
    targets = np.zeros(40, np.int64)
    first, second = np.where(np.arange(40) < 5, 1, 0), np.where(np.arange(40) == 9, 1, 0)
    found = differences(targets.tolist(), first.tolist(), second.tolist())
    assert (found.first[0], found.second[0]) == (35 / 40, 39 / 40)
    # The jackknife divides the scatter of the 40 by 39; half a galaxy more each way adds 1 / 41^2.
    variance = (6 / 40 - (4 / 40) ** 2) / 39 + 1 / 41**2
    ends = 0.1 - Z * np.sqrt(variance), 0.1 + Z * np.sqrt(variance)
    assert (found.low[0], found.high[0]) == pytest.approx(ends)
    assert found.probability[0] == pytest.approx(norm.cdf(0.1 / np.sqrt(variance)))


def test_equal_probabilities_differ_by_nothing() -> None:
    found = differences([0, 1, 1], [0, 1, 0], [0, 1, 0])
    np.testing.assert_array_equal([found.low, found.high], 0)
    np.testing.assert_array_equal(found.probability, 0.5)


def test_heads_that_merely_agree_so_far_may_differ() -> None:
    """The same classes with other confidence: right and wrong about the same 50 galaxies, but not the same head."""
    targets, predicted = np.arange(50) % 2, np.where(np.arange(50) < 10, 0, np.arange(50) % 2)
    found = find_differences(targets, certain(predicted), certain(predicted, 0.9), np.arange(50))
    assert found.second[0] - found.first[0] == 0
    assert (found.low[0], found.high[0]) == pytest.approx((-Z / 51, Z / 51))
    assert found.probability[[0, 1, 2, 4, 5]].tolist() == [0.5] * 5
    assert (found.low < 0).all()
    assert (found.high > 0)[[0, 1, 2, 4, 5]].all()
    # A lower loss is a better one.
    assert found.second[3] < found.first[3]
    assert found.probability[3] > 0.8


def test_a_group_counts_once() -> None:
    generator = np.random.default_rng(0)
    targets, first, second = generator.integers(2, size=(3, 200))
    once = find_differences(targets, certain(first), certain(second), np.arange(200))
    rows = np.repeat(np.arange(200), 2)
    twice = find_differences(targets[rows], certain(first[rows]), certain(second[rows]), rows)
    np.testing.assert_allclose(twice.high - twice.low, once.high - once.low, rtol=0.01)


def test_absent_and_lone_classes() -> None:
    """No galaxy of the fourth class, one of the third, which the second head alone finds."""
    found = differences([0, 0, 1, 1, 2], [0, 0, 1, 0, 0], [0, 0, 1, 1, 2], num_classes=4)
    assert np.isnan([found.low[7], found.high[7], found.probability[7]]).all()
    others = np.arange(7)
    assert np.isfinite([found.low[others], found.high[others], found.probability[others]]).all()
    bounded = [0, 1, 2, 4, 5, 6]
    assert (found.high[bounded] <= 1).all()
    alone = find_differences(np.array([0]), certain(np.array([1])), certain(np.array([0])), np.zeros(1, np.int64))
    assert alone.low[0] < 1 == alone.high[0]


def test_95_percent_intervals_cover_at_least_93_percent() -> None:
    """Heads that agree about 19 galaxies of 20; a tenth of the 300 stand there twice. The truth is half a percent."""
    generator = np.random.default_rng(0)
    drawn = np.concatenate([np.arange(270), np.arange(30)])
    covered = 0
    for _ in range(1000):
        targets = generator.integers(2, size=270)
        first, second = (np.where(generator.random(270) < share, 1 - targets, targets) for share in (0.03, 0.025))
        group = drawn
        found = find_differences(targets[drawn], certain(first[drawn]), certain(second[drawn]), group)
        covered += bool(found.low[0] <= 0.005 <= found.high[0])
    assert 930 <= covered <= 985
