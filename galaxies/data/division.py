"""The division of galaxies into train, val, test and pool: shares kept in every class, sky groups never apart.

Legend: N rows of the catalog, K classes, G groups.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from galaxies.data.galaxy_schema import UNLABELLED
from galaxies.data.selection import Selection, SplitParams
from galaxies.data.sky import number_by_first
from galaxies.data.splits import DIVIDED, NEARNESS, SPLIT_NAMES, Splits
from galaxies.data.strata import find_strata
from galaxies.data.target_table import TargetColumns, no_targets
from galaxies.errors import InputError


def make_splits(
    selection: Selection,
    labels: NDArray[np.int64],
    class_names: Sequence[str],
    params: SplitParams,
    targets: TargetColumns | None = None,
) -> Splits:
    """Return the splits of the galaxies in use. Those with a class or a target are labelled; all others form the pool.

    Args:
        selection: which they are, and their sky groups.
        labels: of all galaxies of the file.
        class_names: what the labels mean.
        params: seed and shares.
        targets: what else is known of the galaxies in use, if there is a table of it.
    """
    used_labels, group = labels[selection.used], number_by_first(selection.group[selection.used])
    known = targets or no_targets(len(used_labels))
    strata, names = find_strata(used_labels, class_names, known, stratify_by=params.stratify_by, group=group)
    labelled = np.flatnonzero(strata != UNLABELLED)
    split = np.full(len(used_labels), SPLIT_NAMES.index("pool"), np.uint8)
    split[labelled] = divide(
        strata[labelled],
        group[labelled],
        names,
        val_fraction=params.val_fraction,
        test_fraction=params.test_fraction,
        generator=np.random.default_rng(params.seed),
    )
    is_labelled = np.isin(np.arange(len(split)), labelled)
    if params.unlabelled == "refuse" and not is_labelled.all():
        raise InputError(
            f"split: {(~is_labelled).sum()} of {len(split)} galaxies have no label, and split.unlabelled is refuse. Give them "
            "labels, or take them as the pool: `-S split.unlabelled=pool`."
        )
    near = _find_near(is_labelled, selection.twins[selection.used], group)
    return Splits(used_labels.astype(np.int16), group, split, np.zeros_like(near), near, dict(enumerate(class_names)))


def _find_near(is_labelled: NDArray[np.bool_], twins: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return what each row without a label is to labelled ones, (N,) index into NEARNESS."""
    near = np.zeros(len(is_labelled), np.uint8)
    for number, kind in ((NEARNESS.index("neighbour"), group), (NEARNESS.index("twin"), twins)):
        near[~is_labelled & np.isin(kind, kind[is_labelled])] = number
    return near


def divide(
    labels: NDArray[np.int64],
    group: NDArray[np.int64],
    class_names: Sequence[str],
    *,
    val_fraction: float,
    test_fraction: float,
    generator: np.random.Generator,
) -> NDArray[np.uint8]:
    """Return the split of each row, (N,) index into DIVIDED; every one has a label.

    Groups of several galaxies go first, each to the split that still lacks most of its classes; the single galaxies then fill
    what is left of every class, so the shares are exact up to one galaxy wherever the groups permit.

    Raises:
        InputError: a class has too few groups to stand in every split.
    """
    present, target = np.unique(labels, return_inverse=True)
    names = [class_names[label] for label in present]
    _, group, sizes = np.unique(group, return_inverse=True, return_counts=True)
    _require_enough_groups(target, group, names)
    fractions = np.array([1 - val_fraction - test_fraction, val_fraction, test_fraction])
    wanted = _quotas(np.bincount(target), fractions)  # (K, 3)
    unset = len(DIVIDED)
    split = np.full(len(labels), unset, np.uint8)
    members, starts = np.argsort(group, kind="stable"), np.cumsum(sizes) - sizes
    turns = generator.permutation(len(sizes))  # (G,)
    for index in turns[sizes[turns] > 1].tolist():
        rows = members[starts[index] : starts[index] + sizes[index]]
        lacking = (wanted[target[rows]] / np.maximum(fractions, 1e-9)).sum(axis=0)
        split[rows] = np.argmax(lacking)
        np.subtract.at(wanted, (target[rows], split[rows]), 1)
    for label in range(len(names)):
        rows = generator.permutation(np.flatnonzero((target == label) & (split == unset)))
        split[rows] = np.repeat(np.arange(unset), _fit(wanted[label], len(rows)))
    return split


def _quotas(counts: NDArray[np.int64], fractions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many galaxies of each class each split should have, (K, 3): at least one in val and in test."""
    held_out = np.maximum(np.rint(counts[:, None] * fractions[1:]), 1).astype(np.int64)
    return np.concatenate([counts[:, None] - held_out.sum(axis=1, keepdims=True), held_out], axis=1)


def _fit(wanted: NDArray[np.int64], available: int) -> NDArray[np.int64]:
    """Return (3,) counts that add up to ``available`` and are as near ``wanted`` as that permits; train takes the rest."""
    test = min(max(wanted[2], 0), available)
    val = min(max(wanted[1], 0), available - test)
    return np.array([available - val - test, val, test])


def _require_enough_groups(target: NDArray[np.int64], group: NDArray[np.int64], names: Sequence[str]) -> None:
    pairs = np.unique(group * len(names) + target)
    num_groups = np.bincount(pairs % len(names), minlength=len(names))
    few = [f"{name} ({count})" for name, count in zip(names, num_groups, strict=True) if count < 3]
    if few:
        raise InputError(
            f"split: too few galaxies apart on the sky to train, validate and test: {', '.join(few)}; each class needs three. "
            "Add galaxies, merge or leave out the class, raise split.sample_fraction or lower "
            "split.group_radius_arcsec."
        )
