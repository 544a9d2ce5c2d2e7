"""The division of rows by cells of the sky, where groups of neighbours are too large to be dealt.

Legend: M rows of the catalog, N labelled ones, C cells with any of the rows, P contacts.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from galaxies.data.cell_dealing import Labelled, deal_apart
from galaxies.data.dealing import UNSET, deal_rows
from galaxies.data.selection import Selection, SplitParams
from galaxies.data.sky import number_by_first
from galaxies.data.sky_cells import cell_of, choose_nside, find_contacts, require_wide_cells
from galaxies.data.splits import DIVIDED, REASONS, SPLIT_NAMES, UNLABELLED, Splits
from galaxies.errors import InputError

_NEAR_BORDER, _TWIN_BEYOND = map(REASONS.index, ("near a border of cells", "twin in a cell of another split"))

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SkyCells:
    """The cells of the sky, and where M rows lie."""

    nside: int
    directions: NDArray[np.float64]  # (M, 3); NaN without position
    number: NDArray[np.int64]  # (M,) HEALPix number of the cell; -1 without position
    twins: NDArray[np.int64]  # (M,) rows of one number are one galaxy, or bound together by the source


def lay_cells(selection: Selection, is_labelled: NDArray[np.bool_], params: SplitParams) -> SkyCells | None:
    """Return the cells that the sky of the rows is divided into, or None where groups by radius do.

    Args:
        selection: which galaxies are the rows.
        is_labelled: whether each is divided, (M,): cells are as fine as their number asks for; of all, where none is.
        params: radius, shares and cells.

    Raises:
        InputError: cells as small as the survey, or split.cell_nside, wants them are not four radii wide.
    """
    if selection.directions is None:
        return None
    directions, radius = selection.directions[selection.used], params.group_radius_arcsec
    counted = directions[is_labelled] if is_labelled.any() else directions
    nside = params.cell_nside or choose_nside(counted, radius, params.fractions)
    require_wide_cells(nside, radius)
    return SkyCells(nside, directions, cell_of(directions, nside), selection.group[selection.used])


def divide_by_cells(strata: NDArray[np.int64], sky: SkyCells, names: Sequence[str], params: SplitParams) -> Splits:
    """Deal cells of the sky, with all the galaxies in them, whole to train, val and test; the pool lies in them too.

    Labelled galaxies within the radius of a border between two splits are unused, so that no piece of sky stands in two. So is
    a galaxy that stands there again in a cell of another split: where the first one of them is stays its place. Galaxies
    without position are dealt by stratum, all that are one galaxy together. A group is a cell, or such a galaxy.

    Args:
        strata: of the rows, (M,); UNLABELLED is none. They stand for the labels in what is returned.
        sky: its cells.
        names: what the strata mean.
        params: shares, radius and seeds.

    Raises:
        InputError: a stratum does not stand in every split.
    """
    labelled, number = np.flatnonzero(strata != UNLABELLED), sky.number
    group = number_by_first(np.where(number >= 0, number, 12 * sky.nside**2 + sky.twins))
    split, reason = np.full(len(strata), SPLIT_NAMES.index("pool"), np.uint8), np.zeros(len(strata), np.uint8)
    if len(labelled):
        cells = np.unique(number[number >= 0])
        place = np.where(number >= 0, np.searchsorted(cells, number), -1)[labelled]
        contacts = _keep_known(find_contacts(sky.directions[labelled], sky.nside, params.group_radius_arcsec), cells)
        present, target = np.unique(strata[labelled], return_inverse=True)
        galaxies = Labelled(target, place, sky.twins[labelled], contacts)
        split[labelled], reason[labelled] = _divide(galaxies, len(cells), params)
        _logger.info(
            "split: %d cells of nside %d; %s of %s labelled galaxies lie too near to a border between splits.",
            len(cells),
            sky.nside,
            f"{np.count_nonzero(reason == _NEAR_BORDER):,}",
            f"{len(labelled):,}",
        )
        _require_everywhere(split[labelled], target, [names[label] for label in present], sky.nside)
    nothing = np.zeros_like(reason)
    return Splits(strata.astype(np.int16), group, split, reason, nothing, dict(enumerate(names)))


def leave_borders(splits: Splits, source: Splits, sky: SkyCells, params: SplitParams) -> Splits:
    """Return the splits without what further labels have brought too near to a border between cells of two splits.

    Args:
        splits: with the further labels.
        source: without; what had a split there keeps it.
        sky: its cells.
        params: the radius.
    """
    is_divided = splits.split < len(DIVIDED)
    added = np.flatnonzero(is_divided & (source.split >= len(DIVIDED)))
    split, reason = splits.split.copy(), splits.reason.copy()
    placed = np.flatnonzero(is_divided & (sky.number >= 0))
    cells, first = np.unique(sky.number[placed], return_index=True)
    of_cell = splits.split[placed[first]]
    contacts = _keep_known(find_contacts(sky.directions[added], sky.nside, params.group_radius_arcsec), cells)
    row, other = added[contacts[:, 0]], of_cell[contacts[:, 1]]
    reason[row[split[row] != other]] = _NEAR_BORDER
    # What had a split comes first.
    order = np.concatenate([np.flatnonzero(source.split < len(DIVIDED)), added[reason[added] != _NEAR_BORDER]])
    order = order[is_divided[order]]
    reason[order[_stand_again(split[order], sky.twins[order])]] = _TWIN_BEYOND
    split[(reason == _NEAR_BORDER) | (reason == _TWIN_BEYOND)] = SPLIT_NAMES.index("unused")
    return replace(splits, split=split, reason=reason)


def _divide(galaxies: Labelled, num_cells: int, params: SplitParams) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return split, index into SPLIT_NAMES, and reason, into REASONS, of labelled galaxies, (N,) both."""
    target, fractions = galaxies.target, np.array(params.fractions)
    split, reason = np.full(len(target), UNSET, np.uint8), np.zeros(len(target), np.uint8)
    placed = np.flatnonzero(galaxies.cell >= 0)
    if len(placed):
        of_cell, is_near = deal_apart(galaxies, num_cells, fractions, np.random.default_rng(params.cell_seed))
        split[placed] = of_cell[galaxies.cell[placed]]
        reason[is_near] = _NEAR_BORDER
        kept = placed[~is_near[placed]]
        reason[kept[_stand_again(split[kept], galaxies.twins[kept])]] = _TWIN_BEYOND
    free = np.flatnonzero(reason == 0)
    dealt = split[free]
    deal_rows(dealt, target[free], galaxies.twins[free], fractions=fractions, generator=np.random.default_rng(params.seed))
    split[free] = dealt
    split[reason > 0] = SPLIT_NAMES.index("unused")
    return split, reason


def _require_everywhere(split: NDArray[np.uint8], target: NDArray[np.int64], names: Sequence[str], nside: int) -> None:
    counts = np.stack([np.bincount(target[split == number], minlength=len(names)) for number in range(len(DIVIDED))])  # (3, K)
    few = [
        f"{name} ({', '.join(map(str, count))})" for name, count in zip(names, counts.T.tolist(), strict=True) if min(count) < 1
    ]
    if few:
        raise InputError(
            f"split: cells of nside {nside} leave a class out of train, val or test: {'; '.join(few)}. Try another "
            "split.cell_seed or a larger split.cell_nside, add galaxies, or leave out the class."
        )


def _keep_known(contacts: NDArray[np.int64], cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the contacts with one of ``cells``, (C,) ascending HEALPix numbers, by its place there."""
    place = np.minimum(np.searchsorted(cells, contacts[:, 1]), len(cells) - 1)
    is_known = cells[place] == contacts[:, 1]
    return np.stack([contacts[is_known, 0], place[is_known]], axis=1)


def _stand_again(split: NDArray[np.uint8], twins: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each galaxy has another split than the first of those that are the same galaxy."""
    _, first, which = np.unique(twins, return_index=True, return_inverse=True)
    again: NDArray[np.bool_] = split != split[first][which]
    return again
