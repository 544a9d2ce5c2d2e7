"""Which galaxies are used, and which of them train, validate and test.

Legend: M galaxies in the file, N rows of the catalog, K classes.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from galaxies.data.catalog import SPLIT_NAMES, Catalog, Splits
from galaxies.data.sky import friends_of_friends, identical_pairs, neighbour_pairs
from galaxies.errors import InputError
from galaxies.params import Limits


@dataclass(frozen=True)
class SplitParams:
    """The section ``split`` of params.yaml."""

    seed: Annotated[int, Limits(0, 2**63 - 1)]  # of the division; which galaxies are used does not depend on it
    val_fraction: Annotated[float, Limits(0.01, 0.9)]
    test_fraction: Annotated[float, Limits(0.01, 0.9)]
    sample_fraction: Annotated[float, Limits(1e-6, 1)]  # share of the galaxies that is used at all
    group_radius_arcsec: Annotated[float, Limits(0, 3600)]
    conflicts: Literal["drop", "first", "keep"]  # galaxies that stand there twice with different labels
    blanks: Literal["drop", "keep"]  # images of one constant colour
    corrections: str | None  # path of a CSV id,label
    corrections_sha256: str | None  # of that file
    version: int  # raised when the code changes catalog or splits

    def problems(self) -> Iterator[str]:
        """Yield what the types cannot say."""
        if self.val_fraction + self.test_fraction >= 1:
            yield f"val_fraction: {self.val_fraction} and test_fraction: {self.test_fraction} leave nothing to train on"


@dataclass(frozen=True)
class Selection:
    """The galaxies in use and why the others are not; all arrays are of file indices."""

    used: NDArray[np.int64]  # ascending
    group: NDArray[np.int64]  # (M,) friends-of-friends group of every galaxy of the file
    conflicting: NDArray[np.int64]  # galaxies that stand there twice with different labels
    blank: NDArray[np.int64]


def select_galaxies(
    labels: NDArray[np.int64],
    digests: Sequence[str],
    is_blank: NDArray[np.bool_],
    *,
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    strata: NDArray[np.int64],
    params: SplitParams,
) -> Selection:
    """Apply the policies to all M galaxies of a file.

    Args:
        labels: after corrections, (M,).
        digests: of the images; equal ones are one galaxy, wherever the file says it stands.
        is_blank: whether the image is constant, (M,).
        ra: deg, (M,), NaN where unknown.
        dec: deg, (M,).
        strata: the classes within which a sub-sample is taken, (M,): the labels before corrections, so that a corrected
            label costs no extraction.
        params: the policies.
    """
    num_galaxies = len(labels)
    same_pixels = identical_pairs(digests)
    # Blank images are all alike without being the same galaxy.
    same_pixels = same_pixels[~is_blank[same_pixels].any(axis=1)]
    twins = friends_of_friends(num_galaxies, np.concatenate([neighbour_pairs(ra, dec, 0), same_pixels]))
    conflicting = _conflicting(twins, labels)
    blank = np.flatnonzero(is_blank)
    dropped = np.zeros(num_galaxies, bool)
    if params.conflicts != "keep":
        dropped[conflicting] = True
    if params.conflicts == "first":
        dropped[[conflicting[twins[conflicting] == twin][0] for twin in np.unique(twins[conflicting])]] = False
    if params.blanks == "drop":
        dropped[blank] = True
    group = friends_of_friends(
        num_galaxies, np.concatenate([neighbour_pairs(ra, dec, params.group_radius_arcsec), same_pixels])
    )
    used = np.flatnonzero(~dropped)
    if params.sample_fraction < 1:
        used = _sub_sample(used, group, strata, digests, params.sample_fraction)
    return Selection(used, group, conflicting, blank)


def divide(
    labels: NDArray[np.int64],
    group: NDArray[np.int64],
    class_names: Sequence[str],
    *,
    val_fraction: float,
    test_fraction: float,
    generator: np.random.Generator,
) -> NDArray[np.str_]:
    """Return the split of each row, (N,) of SPLIT_NAMES: shares kept in every class, groups never apart.

    Groups of several galaxies go first, each to the split that still lacks most of its classes; the single galaxies then fill
    what is left of every class, so the shares are exact up to one galaxy wherever the groups permit.

    Raises:
        InputError: a class has too few groups to stand in every split.
    """
    _, target = np.unique(labels, return_inverse=True)
    names = [class_names[label] for label in np.unique(labels)]
    _, group = np.unique(group, return_inverse=True)
    _require_enough_groups(target, group, names)
    fractions = np.array([1 - val_fraction - test_fraction, val_fraction, test_fraction])
    wanted = _quotas(np.bincount(target), fractions)  # (K, 3)
    split = np.full(len(labels), -1)
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    for index in generator.permutation(len(members)):
        rows = members[index]
        if len(rows) > 1:
            lacking = (wanted[target[rows]] / np.maximum(fractions, 1e-9)).sum(axis=0)
            split[rows] = np.argmax(lacking)
            np.subtract.at(wanted, (target[rows], split[rows]), 1)
    for label in range(len(names)):
        rows = generator.permutation(np.flatnonzero((target == label) & (split < 0)))
        split[rows] = np.repeat(np.arange(3), _fit(wanted[label], len(rows)))
    named: NDArray[np.str_] = np.array(SPLIT_NAMES)[split]
    return named


def make_tables(
    selection: Selection,
    labels: NDArray[np.int64],
    *,
    digests: Sequence[str],
    ids: Sequence[str],
    class_names: Sequence[str],
    params: SplitParams,
) -> tuple[Catalog, Splits]:
    """Return the two tables for the galaxies in use. Arrays are over all M galaxies of the file."""
    used = selection.used
    if not len(used):
        raise InputError("split: the policies leave no galaxy; look at split.conflicts, split.blanks, split.sample_fraction.")
    group = friends_of_friends(len(used), identical_pairs(selection.group[used].tolist()))
    split = divide(
        labels[used],
        group,
        class_names,
        val_fraction=params.val_fraction,
        test_fraction=params.test_fraction,
        generator=np.random.default_rng(params.seed),
    )
    catalog = Catalog(used, tuple(ids[index] for index in used), tuple(digests[index] for index in used))
    names = tuple(class_names[label] for label in labels[used])
    return catalog, Splits(labels[used], names, group, split)


def _conflicting(twins: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the members, ascending, of groups of twins with more than one label."""
    kinds = np.unique(np.stack([twins, labels]), axis=1)
    contradictory = np.flatnonzero(np.bincount(kinds[0]) > 1)
    return np.flatnonzero(np.isin(twins, contradictory))


def _sub_sample(
    used: NDArray[np.int64],
    group: NDArray[np.int64],
    strata: NDArray[np.int64],
    digests: Sequence[str],
    fraction: float,
) -> NDArray[np.int64]:
    """Keep a share of the groups of each class, whole, in the order of a hash: a smaller share is part of a larger one."""
    groups, first = np.unique(group[used], return_index=True)
    order = np.array([hashlib.sha256(digests[used[index]].encode()).hexdigest() for index in first])
    kept = []
    for stratum in np.unique(strata[used]):
        candidates = np.flatnonzero(strata[used[first]] == stratum)
        # At least three, so that a small class can still stand in every split.
        number = max(round(fraction * len(candidates)), min(3, len(candidates)))
        kept.append(groups[candidates[np.argsort(order[candidates])[:number]]])
    return used[np.isin(group[used], np.concatenate(kept))]


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
    num_groups = np.bincount(np.unique(np.stack([target, group]), axis=1)[0])
    few = [f"{name} ({count})" for name, count in zip(names, num_groups, strict=True) if count < 3]
    if few:
        raise InputError(
            f"split: too few galaxies apart on the sky to train, validate and test: {', '.join(few)}; each class needs three. "
            "Add galaxies, merge or leave out the class, raise split.sample_fraction or lower "
            "split.group_radius_arcsec."
        )
