"""The division of galaxies into train, val, test and pool: shares kept in every class, sky groups never apart.

Legend: N rows of the catalog, K classes, G groups.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from galaxies.data.added_labels import add_labels
from galaxies.data.galaxy_schema import UNLABELLED
from galaxies.data.label_table import LabelTable
from galaxies.data.selection import Candidates, Selection, SplitParams
from galaxies.data.sky import number_by_first
from galaxies.data.splits import DIVIDED, NEARNESS, SPLIT_NAMES, Splits
from galaxies.data.strata import find_strata
from galaxies.data.target_table import TargetColumns, no_targets
from galaxies.errors import InputError


def make_splits(
    selection: Selection,
    candidates: Candidates,
    class_names: Sequence[str],
    params: SplitParams,
    targets: TargetColumns | None = None,
    table: LabelTable | None = None,
) -> Splits:
    """Return the splits of the galaxies in use. Those with a class or a target are labelled; all others form the pool.

    Args:
        selection: which they are, and their sky groups.
        candidates: all galaxies of the file, with the source's own labels.
        class_names: what these labels mean.
        params: seed, shares and policies.
        targets: what else is known of the galaxies in use, if there is a table of it.
        table: further labels, if there are any.

    Raises:
        InputError: a class is too small, or galaxies without a label are refused.
    """
    used = selection.used
    known, group = targets or no_targets(len(used)), number_by_first(selection.group[used])
    splits = _divide_source(candidates.labels[used], group, class_names, known, params)
    if table is not None:
        splits = add_labels(
            splits,
            table.apply(candidates.labels)[used],
            table.class_names,
            twins=selection.twins[used],
            image_sha256=candidates.image_sha256[used],
            params=params,
        )
    is_pool = splits.split == SPLIT_NAMES.index("pool")
    num_unlabelled = int((is_pool & (splits.label == UNLABELLED)).sum())
    if params.unlabelled == "refuse" and num_unlabelled:
        raise InputError(
            f"split: {num_unlabelled} of {len(splits)} galaxies have no label, and split.unlabelled is refuse. Give them "
            "labels, or take them as the pool: `-S split.unlabelled=pool`."
        )
    return replace(splits, near=_find_near(is_pool, selection.twins[used], splits.group))


def _divide_source(
    labels: NDArray[np.int64],
    group: NDArray[np.int64],
    class_names: Sequence[str],
    targets: TargetColumns,
    params: SplitParams,
) -> Splits:
    """Return the splits of rows with the source's own labels, (N,), and sky groups, (N,)."""
    strata, names = find_strata(labels, class_names, targets, stratify_by=params.stratify_by, group=group)
    labelled = np.flatnonzero(strata != UNLABELLED)
    split = np.full(len(labels), SPLIT_NAMES.index("pool"), np.uint8)
    split[labelled] = divide(
        strata[labelled],
        group[labelled],
        names,
        val_fraction=params.val_fraction,
        test_fraction=params.test_fraction,
        generator=np.random.default_rng(params.seed),
    )
    nothing = np.zeros(len(split), np.uint8)
    return Splits(labels.astype(np.int16), group, split, nothing, nothing, dict(enumerate(class_names)))


def _find_near(is_pool: NDArray[np.bool_], twins: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return what each row of the pool is to those outside of it, (N,) index into NEARNESS."""
    near = np.zeros(len(is_pool), np.uint8)
    for number, kind in ((NEARNESS.index("neighbour"), group), (NEARNESS.index("twin"), twins)):
        near[is_pool & np.isin(kind, kind[~is_pool])] = number
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
