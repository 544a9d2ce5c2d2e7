"""Sky groups are dealt whole and classes evenly: to the halves of val, and to any number of parts."""

import numpy as np
import pytest
from numpy.typing import NDArray

from galaxies.data.splits import deal_groups, divide_val


def divide(targets: list[int], group: list[int], seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return divide_val(np.array(targets), np.array(group), generator=np.random.default_rng(seed))


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


def test_any_number_of_parts_has_every_classs_share() -> None:
    targets = np.repeat(np.arange(3), [50, 25, 4])
    part = deal_groups(targets, np.arange(79), 5, np.random.default_rng(0))
    counts = np.array([np.bincount(part[targets == target], minlength=5) for target in range(3)])
    assert (np.ptp(counts, axis=1) <= 1).all()
