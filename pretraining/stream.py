"""An endless stream of simulated galaxies, far broader than the simulated survey: any survey's scale, depth, seeing, colour.

Each galaxy is drawn by its class as in the survey, then seen under conditions that no single survey has: it fills a tenth of
the frame or all of it, it is dimmed, blurred, noisy, on a sky of another level, between more or fewer neighbours. What it *is*
goes with it as targets. S image size in px, T targets.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from galaxies.data.galaxy_schema import GALAXY10_CLASS_NAMES
from galaxies.simulation.field import add_field, draw_field
from galaxies.simulation.morphology import Colour, Morphology
from galaxies.simulation.observation import Observation, develop, expose
from galaxies.simulation.populations import draw_morphology
from galaxies.simulation.rendering import render_galaxy

_SPAWN_KEY = 7
_MARGIN = 8  # px beyond the image, so that the light of a star beyond one edge does not come in at the other
_SURVEY_NOISE = np.array([0.00235, 0.00425, 0.0068])  # nanomaggies a native pixel, the depth of the DECam Legacy Survey
_PEDESTAL = np.array([0.005, 0.0088, 0.0136])  # nanomaggies; without them a sky is black, as in SDSS images

TARGET_NAMES = (
    "log_radius_fraction",
    "surface_brightness",
    "axis_ratio",
    "disc_sersic",
    "disc_g_r",
    "disc_r_z",
    "colour_gradient",
    "bulge_fraction",
    "log_bulge_radius",
    "bulge_sersic",
    "bar_fraction",
    "bar_length",
    "num_arms",
    "arm_pitch",
    "arm_contrast",
    "arm_irregularity",
    "ring_contrast",
    "flocculence",
    "patchiness",
    "knot_fraction",
    "edge_on",
    "dust_lane",
    "lopsidedness",
    "distortion",
    "tail_fraction",
    "shell_fraction",
    "halo_fraction",
    "companion",
    "companion_separation",
)
"""Physical parameters, the columns of the targets; NaN where a galaxy has no such thing."""


@dataclass(frozen=True)
class Conditions:
    """How a galaxy is seen."""

    radius_fraction: float  # of its half-light radius, or a pair's extent, to the width of the image
    dimming: float  # magnitudes, as surface brightness falls with redshift
    reddening: Colour  # of g - r and r - z
    psf_fwhm_px: float
    noise_factor: float  # of the survey's noise
    sky_factor: float  # 0: a black sky; 1: the survey's dark grey
    crowding: float  # area of sky whose stars and galaxies stand in the image, in cutouts of 67 by 67 arcsec
    jpeg_quality: int
    has_neighbour: bool
    shift: tuple[float, float]  # of the galaxy from the middle, of the image's width


def make_generator(seed: int, index: int) -> np.random.Generator:
    """Return the generator of galaxy ``index`` of the stream ``seed``.

    The simulated survey seeds its generators with short lists of numbers; a spawn key lengthens NumPy's seed beyond any of
    those, so that no galaxy of the survey is ever one of the stream, whatever the seeds.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_SPAWN_KEY, index)))


def simulate(seed: int, index: int, image_size: int) -> tuple[NDArray[np.uint8], int, NDArray[np.float32]]:
    """Return galaxy ``index``: its image (S, S, 3), its Galaxy10 class, its targets (T,)."""
    generator = make_generator(seed, index)
    label = index % len(GALAXY10_CLASS_NAMES)  # Every class is as frequent as any other.
    conditions = draw_conditions(generator)
    morphology = _seen_under(conditions, _vary(draw_morphology(label, generator), generator))
    image = photograph(morphology, conditions, image_size=image_size, generator=generator)
    return image, label, describe(morphology, conditions)


def draw_conditions(generator: np.random.Generator) -> Conditions:
    """Draw conditions from DECam cutouts of small galaxies to SDSS images that a nearby one fills."""
    return Conditions(
        radius_fraction=_log_uniform(generator, 0.05, 0.24),
        dimming=float(np.clip(generator.normal(0.0, 0.9), -2.0, 1.7)),
        reddening=(float(generator.normal(-0.04, 0.12)), float(generator.normal(-0.04, 0.12))),
        psf_fwhm_px=_log_uniform(generator, 0.9, 4.0),
        noise_factor=_log_uniform(generator, 0.2, 2.0),
        sky_factor=float(generator.uniform(-0.2, 1.1)),
        crowding=_log_uniform(generator, 0.05, 1.0),
        jpeg_quality=int(generator.integers(70, 99)),
        has_neighbour=bool(generator.random() < 0.12),
        shift=(float(0.02 * generator.normal()), float(0.02 * generator.normal())),
    )


def photograph(
    morphology: Morphology, conditions: Conditions, *, image_size: int, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the image (S, S, 3) of a galaxy, its stars and its neighbours."""
    size = image_size + 2 * _MARGIN
    pxscale = _extent_arcsec(morphology) / (conditions.radius_fraction * image_size)
    middle = (size - 1) / 2
    centre = (middle + conditions.shift[0] * image_size, middle + conditions.shift[1] * image_size)
    canvas = render_galaxy(morphology, shape=(size, size), centre=centre, pxscale=pxscale, generator=generator)
    if conditions.has_neighbour:
        canvas += _render_neighbour(morphology, conditions, size, pxscale, generator)
    field_canvas = np.zeros_like(canvas)
    # Whatever the galaxy's own scale, the field is as dense as `crowding` says: else a far view had thousands of objects.
    field_pxscale = float(67 / image_size * np.sqrt(conditions.crowding))
    add_field(field_canvas, draw_field(conditions.crowding, generator), pxscale=field_pxscale, generator=generator)
    canvas += field_canvas * np.float32((pxscale / field_pxscale) ** 2)
    fwhm = conditions.psf_fwhm_px * pxscale
    noise = _SURVEY_NOISE * conditions.noise_factor * np.exp(0.15 * generator.normal(size=3))
    sky = _PEDESTAL * (conditions.sky_factor - 1 + 0.08 * generator.normal(size=3))
    observation = Observation(
        psf_fwhm_arcsec=(fwhm * 1.06, fwhm, fwhm * 0.94),
        noise=(float(noise[0]), float(noise[1]), float(noise[2])),
        sky=(float(sky[0]), float(sky[1]), float(sky[2])),
        sky_waviness=float(0.0003 * generator.exponential()),
        seam_noise=float(generator.uniform(1.2, 2.5)) if generator.random() < 0.1 else 1.0,
        jpeg_quality=conditions.jpeg_quality,
    )
    exposed = expose(canvas, observation, pxscale=pxscale, generator=generator)
    return develop(exposed[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN], conditions.jpeg_quality)


def describe(morphology: Morphology, conditions: Conditions) -> NDArray[np.float32]:
    """Return the targets (T,) of a galaxy, in the order of ``TARGET_NAMES``."""
    bulge, bar, arms = morphology.bulge_fraction > 0, morphology.bar_fraction > 0, morphology.num_arms > 0
    companion, nothing = morphology.companion, np.nan
    separation = np.hypot(*morphology.companion_offset) / morphology.radius_arcsec
    debris = max((one.debris.tail_fraction for one in (morphology, companion) if one is not None), default=0.0)
    shells = max((one.debris.shell_fraction for one in (morphology, companion) if one is not None), default=0.0)
    scale = morphology.radius_arcsec / _extent_arcsec(morphology)
    values = (
        np.log(conditions.radius_fraction * scale),
        morphology.surface_brightness,
        morphology.axis_ratio,
        nothing if morphology.is_edge_on else morphology.disc_sersic,
        *morphology.disc_colour,
        morphology.colour_gradient,
        morphology.bulge_fraction,
        np.log(morphology.bulge_radius) if bulge else nothing,
        morphology.bulge_sersic if bulge else nothing,
        morphology.bar_fraction,
        morphology.bar_length if bar else nothing,
        morphology.num_arms,
        morphology.arm_pitch if arms else nothing,
        morphology.arm_contrast if arms else 0.0,
        morphology.arm_irregularity if arms else nothing,
        morphology.ring_contrast,
        morphology.flocculence if arms else 0.0,
        morphology.patchiness,
        min(morphology.knot_fraction, 0.15),
        float(morphology.is_edge_on),
        morphology.dust_lane if morphology.is_edge_on else nothing,
        morphology.lopsidedness,
        morphology.distortion,
        min(debris, 0.25),
        min(shells, 0.1),
        morphology.halo_fraction,
        float(companion is not None),
        separation if companion is not None else nothing,
    )
    return np.array(values, np.float32)


def _vary(morphology: Morphology, generator: np.random.Generator) -> Morphology:
    """Widen what the survey draws, within the class: stronger and weaker arms and bulges, clumpier discs."""

    def scatter(width: float) -> float:
        return float(np.exp(width * generator.normal()))

    # Nearby galaxies, seen larger than the survey ever does, show knots and flocculence.
    is_clumpy = generator.random() < 0.4
    return replace(
        morphology,
        bulge_fraction=min(morphology.bulge_fraction * scatter(0.25), 0.7),
        bulge_radius=morphology.bulge_radius * scatter(0.15),
        bar_fraction=min(morphology.bar_fraction * scatter(0.2), 0.4),
        arm_contrast=morphology.arm_contrast * scatter(0.3),
        arm_reach=morphology.arm_reach * scatter(0.15),
        flocculence=morphology.flocculence * (scatter(0.3) + is_clumpy),
        patchiness=morphology.patchiness * scatter(0.3),
        knot_fraction=min(morphology.knot_fraction * (1 + 2 * is_clumpy), 0.25),
        disc_sersic=float(np.clip(morphology.disc_sersic * scatter(0.1), 0.5, 6.0)),
    )


def _seen_under(conditions: Conditions, morphology: Morphology) -> Morphology:
    """Dim and redden a galaxy and its companion."""
    red_g, red_z = conditions.reddening
    return replace(
        morphology,
        surface_brightness=morphology.surface_brightness + conditions.dimming,
        disc_colour=(morphology.disc_colour[0] + red_g, morphology.disc_colour[1] + red_z),
        bulge_colour=(morphology.bulge_colour[0] + red_g, morphology.bulge_colour[1] + red_z),
        companion=None if morphology.companion is None else _seen_under(conditions, morphology.companion),
    )


def _extent_arcsec(morphology: Morphology) -> float:
    """Return the half-light radius, of a pair with a part of its separation: what is to fit into the frame."""
    return morphology.radius_arcsec + 0.3 * float(np.hypot(*morphology.companion_offset))


def _render_neighbour(
    morphology: Morphology, conditions: Conditions, size: int, pxscale: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return an unrelated galaxy, smaller than the first, that stands off the middle."""
    other = _seen_under(conditions, draw_morphology(int(generator.integers(2, 10)), generator))
    other = replace(other, radius_arcsec=morphology.radius_arcsec * float(generator.uniform(0.2, 0.8)))
    angle, distance = generator.uniform(0, 2 * np.pi), generator.uniform(0.3, 0.6) * size
    centre = (size / 2 + distance * np.sin(angle), size / 2 + distance * np.cos(angle))
    return render_galaxy(other, shape=(size, size), centre=centre, pxscale=pxscale, generator=generator)


def _log_uniform(generator: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(generator.uniform(np.log(low), np.log(high))))
