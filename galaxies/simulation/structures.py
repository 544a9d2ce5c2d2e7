"""The shapes that galaxies are made of, as planes of relative brightness.

Legend: planes are (H, W) float32; coordinates are planes in units of the galaxy's half-light radius R unless said otherwise:
``along`` and ``across`` the major axis on the sky, ``depth`` across it in the plane of the disc.
"""

import numpy as np
from astropy.modeling.models import Sersic1D
from numpy.typing import NDArray
from scipy import ndimage

from galaxies.simulation.morphology import Debris, Morphology

Plane = NDArray[np.float32]  # (H, W)

_TEXTURE_CELLS, _CELL_PX = 24, 6
_ARMS_BEGIN = 0.3  # R, in a disc without a bar


def make_sersic(radius: Plane, half_light_radius: float, index: float) -> Plane:
    """Return astropy's Sérsic profile, truncated smoothly beyond what deep images show."""
    profile = Sersic1D(amplitude=1.0, r_eff=half_light_radius, n=index)(radius)
    return np.asarray(profile * np.exp(-((radius / (7 * half_light_radius)) ** 4)), np.float32)


def make_edge_on_disc(along: Plane, across: Plane, axis_ratio: float) -> Plane:
    """Return an exponential disc seen from the side, sech^2 across it (van der Kruit & Searle 1981)."""
    length = np.sqrt(along**2 + 0.15**2) * np.float32(1.2)
    profile = np.exp(-length - (np.abs(along) / np.float32(2.4)) ** 6)
    return np.asarray(profile / np.cosh(np.clip(across / np.float32(0.62 * axis_ratio), -40, 40)) ** 2, np.float32)


def make_arms(morphology: Morphology, radius: Plane, azimuth: Plane, generator: np.random.Generator) -> tuple[Plane, Plane]:
    """Return by what to multiply the disc's light, once for the light between the arms and once for that of the arms.

    A logarithmic spiral: the angle grows with the logarithm of the radius by 1 / tan(pitch). Its phase wanders, stretches of
    an arm differ in brightness, and finer patches are sheared the same way, as in flocculent galaxies.
    """
    start = morphology.bar_length * 0.9 if morphology.bar_fraction > 0 else _ARMS_BEGIN
    spiral = morphology.winding * (azimuth - np.float32(morphology.bar_angle)) - np.log(radius / start) / np.float32(
        np.tan(morphology.arm_pitch)
    )
    ray = radius * np.float32(1.1)
    wander = make_texture(ray * np.cos(azimuth), ray * np.sin(azimuth), generator)
    phase = morphology.num_arms * spiral + np.float32(morphology.arm_irregularity) * wander
    crest = np.exp(np.float32(morphology.arm_sharpness) * (np.cos(phase) - 1))
    num_patches = int(generator.integers(7, 18))
    patches = make_texture(
        spiral * np.float32(num_patches / (2 * np.pi)), np.log(radius) * np.float32(2.5), generator, num_patches
    )
    begins = 1 / (1 + np.exp(-(radius - np.float32(start)) / np.float32(0.08)))
    ends = np.exp(-((radius / np.float32(morphology.arm_reach)) ** 4))
    arms = np.float32(morphology.arm_contrast) * crest * begins * ends
    if morphology.ring_contrast > 0:
        arms += np.float32(morphology.ring_contrast) * np.exp(-(((radius - np.float32(start + 0.05)) / 0.14) ** 2))
    scatter = np.exp(np.float32(morphology.flocculence) * patches)
    hollow = morphology.arm_contrast / (2 + 2 * morphology.arm_contrast)  # The arms' light is gathered from between them.
    return np.asarray((1 - np.float32(hollow) * begins) * scatter, np.float32), np.asarray(arms * scatter**2, np.float32)


def make_bar(morphology: Morphology, along: Plane, depth: Plane) -> Plane:
    """Return a bar: boxy ellipses of nearly flat brightness in the plane of the disc."""
    cosine, sine = np.float32(np.cos(morphology.bar_angle)), np.float32(np.sin(morphology.bar_angle))
    length = np.abs(along * cosine + depth * sine) / np.float32(0.62 * morphology.bar_length)
    width = np.abs(-along * sine + depth * cosine) / np.float32(0.18 * morphology.bar_length)
    return np.asarray(np.exp(-0.7 * (length**2.6 + width**2.6) ** (1.6 / 2.6)), np.float32)


def make_knots(where: Plane, generator: np.random.Generator) -> Plane:
    """Return star-forming knots: points that stand where ``where`` is bright, of widely different luminosity."""
    cumulative = np.cumsum(where.ravel(), dtype=np.float64)
    number = int(generator.integers(20, 90))
    places = np.searchsorted(cumulative, generator.random(number) * cumulative[-1]).clip(0, where.size - 1)
    luminosities = generator.lognormal(0, 0.8, number)
    knots = np.bincount(places, luminosities, where.size).reshape(where.shape)
    return np.asarray(ndimage.gaussian_filter(knots.astype(np.float32), 0.8), np.float32)


def make_tail(
    debris: Debris,
    winding: int,
    shape: tuple[int, int],
    centre: tuple[float, float],
    radius_px: float,
    generator: np.random.Generator,
) -> Plane:
    """Return a tidal tail: an arc that leaves the galaxy, ever wider and fainter. ``centre`` (row, column) and radius in px."""
    step = generator.beta(1.0, 1.4, 2500)
    angle = generator.uniform(0, 2 * np.pi) + winding * debris.tail_sweep * step**0.8
    distance = 0.7 + (debris.tail_reach - 0.7) * step + generator.normal(0, 0.12 + 0.22 * step)
    return _scatter_light(shape, centre, radius_px * distance, angle, max(0.15 * radius_px, 1.2))


def make_shell(shape: tuple[int, int], centre: tuple[float, float], radius_px: float, generator: np.random.Generator) -> Plane:
    """Return a shell: an arc about the galaxy with a sharp outer edge."""
    angle = generator.uniform(0, 2 * np.pi) + generator.normal(0, 0.5, 2500)
    distance = generator.uniform(1.5, 2.8) * np.sqrt(1 - 0.4 * generator.random(2500) ** 2)
    return _scatter_light(shape, centre, radius_px * distance, angle, max(0.05 * radius_px, 1.0))


def make_dust_lane(along: Plane, across: Plane, axis_ratio: float, generator: np.random.Generator) -> Plane:
    """Return how much dust lies before each place of an edge-on disc, at most about 1: a ragged lane off the middle."""
    offset = generator.uniform(-0.3, 0.3) * axis_ratio
    ragged = 1 + 0.35 * make_texture(along * 4, across * 4, generator)
    lane = np.exp(-(((across - np.float32(offset)) / np.float32(0.3 * axis_ratio)) ** 2) - (along / 1.5) ** 4)
    return np.asarray(np.clip(lane * ragged, 0, 1.5), np.float32)


def make_texture(u: Plane, v: Plane, generator: np.random.Generator, num_cells: int = _TEXTURE_CELLS) -> Plane:
    """Return a smooth random field of unit variance at (u, v), with about one independent value a unit square.

    It repeats after ``num_cells`` units of u, so that it can be wound round a galaxy.
    """
    table = generator.standard_normal((num_cells * _CELL_PX, _TEXTURE_CELLS * _CELL_PX), np.float32)
    table = ndimage.gaussian_filter(table, _CELL_PX / 2, mode="wrap")
    table /= table.std()
    return np.asarray(
        ndimage.map_coordinates(table, [u * np.float32(_CELL_PX), v * np.float32(_CELL_PX)], order=1, mode="grid-wrap"),
        np.float32,
    )


def _scatter_light(
    shape: tuple[int, int], centre: tuple[float, float], distance: NDArray[np.float64], angle: NDArray[np.float64], width: float
) -> Plane:
    """Return points of light at polar coordinates (px, rad) about ``centre``, smoothed; what falls outside is lost."""
    rows = np.rint(centre[0] + distance * np.sin(angle)).astype(np.int64)
    columns = np.rint(centre[1] + distance * np.cos(angle)).astype(np.int64)
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    counts = np.bincount(rows[inside] * shape[1] + columns[inside], minlength=shape[0] * shape[1])
    light = ndimage.gaussian_filter(counts.reshape(shape).astype(np.float32), width, mode="constant")
    return np.asarray(light / np.float32(len(angle)), np.float32)
