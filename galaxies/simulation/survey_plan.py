"""What is decided of a simulated survey before anything is drawn: classes, positions and the defects it is given.

Real catalogues hold by accident what is planted here on purpose, in the shares of Galaxy10 DECaLS: the same galaxy twice under
two labels, neighbours in each other's images, blank images, unknown redshifts. M rows.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from galaxies.data.galaxy_writer import pack_labels
from galaxies.data.splits import UNLABELLED
from galaxies.simulation.observation import NATIVE_PIXEL_ARCSEC

GALAXY10_COUNTS = (1081, 1853, 2645, 2027, 334, 2043, 1829, 2628, 1423, 1873)
"""Galaxies of each class in Galaxy10 DECaLS (astroNN's documentation)."""

# In Galaxy10 DECaLS: contradictory pairs, other pairs within 10 arcsec, other pairs within 67, blanks, unknown redshifts.
_NUM_GALAXIES = sum(GALAXY10_COUNTS)
_TWIN_SHARE, _PAIR_SHARE, _NEIGHBOUR_SHARE = 59 / _NUM_GALAXIES, 67 / _NUM_GALAXIES, 110 / _NUM_GALAXIES
_BLANK_SHARE, _NAN_SHARE = 3 / _NUM_GALAXIES, 92 / _NUM_GALAXIES

_FIELD_ARCSEC = 256 * NATIVE_PIXEL_ARCSEC  # the width of a cutout, 67
_FOOTPRINT_DEC = (-20.0, 33.0)  # deg; of the DECam Legacy Survey, roughly


@dataclass(frozen=True)
class Plan:
    """Columns of M rows. A row is a view of a scene; rows of one scene see the same sky."""

    labels: NDArray[np.integer[Any]]  # ascending, as in the real file; where labels were left away int16 and -1
    scene: NDArray[np.int64]  # seed of the scene
    galaxy: NDArray[np.int64]  # class of the scene's galaxy; not the row's label in a contradictory twin
    neighbour: NDArray[np.int64]  # class of a second galaxy in the scene, or -1
    offset_right: NDArray[np.int64]  # px from the galaxy to the neighbour
    offset_down: NDArray[np.int64]
    view: NDArray[np.int64]  # 0: the image is centred on the galaxy; 1: on the neighbour
    ra: NDArray[np.float64]  # deg
    dec: NDArray[np.float64]
    is_blank: NDArray[np.bool_]
    has_redshift: NDArray[np.bool_]

    def rows(self, start: int, stop: int) -> Self:
        """Return some of the rows."""
        return type(self)(**{column.name: getattr(self, column.name)[start:stop] for column in fields(self)})


def native_pixel_scale(image_size: int) -> float:
    """Return arcsec/px of a cutout as wide on the sky as Galaxy10's."""
    return _FIELD_ARCSEC / image_size


def plan_survey(num_galaxies: int, image_size: int, seed: int) -> Plan:
    """Decide classes and positions, and plant twins, neighbours, blanks and unknown redshifts."""
    generator = np.random.default_rng([seed, 0])
    labels = np.repeat(np.arange(10), share_out(num_galaxies, GALAXY10_COUNTS)).astype(np.uint8)
    ra, dec = _scatter(num_galaxies, generator)
    plan = Plan(
        labels=labels,
        scene=np.arange(num_galaxies),
        galaxy=labels.astype(np.int64),
        neighbour=np.full(num_galaxies, -1),
        offset_right=np.zeros(num_galaxies, np.int64),
        offset_down=np.zeros(num_galaxies, np.int64),
        view=np.zeros(num_galaxies, np.int64),
        ra=ra,
        dec=dec,
        is_blank=np.zeros(num_galaxies, bool),
        has_redshift=np.ones(num_galaxies, bool),
    )
    free = generator.permutation(num_galaxies).tolist()  # rows to which nothing was done yet
    for _ in range(_planted(num_galaxies, _TWIN_SHARE)):
        _plant_twin(plan, free)
    for share, nearest, farthest in ((_PAIR_SHARE, 3.0, 9.5), (_NEIGHBOUR_SHARE, 11.0, 65.0)):
        for _ in range(_planted(num_galaxies, share)):
            distance = generator.uniform(nearest, farthest)
            _plant_neighbour(plan, free, distance, generator.uniform(0, 2 * np.pi), native_pixel_scale(image_size))
    for _ in range(_planted(num_galaxies, _BLANK_SHARE)):
        plan.is_blank[free.pop()] = True
    for _ in range(_planted(num_galaxies, _NAN_SHARE)):
        plan.has_redshift[free.pop()] = False
    return plan


def leave_labels_away(plan: Plan, fraction: float, seed: int) -> Plan:
    """Return the plan in which a share of the galaxies, drawn by chance, has no label; they look as they did."""
    chosen = np.random.default_rng([seed, 2]).permutation(len(plan.labels))[: round(fraction * len(plan.labels))]
    labels = plan.labels.astype(np.int16)
    labels[chosen] = UNLABELLED
    return replace(plan, labels=pack_labels(labels))


def share_out(total: int, counts: tuple[int, ...]) -> NDArray[np.int64]:
    """Divide ``total`` in the shares of ``counts`` by largest remainder, at least one each."""
    exact = np.array(counts) / sum(counts) * total
    shares = np.maximum(np.floor(exact), 1).astype(np.int64)
    order = np.argsort(shares - exact)
    shares[order[: max(total - shares.sum(), 0)]] += 1
    while shares.sum() > total:
        shares[shares.argmax()] -= 1
    return shares


def _planted(num_galaxies: int, share: float) -> int:
    """Return how many of a rarity to plant: its real share, at least one where there is room, none in a toy survey."""
    return max(round(num_galaxies * share), 1) if num_galaxies >= 100 else 0


def _plant_twin(plan: Plan, free: list[int]) -> None:
    """Make a row of another class a second record of the same galaxy: same place, same pixels, another label."""
    first = free.pop()
    position = next(place for place in reversed(range(len(free))) if plan.labels[free[place]] != plan.labels[first])
    second = free.pop(position)
    plan.scene[second], plan.galaxy[second] = plan.scene[first], plan.galaxy[first]
    plan.ra[second], plan.dec[second] = plan.ra[first], plan.dec[first]


def _plant_neighbour(plan: Plan, free: list[int], distance_arcsec: float, angle: float, pxscale: float) -> None:
    """Put two galaxies into one scene, whole pixels apart, so that each stands in the other's image."""
    first, second = free.pop(), free.pop()
    right = round(distance_arcsec * np.cos(angle) / pxscale)
    down = round(distance_arcsec * np.sin(angle) / pxscale)
    plan.scene[second], plan.galaxy[second], plan.view[second] = plan.scene[first], plan.galaxy[first], 1
    for row in (first, second):
        plan.neighbour[row] = plan.labels[second]
        plan.offset_right[row], plan.offset_down[row] = right, down
    # North is up and east is left.
    plan.dec[second] = plan.dec[first] - down * pxscale / 3600
    plan.ra[second] = (plan.ra[first] - right * pxscale / 3600 / np.cos(np.deg2rad(plan.dec[first]))) % 360


def _scatter(number: int, generator: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return positions in the footprint, (M,) deg each, in cells of their own, so that none are neighbours by accident."""
    low, high = np.sin(np.deg2rad(_FOOTPRINT_DEC))
    num_columns = int(np.ceil(np.sqrt(number * 6.8)))
    num_rows = -(-number // num_columns)
    cells = generator.permutation(num_columns * num_rows)[:number]
    column, row = cells % num_columns, cells // num_columns
    # Each stays in the middle of its cell, which is far wider than a cutout for any catalogue that fits on a disk.
    ra = (column + generator.uniform(0.2, 0.8, number)) / num_columns * 360
    sine = low + (row + generator.uniform(0.2, 0.8, number)) / num_rows * (high - low)
    return ra, np.rad2deg(np.arcsin(sine))
