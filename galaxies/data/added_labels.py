"""What becomes of galaxies whose label stands in ``split.labels``: no galaxy that had a split changes it.

A label that was picked because the head was unsure would bias test and calibration, so that by default a newly labelled galaxy
trains. Legend: N rows of the catalog, G sky groups.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from galaxies.data.selection import SplitParams, find_conflicts
from galaxies.data.splits import DIVIDED, REASONS, SPLIT_NAMES, UNLABELLED, Splits
from galaxies.errors import InputError

_POOL, _UNUSED, _TRAIN = (SPLIT_NAMES.index(name) for name in ("pool", "unused", "train"))


def add_labels(
    splits: Splits,
    label: NDArray[np.int64],
    class_names: Sequence[str],
    *,
    twins: NDArray[np.int64],
    image_sha256: NDArray[np.uint8],
    params: SplitParams,
) -> Splits:
    """Return the splits with the labels of a table.

    A galaxy that had a split keeps it, whatever the table calls it. One of the pool that the table labels goes where
    ``added_labels`` says; if its sky group stands in val or test, it stays in the pool, with the reason. Twins whose labels
    contradict each other now leave train, val and test, unless ``conflicts`` is keep.

    Args:
        splits: of the source's own labels.
        label: with those of the table, (N,) index into ``class_names``.
        class_names: with those that the table alone has.
        twins: number of the galaxy that each row is, (N,).
        image_sha256: of each row's image, (N, 32): what galaxies are dealt by.
        params: seed, shares and policies.

    Raises:
        InputError: galaxies bear a class of which none trains.
    """
    # A galaxy may have a split without a class, because something else is known of it.
    is_added = (splits.split == _POOL) & (label != UNLABELLED)
    policy = params.added_labels or ("train" if len(splits.labelled) else "divide")
    of_group = _find_split_of_groups(splits)  # (G,)
    if policy == "divide":
        dealt = _deal_groups(splits.group, image_sha256, params)
        of_group = np.where(of_group == _POOL, dealt, of_group)
    split, reason = splits.split.copy(), splits.reason.copy()
    split[is_added] = of_group[splits.group[is_added]]
    if policy == "train":
        for name in ("val", "test"):
            stays = is_added & (split == SPLIT_NAMES.index(name))
            split[stays], reason[stays] = _POOL, REASONS.index(f"near a {name} galaxy")
        split[is_added & (reason == 0)] = _TRAIN
    if params.conflicts != "keep":
        conflicting = find_conflicts(twins, label)
        split[conflicting], reason[conflicting] = _UNUSED, REASONS.index("twin has another label")
    added = replace(splits, label=label.astype(np.int16), split=split, reason=reason, names=dict(enumerate(class_names)))
    _require_training(added)
    return added


def _find_split_of_groups(splits: Splits) -> NDArray[np.uint8]:
    """Return the split in which each group's labelled galaxies stand, (G,); of a group without any, pool."""
    of_group = np.full(splits.group.max(initial=-1) + 1, _POOL, np.uint8)
    of_group[splits.group[splits.labelled]] = splits.split[splits.labelled]
    return of_group


def _deal_groups(group: NDArray[np.int64], image_sha256: NDArray[np.uint8], params: SplitParams) -> NDArray[np.uint8]:
    """Return a split for each group, (G,), drawn by chance from the seed and the image of its first galaxy alone.

    So no label that comes, goes or changes moves a galaxy; the shares hold on average, not to one galaxy.
    """
    _, first = np.unique(group, return_index=True)
    seed = params.seed.to_bytes(8, "little")
    texts = (hashlib.sha256(seed + digest.tobytes()).digest()[:8] for digest in image_sha256[first])
    chance = np.frombuffer(b"".join(texts), "<u8") / 2**64
    edges = np.cumsum([1 - params.val_fraction - params.test_fraction, params.val_fraction])
    dealt: NDArray[np.uint8] = np.searchsorted(edges, chance, side="right").astype(np.uint8)
    return dealt


def _require_training(splits: Splits) -> None:
    """Raise InputError where a class stands in a split and not in train: no head can learn it."""
    names, labelled = splits.classes, splits.labelled
    counts = np.zeros((len(names), len(DIVIDED)), np.int64)
    targets = splits.targets[labelled]
    np.add.at(counts, (targets[targets >= 0], splits.split[labelled][targets >= 0]), 1)
    absent = [f"{names[place]} ({', '.join(map(str, counts[place]))})" for place in np.flatnonzero(counts[:, 0] == 0)]
    if absent:
        raise InputError(
            f"split.labels: no galaxy trains the class of {'; '.join(absent)} galaxies in train, val and test. Label more of "
            "it, or give these galaxies the label of another class."
        )
