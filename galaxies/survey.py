"""The built-in survey: simulated galaxies in the ten classes and class shares of Galaxy10 DECaLS. It needs no network.

Its accuracy says nothing about real galaxies. It plants on purpose what real catalogues hold by accident: the same galaxy
twice under two labels, neighbours in each other's field, blank images and unknown redshifts. B galaxies in a block.
"""

import multiprocessing
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from galaxies.galaxy_file import GalaxyBlock
from galaxies.morphology import Morphology, draw_morphology
from galaxies.observation import draw_observation, observe
from galaxies.rendering import render_galaxy

GALAXY10_COUNTS = (1081, 1853, 2645, 2027, 334, 2043, 1829, 2628, 1423, 1873)
"""Galaxies of each class in Galaxy10 DECaLS."""

# Shares in Galaxy10 DECaLS: 59 contradictory pairs, 67 close pairs within 10 arcsec, 110 more within 67, 3 blanks, 92 NaN.
_TWIN_SHARE, _PAIR_SHARE, _NEIGHBOUR_SHARE, _BLANK_SHARE, _NAN_SHARE = (
    59 / 17736,
    67 / 17736,
    110 / 17736,
    3 / 17736,
    92 / 17736,
)

_BLOCK_ROWS = 16
_PIXEL_SCALE = 0.262  # arcsec, of the survey's native images
_LARGEST_PIXEL_SCALE = 0.524  # of the cutouts of galaxies that do not fit otherwise


@dataclass(frozen=True)
class Plan:
    """What is decided of every galaxy before any is drawn; M galaxies."""

    labels: NDArray[np.uint8]  # (M,) ascending, as in the real file
    drawn_as: NDArray[np.int64]  # (M,) class of the galaxy in the image; another one for a contradictory twin
    scene: NDArray[np.int64]  # (M,) seed of the scene: twins share it
    is_blank: NDArray[np.bool_]
    ra: NDArray[np.float64]  # (M,) deg
    dec: NDArray[np.float64]
    redshift: NDArray[np.float64]


def simulate_survey(*, num_galaxies: int, image_size: int, seed: int, num_workers: int) -> Iterator[GalaxyBlock]:
    """Render a survey, block by block, in order; the same bytes for any number of workers on one machine.

    Args:
        num_galaxies: at least 20, so that every class has one.
        image_size: S, px.
        seed: of everything.
        num_workers: processes; 0 or 1 renders in this one.
    """
    plan = plan_survey(num_galaxies, seed)
    starts = range(0, num_galaxies, _BLOCK_ROWS)
    render = partial(_render_block, plan, image_size, seed)
    if num_workers <= 1:
        yield from map(render, starts)
        return
    # A fresh interpreter each: a fork would inherit the threads of PyTorch and HDF5 in an unknown state.
    with ProcessPoolExecutor(num_workers, multiprocessing.get_context("spawn")) as executor:
        pending: deque[Future[GalaxyBlock]] = deque()
        try:
            for start in starts:
                # A bounded window: results must not pile up in memory while the file is written.
                if len(pending) == 2 * num_workers:
                    yield pending.popleft().result()
                pending.append(executor.submit(render, start))
            while pending:
                yield pending.popleft().result()
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


def plan_survey(num_galaxies: int, seed: int) -> Plan:
    """Decide classes, positions and redshifts, and plant twins, neighbours, blanks and unknown redshifts."""
    generator = np.random.default_rng([seed, 0])
    labels = np.repeat(np.arange(10), _share_out(num_galaxies, GALAXY10_COUNTS)).astype(np.uint8)
    ra, dec = _scatter(num_galaxies, generator)
    redshift = np.clip(generator.lognormal(np.log(0.085), 0.5, num_galaxies), 0.005, 0.4)
    drawn_as, scene = labels.astype(np.int64), np.arange(num_galaxies)
    free = list(generator.permutation(num_galaxies))
    for _ in range(_planted(num_galaxies, _TWIN_SHARE)):
        first = free.pop()
        second = next(index for index in reversed(free) if labels[index] != labels[first])
        free.remove(second)
        scene[second], drawn_as[second] = scene[first], drawn_as[first]
        ra[second], dec[second], redshift[second] = ra[first], dec[first], redshift[first]
    for share, low, high in ((_PAIR_SHARE, 3.0, 10.0), (_NEIGHBOUR_SHARE, 12.0, 66.0)):
        for _ in range(_planted(num_galaxies, share)):
            first, second = free.pop(), free.pop()
            distance, angle = generator.uniform(low, high) / 3600, generator.uniform(0, 2 * np.pi)
            dec[second] = dec[first] + distance * np.sin(angle)
            ra[second] = ra[first] + distance * np.cos(angle) / np.cos(np.deg2rad(dec[first]))
    is_blank = np.zeros(num_galaxies, bool)
    is_blank[[free.pop() for _ in range(_planted(num_galaxies, _BLANK_SHARE))]] = True
    redshift[[free.pop() for _ in range(_planted(num_galaxies, _NAN_SHARE))]] = np.nan
    return Plan(labels, drawn_as, scene, is_blank, ra % 360, dec, redshift)


def draw_galaxy(label: int, image_size: int, generator: np.random.Generator) -> tuple[NDArray[np.uint8], float]:
    """Draw one galaxy of a class: its image (S, S, 3) and the pixel scale in arcsec."""
    morphology = draw_morphology(label, generator)
    pxscale = choose_pixel_scale(morphology) * 256 / image_size
    planes = render_galaxy(morphology, image_size=image_size, pxscale=pxscale, generator=generator)
    observation = draw_observation(image_size, pxscale, generator)
    return observe(planes, observation, pxscale=pxscale, generator=generator), pxscale


def choose_pixel_scale(morphology: Morphology) -> float:
    """Return arcsec/px of a cutout of 256 px: the native scale, coarser for the few galaxies that would not fit."""
    fitting = morphology.radius_arcsec / 11.0 * _PIXEL_SCALE
    return float(np.clip(fitting, _PIXEL_SCALE, _LARGEST_PIXEL_SCALE))


def _render_block(plan: Plan, image_size: int, seed: int, start: int) -> GalaxyBlock:
    rows = range(start, min(start + _BLOCK_ROWS, len(plan.labels)))
    images = np.empty((len(rows), image_size, image_size, 3), np.uint8)
    pxscale = np.empty(len(rows))
    for position, row in enumerate(rows):
        # A generator of its own for each scene: no galaxy depends on which were drawn before it, or where.
        generator = np.random.default_rng([seed, 1, int(plan.scene[row])])
        images[position], pxscale[position] = draw_galaxy(int(plan.drawn_as[row]), image_size, generator)
        if plan.is_blank[row]:
            images[position] = 0
    block = slice(rows.start, rows.stop)
    return GalaxyBlock(
        images,
        plan.labels[block],
        plan.ra[block],
        plan.dec[block],
        plan.redshift[block],
        pxscale,
        tuple(f"sim-{row:06d}" for row in rows),
    )


def _share_out(total: int, counts: tuple[int, ...]) -> NDArray[np.int64]:
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


def _scatter(number: int, generator: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return positions in the footprint, (M,) deg each, in cells of their own, so that none are neighbours by accident."""
    low, high = np.sin(np.deg2rad([-20.0, 33.0]))
    num_columns = int(np.ceil(np.sqrt(number * 6.8)))
    num_rows = -(-number // num_columns)
    cells = generator.permutation(num_columns * num_rows)[:number]
    column, row = cells % num_columns, cells // num_columns
    # Each stays in the middle of its cell, which is far wider than a cutout for any catalogue that fits on a disk.
    ra = (column + generator.uniform(0.2, 0.8, number)) / num_columns * 360
    sine = low + (row + generator.uniform(0.2, 0.8, number)) / num_rows * (high - low)
    return ra, np.rad2deg(np.arcsin(sine))
