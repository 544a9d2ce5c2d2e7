"""The intervals hold what they promise, count sky groups once, and agree with the metrics they belong to."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from galaxies.evaluation.intervals import METRICS, Intervals, find_intervals, resample_sums, share_interval, sum_groups
from galaxies.evaluation.scores import measure


def draw_galaxies(num_galaxies: int, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return classes, (B,), and probabilities, (B, 3), of a head that is right about two times of three."""
    targets = generator.choice(3, num_galaxies, p=[0.5, 0.3, 0.2])
    logits = generator.normal(size=(num_galaxies, 3)) + 1.2 * np.eye(3)[targets]
    exponentials = np.exp(logits)
    return targets, exponentials / exponentials.sum(axis=1, keepdims=True)


def interval(targets: list[int], predicted: list[int], num_classes: int = 3) -> Intervals:
    probabilities = np.where(np.arange(num_classes) == np.array(predicted)[:, None], 0.8, 0.2 / (num_classes - 1))
    return find_intervals(np.array(targets), probabilities, np.arange(len(targets)), generator=np.random.default_rng(0))


@pytest.mark.parametrize("classes", [3, 4], ids=["all-present", "one-absent"])
def test_the_values_are_those_of_scikit_learn(classes: int) -> None:
    targets, probabilities = draw_galaxies(200, np.random.default_rng(0))
    probabilities = np.pad(probabilities * 0.99, [(0, 0), (0, classes - 3)], constant_values=0.01)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    result = find_intervals(targets, probabilities, np.arange(200), generator=np.random.default_rng(0), num_resamples=50)
    metrics = measure(targets, probabilities, train_counts=np.ones(classes, np.int64))
    assert result.value[:4] == pytest.approx([metrics[name] for name in METRICS], abs=1e-4)
    f1 = f1_score(targets, probabilities.argmax(axis=1), labels=range(classes), average=None, zero_division=0)
    np.testing.assert_allclose(np.nan_to_num(result.value[4:]), f1)
    inside = (result.low <= result.value) & (result.value <= result.high)
    assert inside[:7].all()


def test_a_resample_is_a_draw_of_groups_with_replacement() -> None:
    """The sums of a resample are those of the galaxies drawn, counted one by one."""
    targets, probabilities = draw_galaxies(40, np.random.default_rng(0))
    group = np.repeat(np.arange(20), 2)
    sums = sum_groups(targets, probabilities, group)
    resampled = resample_sums(sums, num_resamples=3, generator=np.random.default_rng(7))
    drawn = np.random.default_rng(7).integers(20, size=(3, 20))
    for number in range(3):
        rows = np.concatenate([np.flatnonzero(group == index) for index in drawn[number]])
        expected = sum_groups(targets[rows], probabilities[rows], np.zeros(len(rows), np.int64))[0]
        np.testing.assert_allclose(resampled[number], expected)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = sum_groups(*draw_galaxies(30, np.random.default_rng(0)), np.arange(30))
    whole = resample_sums(sums, num_resamples=10, generator=np.random.default_rng(0))
    monkeypatch.setattr("galaxies.evaluation.intervals._BLOCK_CELLS", 100)
    blocks = resample_sums(sums, num_resamples=10, generator=np.random.default_rng(0))
    np.testing.assert_allclose(blocks, whole, rtol=1e-12)


def test_galaxies_that_always_come_together_say_no_more_than_one() -> None:
    targets, probabilities = draw_galaxies(100, np.random.default_rng(0))
    twice = np.repeat(np.arange(100), 2)
    once, apart, together = (
        find_intervals(targets[rows], probabilities[rows], group, generator=np.random.default_rng(0))
        for rows, group in ((np.arange(100), np.arange(100)), (twice, np.arange(200)), (twice, twice))
    )
    width = once.high[0] - once.low[0]
    assert together.high[0] - together.low[0] == pytest.approx(width, rel=0.01)
    assert apart.high[0] - apart.low[0] == pytest.approx(width / np.sqrt(2), rel=0.1)
    of_classes = [1, 2, 4, 5, 6]
    for end in ("low", "high"):
        np.testing.assert_allclose(getattr(together, end)[of_classes], getattr(once, end)[of_classes])
    widths = [(result.high - result.low)[of_classes] for result in (apart, once)]
    np.testing.assert_allclose(widths[0] / widths[1], 1 / np.sqrt(2), rtol=0.1)


def test_the_seed_decides() -> None:
    targets, probabilities = draw_galaxies(50, np.random.default_rng(0))
    first, again, other = (
        find_intervals(targets, probabilities, np.arange(50), generator=np.random.default_rng(seed)).low for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_one_right_galaxy_proves_little() -> None:
    result = interval([1], [1])
    # Wilson, 1 of 1: 1 / (1 + 1.96^2) = 0.2065; as the F1 of a class 2 * 0.2065 / 1.2065.
    assert result.low[:3] == pytest.approx([0.2065, 0.2065, 0.2065], abs=1e-3)
    assert result.high[:3].tolist() == [1, 1, 1]
    assert (result.value[5], result.low[5], result.high[5]) == pytest.approx((1, 0.3424, 1), abs=1e-3)
    assert np.isnan([result.value[4], result.low[4], result.high[4]]).all()


def test_all_right_and_all_wrong_are_not_certain() -> None:
    right, wrong = interval([0, 1, 2] * 10, [0, 1, 2] * 10), interval([0, 1, 2] * 10, [1, 2, 0] * 10)
    assert (right.value[0], wrong.value[0]) == (1, 0)
    assert right.low[0] == pytest.approx(1 - wrong.high[0]) == pytest.approx(0.8865, abs=1e-3)
    np.testing.assert_allclose(wrong.low[:3], 0, atol=1e-12)
    np.testing.assert_allclose(right.high[:3], 1, atol=1e-12)
    assert (wrong.high[4:] > 0.1).all()
    assert (right.low[4:] < 0.9).all()


def test_a_mean_over_classes_counts_for_as_many_galaxies_as_the_jackknife_says() -> None:
    """Of 10 galaxies a class 8 are right, and the wrong ones are taken for a third class."""
    targets = np.repeat([0, 1], 10)
    result = interval(targets.tolist(), np.where(np.arange(20) % 10 < 8, targets, 2).tolist())
    # Without a right galaxy the recall of its class is 7/9, without a wrong one 8/9; half of that moves the mean.
    variance = 19 / 20 * (16 * ((7 / 9 - 0.8) / 2) ** 2 + 4 * ((8 / 9 - 0.8) / 2) ** 2)
    independent = 0.8 * 0.2 / variance
    assert independent == pytest.approx(17.05, abs=0.01)
    assert (result.low[1], result.high[1]) == pytest.approx(share_interval(0.8 * independent, independent))
    # The scatter among 20 groups is divided by 19, so that the 10 galaxies of a class count for 9.5; F1 is 2 s / (1 + s).
    low, high = (2 * end / (1 + end) for end in share_interval(0.8 * 9.5, 9.5))
    assert (result.low[4], result.value[4], result.high[4]) == pytest.approx((low, 2 * 0.8 / 1.8, high))


def test_a_rare_class_without_a_mistake_is_not_certain() -> None:
    """Eight of 10 are right in one class, 2 of 2 in the other, which would say nothing of what it is worth."""
    result = interval([0] * 10 + [1] * 2, [0] * 8 + [2] * 2 + [1] * 2)
    variance = 11 / 12 * (8 * ((7 / 9 - 0.8) / 2) ** 2 + 2 * ((8 / 9 - 0.8) / 2) ** 2)
    # With one galaxy more, nine tenths right, it would have 2.9 of 3.
    one_more = 2.9 / 3 * 0.1 / 3 / 2
    independent = 0.9 * 0.1 / (variance + one_more / 4)
    assert independent == pytest.approx(10.52, abs=0.01)
    assert (result.low[1], result.high[1]) == pytest.approx(share_interval(0.9 * independent, independent))


def test_one_group_and_a_class_in_one_group_have_intervals() -> None:
    """Without its only group there would be nothing to measure."""
    probabilities = np.eye(2)[[0, 0, 1]]
    together = find_intervals(np.array([0, 1, 1]), probabilities, np.zeros(3, np.int64), generator=np.random.default_rng(0))
    apart = find_intervals(np.array([0, 1, 1]), probabilities, np.arange(3), generator=np.random.default_rng(0))
    for result in (together, apart):
        assert np.isfinite([result.low, result.high]).all()
        assert ((result.low < result.value) & (result.value < result.high))[:3].all()


def test_the_interval_of_a_rare_class_covers_what_a_bootstrap_would_not() -> None:
    """Six galaxies of the rare class, 95 % of them right: in most test sets all are, and every resample says so."""
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        targets = np.repeat([0, 1], [94, 6])
        predicted = np.where(generator.random(100) < 0.05, 2, targets)
        result = find_intervals(targets, np.eye(3)[predicted], np.arange(100), generator=generator, num_resamples=2)
        covered += bool(result.low[5] <= 2 * 0.95 / 1.95 <= result.high[5])
    assert covered >= 180


@pytest.mark.parametrize("wrong", [0.33, 0.02], ids=["accuracy-0.67", "accuracy-0.98"])
def test_a_95_percent_interval_of_the_accuracy_covers_95_percent(wrong: float) -> None:
    """300 galaxies, a tenth of them twice, in 1,000 simulated test sets."""
    generator = np.random.default_rng(0)
    drawn = np.concatenate([np.arange(270), np.arange(30)])
    covered = 0
    for _ in range(1000):
        targets = generator.choice(3, 270, p=[0.5, 0.3, 0.2])[drawn]
        predicted = np.where((generator.random(270) < wrong)[drawn], (targets + 1) % 3, targets)
        result = find_intervals(targets, np.eye(3)[predicted], drawn, generator=generator, num_resamples=2)
        covered += bool(result.low[0] <= 1 - wrong <= result.high[0])
    assert 930 <= covered <= 970


def test_the_interval_of_a_share_is_wilsons() -> None:
    # Newcombe 1998 (Statistics in Medicine 17, 857), table I: 81 of 263.
    assert share_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
