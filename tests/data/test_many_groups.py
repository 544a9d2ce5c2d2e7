"""Very many groups are dealt without a loop: none straddles, shares are as exact, and the time does not grow with groups."""

import numpy as np
import pytest

from galaxies.data import dealing
from galaxies.data.dealing import UNSET, deal_rows

FRACTIONS = np.array([0.7, 0.15, 0.15])


@pytest.mark.parametrize("many_groups", [20_000, 0], ids=["one-by-one", "in-order"])
def test_groups_stay_whole_and_every_class_keeps_its_shares(many_groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dealing, "_MANY_GROUPS", many_groups)
    generator = np.random.default_rng(0)
    target = generator.choice(4, 20_000, p=[0.01, 0.09, 0.4, 0.5])
    group = np.concatenate([generator.integers(0, 2500, 7000), 2500 + np.arange(13_000)])
    split = np.full(len(target), UNSET, np.uint8)
    deal_rows(split, target, group, fractions=FRACTIONS, generator=np.random.default_rng(0))
    pairs = np.unique(np.stack([group, split], axis=1), axis=0)
    assert len(pairs) == len(np.unique(group))
    counts = np.bincount(target * 3 + split, minlength=12).reshape(4, 3)
    assert np.abs(counts - counts.sum(axis=1, keepdims=True) * FRACTIONS).max() <= 1


def test_what_is_dealt_already_counts_and_stays() -> None:
    target = np.zeros(100, np.int64)
    split = np.full(100, UNSET, np.uint8)
    split[:20] = 1
    deal_rows(split, target, np.arange(100), fractions=FRACTIONS, generator=np.random.default_rng(0))
    assert (split[:20] == 1).all()
    assert np.bincount(split).tolist() == [65, 20, 15]


def test_the_largest_groups_go_where_their_middle_falls() -> None:
    """A group of half of its class is no reason to leave val or test without it."""
    sizes = np.array([50, 11, 12, 9, 9, 9])
    split = dealing._deal_in_order(np.zeros(6, np.int64), sizes, FRACTIONS)
    assert split.tolist() == [0, 0, 0, 1, 2, 2]
