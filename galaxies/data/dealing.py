"""Galaxies dealt to train, val and test by quotas of each class: groups whole, then single galaxies until all is exact.

Legend: N rows, K classes, G groups.
"""

import numpy as np
from numpy.typing import NDArray

from galaxies.data.splits import DIVIDED

UNSET = len(DIVIDED)
"""Stands for the split of a row that is not dealt yet."""

# Up to so many groups of several galaxies, each goes where most is lacking: 18 us each. Beyond, shares come of themselves.
_MANY_GROUPS = 20_000


def quotas(counts: NDArray[np.int64], fractions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many galaxies of each class each split should have, (K, 3): at least one in val and in test."""
    held_out = np.maximum(np.rint(counts[:, None] * fractions[1:]), 1).astype(np.int64)
    return np.concatenate([counts[:, None] - held_out.sum(axis=1, keepdims=True), held_out], axis=1)


def deal_rows(
    split: NDArray[np.uint8],
    target: NDArray[np.int64],
    group: NDArray[np.int64],
    *,
    fractions: NDArray[np.float64],
    generator: np.random.Generator,
) -> None:
    """Deal the rows whose ``split``, (N,) index into DIVIDED, is UNSET, in place; what others have counts towards the quotas.

    Groups of several galaxies go first, each to the split that still lacks most of its classes; the single galaxies then fill
    what is left of every class. Where groups are very many, each goes to the split that its place in a drawn order of the
    groups of its class (that of its first row) falls to.

    Args:
        split: of each row; changed.
        target: class of each, (N,), of 0 to K - 1.
        group: of each, (N,); none has rows that are dealt beside rows that are not.
        fractions: share of each split, (3,).
        generator: draws the order.
    """
    wanted = quotas(np.bincount(target), fractions)  # (K, 3)
    wanted -= _count(target, split, len(wanted))
    rows = np.flatnonzero(split == UNSET)
    _, place, sizes = np.unique(group[rows], return_inverse=True, return_counts=True)
    members, starts = rows[np.argsort(place, kind="stable")], np.cumsum(sizes) - sizes
    turns = generator.permutation(len(sizes))  # (G,)
    several = turns[sizes[turns] > 1]
    if len(several) > _MANY_GROUPS:
        of_group = np.full(len(sizes), UNSET, np.uint8)
        of_group[several] = _deal_in_order(target[members[starts[several]]], sizes[several], fractions)
        split[rows] = of_group[place]
        wanted -= _count(target[rows], split[rows], len(wanted))
    else:
        for start, size in zip(starts[several].tolist(), sizes[several].tolist(), strict=True):
            together = members[start : start + size]
            lacking = (wanted[target[together]] / np.maximum(fractions, 1e-9)).sum(axis=0)
            split[together] = np.argmax(lacking)
            np.subtract.at(wanted, (target[together], split[together]), 1)
    for label in range(len(wanted)):
        single = generator.permutation(np.flatnonzero((target == label) & (split == UNSET)))
        split[single] = np.repeat(np.arange(UNSET), _fit(wanted[label], len(single)))


def _count(target: NDArray[np.int64], split: NDArray[np.uint8], num_classes: int) -> NDArray[np.int64]:
    """Return how many rows of each class each split has, (K, 3); rows that are not dealt do not count."""
    counts = np.bincount(target * (UNSET + 1) + split, minlength=num_classes * (UNSET + 1))
    return counts.reshape(num_classes, UNSET + 1)[:, :UNSET]


def _deal_in_order(target: NDArray[np.int64], sizes: NDArray[np.int64], fractions: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the split of each group, (G,), given in a drawn order: its class, and its galaxies."""
    order = np.argsort(target, kind="stable")
    reached = np.cumsum(sizes[order])
    totals = np.bincount(target, weights=sizes)
    before = np.cumsum(totals) - totals
    # The middle of each group, as a share of the galaxies of its class.
    position = (reached - sizes[order] / 2 - before[target[order]]) / totals[target[order]]
    split = np.empty(len(target), np.intp)
    split[order] = np.searchsorted(np.cumsum(fractions)[:-1], position, side="right")
    return split


def _fit(wanted: NDArray[np.int64], available: int) -> NDArray[np.int64]:
    """Return (3,) counts that add up to ``available`` and are as near ``wanted`` as that permits; train takes the rest."""
    test = min(max(wanted[2], 0), available)
    val = min(max(wanted[1], 0), available - test)
    return np.array([available - val - test, val, test])
