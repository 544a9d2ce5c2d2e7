"""The division of galaxies into train, val, test and pool: shares kept in every class, sky groups never apart.

Legend: N rows of the catalog, K classes, G groups.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from galaxies.data.added_labels import add_labels
from galaxies.data.cell_division import SkyCells, divide_by_cells, lay_cells, leave_borders
from galaxies.data.dealing import UNSET, deal_rows
from galaxies.data.label_table import LabelTable
from galaxies.data.selection import Candidates, Selection, SplitParams
from galaxies.data.sky import are_near, number_by_first
from galaxies.data.splits import NEARNESS, SPLIT_NAMES, UNLABELLED, Splits
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
    known, group, labels = targets or no_targets(len(used)), number_by_first(selection.group[used]), candidates.labels[used]
    sky = lay_cells(selection, (labels != UNLABELLED) | known.known, params)
    strata, names = find_strata(labels, class_names, known, stratify_by=params.stratify_by, group=group)
    source = _divide_groups(strata, group, names, params) if sky is None else divide_by_cells(strata, sky, names, params)
    splits = replace(source, label=labels.astype(np.int16), names=dict(enumerate(class_names)))
    if table is not None:
        splits = add_labels(
            splits,
            table.apply(candidates.labels)[used],
            table.class_names,
            twins=selection.twins[used],
            image_sha256=candidates.image_sha256[used],
            params=params,
        )
    if sky is not None:
        splits = leave_borders(splits, source, sky, params)
    is_pool = splits.split == SPLIT_NAMES.index("pool")
    num_unlabelled = int((is_pool & (splits.label == UNLABELLED)).sum())
    if params.unlabelled == "refuse" and num_unlabelled:
        raise InputError(
            f"split: {num_unlabelled} of {len(splits)} galaxies have no label, and split.unlabelled is refuse. Give them "
            "labels, or take them as the pool: `-S split.unlabelled=pool`."
        )
    return replace(splits, near=_find_near(is_pool, selection.twins[used], splits.group, sky, params))


def _divide_groups(strata: NDArray[np.int64], group: NDArray[np.int64], names: Sequence[str], params: SplitParams) -> Splits:
    """Return the splits of rows of some strata, (N,), and sky groups, (N,), for labels."""
    labelled = np.flatnonzero(strata != UNLABELLED)
    split = np.full(len(strata), SPLIT_NAMES.index("pool"), np.uint8)
    split[labelled] = divide(
        strata[labelled],
        group[labelled],
        names,
        val_fraction=params.val_fraction,
        test_fraction=params.test_fraction,
        generator=np.random.default_rng(params.seed),
    )
    nothing = np.zeros(len(split), np.uint8)
    return Splits(strata.astype(np.int16), group, split, nothing, nothing, dict(enumerate(names)))


def _find_near(
    is_pool: NDArray[np.bool_], twins: NDArray[np.int64], group: NDArray[np.int64], sky: SkyCells | None, params: SplitParams
) -> NDArray[np.uint8]:
    """Return what each row of the pool is to those outside of it, (N,) index into NEARNESS."""
    near = np.zeros(len(is_pool), np.uint8)
    if sky is None:
        is_neighbour = np.isin(group, group[~is_pool])
    else:
        is_neighbour = is_pool.copy()
        is_neighbour[is_pool] = are_near(sky.directions[is_pool], sky.directions[~is_pool], params.group_radius_arcsec)
    near[is_pool & is_neighbour] = NEARNESS.index("neighbour")
    near[is_pool & np.isin(twins, twins[~is_pool])] = NEARNESS.index("twin")
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

    Single galaxies fill what groups leave, so the shares are exact up to one galaxy wherever the groups permit.

    Raises:
        InputError: a class has too few groups to stand in every split.
    """
    present, target = np.unique(labels, return_inverse=True)
    names = [class_names[label] for label in present]
    group = np.unique(group, return_inverse=True)[1]
    _require_enough_groups(target, group, names)
    split = np.full(len(labels), UNSET, np.uint8)
    fractions = np.array([1 - val_fraction - test_fraction, val_fraction, test_fraction])
    deal_rows(split, target, group, fractions=fractions, generator=generator)
    return split


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
