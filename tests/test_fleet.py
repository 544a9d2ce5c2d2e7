"""The simulation of a fleet, where its result can be worked out by hand."""

import math
from dataclasses import replace

import pytest

from benchmarks.fleet import Fleet, simulate

SOUND = Fleet(3, block_s=10.0, start_s=5.0, mean_life_s=math.inf, slow_fraction=0.0, slowness=1.0, spread=0.0)


@pytest.mark.parametrize("is_dealt", [False, True])
def test_sound_workers_end_after_the_start_and_their_share_of_blocks(is_dealt: bool) -> None:
    assert simulate(SOUND, 7, is_dealt=is_dealt, seed=0) == pytest.approx(5 + 3 * 10)


def test_one_slow_worker_holds_up_only_what_was_dealt_to_it() -> None:
    slow = replace(SOUND, num_workers=2, slow_fraction=0.5, slowness=4.0)
    # Seed 0 draws 0.64 and 0.27: the second worker is the slow one.
    assert simulate(slow, 10, is_dealt=True, seed=0) == pytest.approx(5 + 5 * 40)
    # It does two of ten blocks while the other does eight.
    assert simulate(slow, 10, is_dealt=False, seed=0) == pytest.approx(5 + 8 * 10)


@pytest.mark.parametrize("is_dealt", [False, True])
def test_workers_that_die_end_all_the_same_and_later(is_dealt: bool) -> None:
    mortal = replace(SOUND, mean_life_s=30.0)
    ends = [simulate(mortal, 60, is_dealt=is_dealt, seed=seed) for seed in range(20)]
    assert min(ends) > 5 + 20 * 10
    # A try of 10 s succeeds with probability exp(-10 / 30); of three workers' 20 blocks each, none can be done in less.
    assert sum(ends) / len(ends) == pytest.approx(5 + 20 * (10 + _lost_a_block(10, 30, 5)), rel=0.2)


def _lost_a_block(block_s: float, life_s: float, start_s: float) -> float:
    """Return the mean time in s that deaths cost a block: the tries that fail, each with the start that follows."""
    failures = math.exp(block_s / life_s) - 1
    success = math.exp(-block_s / life_s)
    mean_of_a_failure = life_s - block_s * success / (1 - success)
    return failures * (mean_of_a_failure + start_s)
