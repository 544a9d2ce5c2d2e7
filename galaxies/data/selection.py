"""Which galaxies of a file are used: the policies on twins and blank images, sky groups, and a sub-sample.

Legend: M galaxies in the file, N of them in use.
"""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from galaxies.data.sky import friends_of_friends, identical_pairs, neighbour_pairs, same_number_pairs, sky_directions
from galaxies.data.sky_cells import LARGEST_SHARE, MAX_NSIDE
from galaxies.data.splits import UNLABELLED
from galaxies.errors import InputError
from galaxies.params import Limits

PERCOLATED_GALAXIES = 1000
"""In one group, beside a share of LARGEST_SHARE: a smaller group is no trouble to a small survey."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SplitParams:
    """The section ``split`` of params.yaml."""

    seed: Annotated[int, Limits(0, 2**63 - 1)] = 0  # of the division; which galaxies are used does not depend on it
    val_fraction: Annotated[float, Limits(0.01, 0.9)] = 0.15
    test_fraction: Annotated[float, Limits(0.01, 0.9)] = 0.15
    sample_fraction: Annotated[float, Limits(1e-6, 1)] = 1.0  # share of the galaxies that is used at all
    group_radius_arcsec: Annotated[float, Limits(0, 3600)] = 67
    groups: Literal["auto", "radius", "cells"] = "auto"  # what stays in one split; auto: cells where groups by radius percolate
    cell_nside: Annotated[int, Limits(1, MAX_NSIDE)] | None = None  # of HEALPix cells; null: as fine as borders allow
    cell_seed: Annotated[int, Limits(0, 2**63 - 1)] = 0  # of which cells go to which split
    conflicts: Literal["drop", "first", "keep"] = "drop"  # galaxies that stand there twice with different labels
    blanks: Literal["drop", "keep"] = "drop"  # images of one constant colour
    unlabelled: Literal["pool", "refuse"] = "pool"  # galaxies without a label: they form the pool, or are an error
    labels: str | None = None  # path of a table of id and label, which gives labels and changes them
    labels_sha256: str | None = None  # of that file
    added_labels: Literal["train", "divide"] | None = None  # of galaxies that it alone labels; null: train if others have any
    targets: str | None = None  # path of a table with votes, numbers or tags
    targets_sha256: str | None = None  # of that file
    targets_id: str = "id"  # its column with the ids of the galaxies
    stratify_by: str | None = None  # a column of it, by whose quintiles galaxies without a class are divided; null: the first
    version: int = 1  # raised when the code changes catalog or splits

    REPLACED: ClassVar = {
        "corrections": "a table of labels, which may give new ones too, stands in split.labels",
        "corrections_sha256": "the digest of split.labels stands in split.labels_sha256",
    }

    @property
    def fractions(self) -> tuple[float, float, float]:
        """The shares of train, val and test."""
        return 1 - self.val_fraction - self.test_fraction, self.val_fraction, self.test_fraction

    def problems(self) -> Iterator[str]:
        """Yield what the types cannot say."""
        if self.val_fraction + self.test_fraction >= 1:
            yield f"val_fraction: {self.val_fraction} and test_fraction: {self.test_fraction} leave nothing to train on"
        for table, keys in (("labels", ("labels_sha256", "added_labels")), ("targets", ("targets_sha256", "stratify_by"))):
            for key in keys:
                if getattr(self, table) is None and getattr(self, key) is not None:
                    yield f"{key}: found {getattr(self, key)}, but {table} names no table; allowed is null"
        if self.cell_nside is not None and self.cell_nside & (self.cell_nside - 1):
            yield f"cell_nside: found {self.cell_nside}, allowed is null or a power of two"
        if self.cell_nside is not None and self.groups == "radius":
            yield f"cell_nside: found {self.cell_nside}, but split.groups is radius; set it to cells"


@dataclass(frozen=True)
class Candidates:
    """What the policies look at, of all galaxies of a file."""

    labels: NDArray[np.int64]  # (M,) as the source has them; UNLABELLED is none
    image_sha256: NDArray[np.uint8]  # (M, 32) equal images are one galaxy, wherever the file says it stands
    is_blank: NDArray[np.bool_]  # (M,) whether the image is constant
    ra: NDArray[np.float64]  # (M,) deg, NaN where unknown
    dec: NDArray[np.float64]  # (M,) deg
    group: NDArray[np.int64] | None = None  # (M,) galaxies of one number are never divided; below 0, and None: no number


@dataclass(frozen=True)
class Selection:
    """The galaxies in use and why the others are not; all arrays are of file indices."""

    used: NDArray[np.int64]  # (N,) ascending
    twins: NDArray[np.int64]  # (M,) number of the galaxy that every one of the file is: equal pixels, or equal position
    group: NDArray[np.int64]  # (M,) friends-of-friends group of every galaxy of the file; with cells, of radius 0
    conflicting: NDArray[np.int64]  # galaxies that stand there twice with different labels
    blank: NDArray[np.int64]
    directions: NDArray[np.float64] | None = None  # (M, 3) where they are on the sky, if that is divided in cells


def select_galaxies(candidates: Candidates, params: SplitParams) -> Selection:
    """Apply the policies; they look at the source's own labels, so that no label of ``split.labels`` costs an extraction.

    Args:
        candidates: all galaxies.
        params: the policies.

    Raises:
        InputError: no galaxy is left.
    """
    num_galaxies, is_blank, ra, dec = len(candidates.labels), candidates.is_blank, candidates.ra, candidates.dec
    same_pixels = identical_pairs(candidates.image_sha256)
    # Blank images are all alike without being the same galaxy.
    same_pixels = same_pixels[~is_blank[same_pixels].any(axis=1)]
    twins = friends_of_friends(num_galaxies, np.concatenate([neighbour_pairs(ra, dec, 0), same_pixels]))
    conflicting = find_conflicts(twins, candidates.labels)
    is_dropped = np.zeros(num_galaxies, bool)
    if params.conflicts != "keep":
        is_dropped[conflicting] = True
    if params.conflicts == "first":
        is_dropped[conflicting[np.unique(twins[conflicting], return_index=True)[1]]] = False
    if params.blanks == "drop":
        is_dropped |= is_blank
    given = [] if candidates.group is None else [same_number_pairs(candidates.group)]
    bound = np.concatenate([same_pixels, *given])  # wherever they stand
    uses_cells, radius = params.groups == "cells", params.group_radius_arcsec
    group = _group_within(0.0 if uses_cells else radius, candidates, bound)
    if params.groups == "auto" and _percolates(group, radius):
        uses_cells, group = True, _group_within(0.0, candidates, bound)
    used = np.flatnonzero(~is_dropped)
    if params.sample_fraction < 1:
        used = _sub_sample(used, group, candidates, params.sample_fraction)
    if not len(used):
        raise InputError("split: the policies leave no galaxy; look at split.conflicts, split.blanks, split.sample_fraction.")
    directions = _place_all(candidates, group) if uses_cells else None
    return Selection(used, twins, group, conflicting, np.flatnonzero(is_blank), directions)


def _group_within(radius_arcsec: float, candidates: Candidates, bound: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the groups, (M,), of galaxies within a radius of each other, and of pairs that are ``bound`` together, (P, 2)."""
    close = neighbour_pairs(candidates.ra, candidates.dec, radius_arcsec)
    return friends_of_friends(len(candidates.labels), np.concatenate([close, bound]))


def _percolates(group: NDArray[np.int64], radius_arcsec: float) -> bool:
    """Tell, and say, whether one group is so large that splits made of whole groups cannot have their shares."""
    largest = int(np.bincount(group).max(initial=0))
    if largest <= PERCOLATED_GALAXIES or largest <= LARGEST_SHARE * len(group):
        return False
    _logger.warning(
        "split: %s of %s galaxies are one group of neighbours within %g arcsec, too many for one split. The sky is divided in "
        "cells instead (split.groups: cells); galaxies within that radius of a border between splits are unused.",
        f"{largest:,}",
        f"{len(group):,}",
        radius_arcsec,
    )
    return True


def _place_all(candidates: Candidates, group: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the place on the sky of every galaxy, (M, 3): without a position of its own, that of the first of its group."""
    directions = sky_directions(candidates.ra, candidates.dec)
    is_known = np.isfinite(directions).all(axis=1)
    known, first = np.unique(group[is_known], return_index=True)
    lost = np.flatnonzero(~is_known & np.isin(group, known))
    directions[lost] = directions[np.flatnonzero(is_known)[first[np.searchsorted(known, group[lost])]]]
    return directions


def find_conflicts(twins: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the labelled members, ascending, of groups of twins with more than one label."""
    labelled = np.flatnonzero(labels != UNLABELLED)
    order = labelled[np.argsort(twins[labelled], kind="stable")]
    is_other = (np.diff(twins[order]) == 0) & (np.diff(labels[order]) != 0)
    return labelled[np.isin(twins[labelled], twins[order[1:][is_other]])]


def _sub_sample(
    used: NDArray[np.int64], group: NDArray[np.int64], candidates: Candidates, fraction: float
) -> NDArray[np.int64]:
    """Keep a share of the groups of each class, whole, in the order of a hash: a smaller share is part of a larger one."""
    groups, first = np.unique(group[used], return_index=True)
    texts = (digest.tobytes().hex() for digest in candidates.image_sha256[used[first]])
    order = np.array([hashlib.sha256(text.encode()).hexdigest() for text in texts], "S64")
    stratum = candidates.labels[used[first]]
    kept = []
    for label in np.unique(candidates.labels[used]):
        members = np.flatnonzero(stratum == label)
        # At least three, so that a small class can still stand in every split.
        number = max(round(fraction * len(members)), min(3, len(members)))
        kept.append(groups[members[np.argsort(order[members])[:number]]])
    return used[np.isin(group[used], np.concatenate(kept))]
