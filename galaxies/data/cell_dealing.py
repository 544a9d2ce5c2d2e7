"""Cells of the sky dealt whole to train, val and test, so that what borders between them leave has the shares asked for.

Legend: N labelled galaxies, C cells with any galaxy, K classes, P contacts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# What borders take from val and test is made good by asking for more of them. Large surveys are near enough in the first
# rounds; for 8,000 galaxies in 2 square degrees the best of 8 is (measured).
_NUM_ROUNDS = 8
_NEAR_ENOUGH = 0.002
# Among so many cells the last few find what is lacking, and nothing needs to move.
_MANY_CELLS = 2000
_NUM_PASSES = 3


@dataclass(frozen=True)
class Labelled:
    """What is known of the galaxies that are divided."""

    target: NDArray[np.int64]  # (N,) class of each, of 0 to K - 1
    cell: NDArray[np.int64]  # (N,) from 0 to C - 1; -1 without position
    twins: NDArray[np.int64]  # (N,) number of the galaxy that each is
    contacts: NDArray[np.int64]  # (P, 2) of these and the cells that they come near


def deal_cells(counts: NDArray[np.int64], fractions: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.int64]:
    """Deal cells to splits and return the split of each, (C,), so that classes and totals come near their shares.

    The fullest cells go first, in an order that ``generator`` draws among those of like size, each to the split that leaves the
    least to be desired: the sum over classes, and the total, of squared differences from the galaxies asked for, in units of
    those. Then each in turn moves where that is less still.

    Args:
        counts: galaxies of each class in each cell, (C, K).
        fractions: share of each of S splits, (S,); none of them 0.
        generator: draws the order.
    """
    counts = np.column_stack([counts, counts.sum(axis=1)]).astype(np.float64)  # (C, K + 1)
    sizes = np.maximum(counts.sum(axis=0), 1)
    lacking = sizes[:, None] * fractions  # (K + 1, S)
    scale = 1 / lacking
    split = np.full(len(counts), -1)
    order = generator.permutation(len(counts))
    order = order[np.argsort(-np.frexp(counts[order, -1])[1], kind="stable")]
    for _ in range(1 + _NUM_PASSES if len(counts) < _MANY_CELLS else 1):
        before = split.copy()
        for cell in order.tolist():
            content = counts[cell]
            if split[cell] >= 0:
                lacking[:, split[cell]] += content
            # (lacking - content)² - lacking², for each split that the cell may go to.
            change = (content[:, None] * (content[:, None] - 2 * lacking) * scale).sum(axis=0)
            split[cell] = np.argmin(change)
            lacking[:, split[cell]] -= content
        if (split == before).all():
            break
    return split


def deal_apart(
    galaxies: Labelled, num_cells: int, fractions: NDArray[np.float64], generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Deal cells to splits so that, without the galaxies near borders between them, the shares are those asked for.

    A cell of val or test has nearly only cells of other splits around it and so loses more than one of train; the next round
    asks for so much more of it. The best of a few rounds counts.

    Args:
        galaxies: at least one of them in a cell.
        num_cells: C.
        fractions: share of each split, (3,).
        generator: draws the order in which cells are dealt, anew in each round.

    Returns:
        The split of each cell, (C,), and whether each galaxy is too near to a border between splits, (N,).
    """
    placed = galaxies.cell >= 0
    num_classes = int(galaxies.target.max()) + 1
    content = galaxies.cell[placed] * num_classes + galaxies.target[placed]
    counts = np.bincount(content, minlength=num_cells * num_classes).reshape(num_cells, num_classes)
    asked, best = fractions, None
    for _ in range(_NUM_ROUNDS):
        split = deal_cells(counts, asked, generator)
        is_near = _near_borders(split, galaxies)
        kept = np.bincount(split[galaxies.cell[placed & ~is_near]], minlength=len(fractions))
        got = kept / max(kept.sum(), 1)
        miss = float(np.abs(got - fractions).max())
        if best is None or miss < best[0]:
            best = miss, split, is_near
        if miss <= _NEAR_ENOUGH:
            break
        asked = asked * fractions / np.maximum(got, fractions / 2)
        asked = asked / asked.sum()
    assert best is not None  # There is a round.
    return best[1:]


def _near_borders(split: NDArray[np.int64], galaxies: Labelled) -> NDArray[np.bool_]:
    """Return whether each galaxy comes near a cell of another split than its own, (N,)."""
    galaxy, other = galaxies.contacts.T
    is_near = np.zeros(len(galaxies.cell), bool)
    is_near[galaxy[split[galaxies.cell[galaxy]] != split[other]]] = True
    return is_near
