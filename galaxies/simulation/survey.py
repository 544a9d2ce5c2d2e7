"""The built-in survey: simulated galaxies in the ten classes and class shares of Galaxy10 DECaLS. It needs no network.

Its accuracy says nothing about real galaxies. Each row is a view of a scene: a piece of sky with one galaxy, or with two
where the plan asks for neighbours, which are then seen in each other's image. B galaxies in a block.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from galaxies.data.galaxy_writer import GalaxyBlock
from galaxies.simulation.field import add_field, draw_field
from galaxies.simulation.morphology import Morphology
from galaxies.simulation.observation import develop, draw_observation, expose
from galaxies.simulation.populations import draw_morphology
from galaxies.simulation.rendering import render_galaxy
from galaxies.simulation.survey_plan import Plan, leave_labels_away, native_pixel_scale, plan_survey
from galaxies.workers import in_workers

_TASK_GALAXIES = 16  # that one worker renders at a time
_LARGEST_COARSENING = 2.0  # the real cutouts of the largest galaxies have 0.524 arcsec/px instead of 0.262
_FITTING_RADIUS_ARCSEC = 11.0  # half-light radius of the largest galaxy that the native scale holds
_MARGIN = 16  # px beyond the views, so that the light of a star beyond one edge does not come in at the other


def simulate_survey(
    *, num_galaxies: int, image_size: int, seed: int, num_workers: int, unlabelled_fraction: float = 0.0
) -> Iterator[GalaxyBlock]:
    """Render a survey, block by block, in order; the same bytes for any number of workers on one machine.

    Args:
        num_galaxies: at least 20, so that every class has one.
        image_size: S, px.
        seed: of everything.
        num_workers: processes; 0 or 1 renders in this one.
        unlabelled_fraction: share of the galaxies whose label is left away; nothing else changes.
    """
    plan = leave_labels_away(plan_survey(num_galaxies, image_size, seed), unlabelled_fraction, seed)
    starts = range(0, num_galaxies, _TASK_GALAXIES)
    tasks = ((plan.rows(start, start + _TASK_GALAXIES), start, image_size, seed) for start in starts)
    yield from in_workers(_render_block, tasks, num_workers=num_workers)


def draw_galaxy(label: int, image_size: int, generator: np.random.Generator) -> tuple[NDArray[np.uint8], float]:
    """Draw one galaxy of a class, alone in its field: its image (S, S, 3) and the pixel scale in arcsec."""
    morphology = draw_morphology(label, generator)
    pxscale = choose_pixel_scale(morphology, image_size)
    return photograph([morphology], image_size=image_size, pxscale=pxscale, generator=generator), pxscale


def choose_pixel_scale(morphology: Morphology, image_size: int) -> float:
    """Return arcsec/px of the cutout of a galaxy: the native scale, coarser for the few that would not fit."""
    coarsening = np.clip(morphology.radius_arcsec / _FITTING_RADIUS_ARCSEC, 1.0, _LARGEST_COARSENING)
    return native_pixel_scale(image_size) * float(coarsening)


def photograph(
    morphologies: Sequence[Morphology],
    *,
    image_size: int,
    pxscale: float,
    generator: np.random.Generator,
    neighbour_offset: tuple[int, int] = (0, 0),
    view: int = 0,
) -> NDArray[np.uint8]:
    """Return the image (S, S, 3) of a scene of one or two galaxies, centred on the galaxy ``view``.

    The views of one scene are cut from the same canvas: the same stars, seeing and noise, and where they overlap the same
    pixels up to JPEG. ``neighbour_offset`` (right, down) in px says where the second galaxy stands.
    """
    right, down = neighbour_offset
    corners = [(0, 0), (down, right)][: len(morphologies)]  # of the views: (top, left)
    first_top, first_left = _MARGIN - min(down, 0), _MARGIN - min(right, 0)
    height, width = image_size + abs(down) + 2 * _MARGIN, image_size + abs(right) + 2 * _MARGIN
    canvas = np.zeros((3, height, width), np.float32)
    area_cutouts = height * width * (pxscale / 67) ** 2
    observation, field = draw_observation(pxscale, generator), draw_field(area_cutouts, generator)
    middle = (image_size - 1) / 2
    for morphology, (top, left) in zip(morphologies, corners, strict=True):
        centre = (first_top + top + middle, first_left + left + middle)
        canvas += render_galaxy(morphology, shape=(height, width), centre=centre, pxscale=pxscale, generator=generator)
    add_field(canvas, field, pxscale=pxscale, generator=generator)
    exposed = expose(canvas, observation, pxscale=pxscale, generator=generator)
    top, left = first_top + corners[view][0], first_left + corners[view][1]
    return develop(exposed[:, top : top + image_size, left : left + image_size], observation.jpeg_quality)


def draw_scene(plan: Plan, row: int, seed: int) -> tuple[list[Morphology], np.random.Generator]:
    """Return the one or two galaxies of the scene of a row of ``plan``, and the generator that draws all else of it."""
    # A generator of its own for each scene: no galaxy depends on which were drawn before it, or where.
    generator = np.random.default_rng([seed, 1, int(plan.scene[row])])
    classes = [label for label in (int(plan.galaxy[row]), int(plan.neighbour[row])) if label >= 0]
    return [draw_morphology(label, generator) for label in classes], generator


def galaxy_id(row: int) -> str:
    """Return the id of a row of the survey."""
    return f"sim-{row:06d}"


def _render_block(plan: Plan, start: int, image_size: int, seed: int) -> GalaxyBlock:
    """Render the rows of ``plan``, whose first is row ``start`` of the survey."""
    number = len(plan.labels)
    images = np.empty((number, image_size, image_size, 3), np.uint8)
    pxscale, redshift = np.empty(number), np.empty(number)
    for row in range(number):
        morphologies, generator = draw_scene(plan, row, seed)
        alone = len(morphologies) == 1
        pxscale[row] = choose_pixel_scale(morphologies[0], image_size) if alone else native_pixel_scale(image_size)
        redshift[row] = morphologies[plan.view[row]].redshift if plan.has_redshift[row] else np.nan
        images[row] = photograph(
            morphologies,
            image_size=image_size,
            pxscale=pxscale[row],
            generator=generator,
            neighbour_offset=(int(plan.offset_right[row]), int(plan.offset_down[row])),
            view=int(plan.view[row]),
        )
        if plan.is_blank[row]:
            images[row] = 0
    ids = tuple(galaxy_id(row) for row in range(start, start + number))
    return GalaxyBlock(images, plan.labels, plan.ra, plan.dec, redshift, pxscale, ids)
