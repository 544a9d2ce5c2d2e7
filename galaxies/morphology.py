"""Physical parameters of galaxies, drawn by class: what a galaxy *is*, before anything is said of how it is seen.

Radii are in arcsec or in units of the galaxy's half-light radius, angles in radians, colours and brightness in magnitudes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from galaxies.galaxy_file import GALAXY10_CLASS_NAMES

Colour = tuple[float, float]
"""g - r and r - z."""


@dataclass(frozen=True)
class Morphology:
    """One galaxy. Light is shared out between bulge, bar and disc; arms, clumps and tails are made of the disc's."""

    radius_arcsec: float  # half-light radius along the major axis
    surface_brightness: float  # mean in r within that radius, mag/arcsec^2
    axis_ratio: float  # of the disc on the sky; of an edge-on disc its thickness
    position_angle: float
    disc_sersic: float = 1.0
    disc_colour: Colour = (0.55, 0.38)
    bulge_fraction: float = 0.0  # of the light
    bulge_radius: float = 0.2  # in units of radius_arcsec
    bulge_sersic: float = 2.5
    bulge_axis_ratio: float = 0.9
    bulge_colour: Colour = (0.80, 0.58)
    bar_fraction: float = 0.0  # of the light
    bar_length: float = 0.8
    bar_angle: float = 0.0  # in the plane of the disc
    num_arms: int = 0
    arm_pitch: float = 0.3
    arm_contrast: float = 0.0  # of the arms' crest above the disc between them
    arm_sharpness: float = 2.0
    arm_irregularity: float = 0.0  # wander of the arms' phase
    winding: int = 1  # +1 or -1
    ring: float = 0.0  # contrast of an inner ring
    clump_fraction: float = 0.0  # of the disc's light, in star-forming knots
    is_edge_on: bool = False
    dust_lane: float = 0.0  # depth in g
    lopsidedness: float = 0.0  # shift of the disc against its centre
    distortion: float = 0.0  # large-scale bending, in units of radius_arcsec
    tail_fraction: float = 0.0  # of the disc's light, in tidal tails
    companion: "Morphology | None" = None
    companion_offset: tuple[float, float] = (0.0, 0.0)  # arcsec


def draw_morphology(label: int, generator: np.random.Generator) -> Morphology:
    """Draw a galaxy of one of the ten Galaxy10 classes."""
    return _DRAWS[GALAXY10_CLASS_NAMES[label]](generator)


def _size(generator: np.random.Generator, median_arcsec: float, scatter: float = 0.32) -> float:
    return float(np.clip(median_arcsec * np.exp(scatter * generator.normal()), 1.6, 17.0))


def _colour(generator: np.random.Generator, g_r: float, r_z: float, scatter: float = 0.08) -> Colour:
    # Both colours redden together with age and dust; a little is their own.
    shift = scatter * generator.normal()
    return (g_r + shift + 0.03 * generator.normal(), r_z + 0.8 * shift + 0.03 * generator.normal())


def _angle(generator: np.random.Generator) -> float:
    return float(generator.uniform(0, np.pi))


def _inclined(generator: np.random.Generator, smallest: float) -> float:
    """Return the axis ratio of a thin disc at a random inclination, not flatter than ``smallest``."""
    cosine = generator.uniform(smallest, 1.0)
    return float(np.sqrt(cosine**2 * (1 - 0.2**2) + 0.2**2))


def _smooth(generator: np.random.Generator, radius: float, low: float, high: float) -> Morphology:
    is_blue = generator.random() < 0.18
    colour = _colour(generator, 0.55, 0.42) if is_blue else _colour(generator, 0.86, 0.59, 0.06)
    return Morphology(
        radius_arcsec=_size(generator, radius),
        surface_brightness=float(generator.normal(20.55, 0.45)),
        axis_ratio=float(generator.uniform(low, high)),
        position_angle=_angle(generator),
        disc_sersic=float(np.clip(generator.normal(1.6 if is_blue else 2.9, 0.8), 0.9, 5.5)),
        disc_colour=colour,
    )


def _round(generator: np.random.Generator) -> Morphology:
    return _smooth(generator, 2.0, 0.86, 1.0)


def _in_between(generator: np.random.Generator) -> Morphology:
    return _smooth(generator, 2.9, 0.5, 0.8)


def _cigar(generator: np.random.Generator) -> Morphology:
    smooth = _smooth(generator, 4.1, 0.22, 0.38)
    return replace(
        smooth,
        disc_sersic=float(generator.uniform(0.9, 1.8)),
        disc_colour=_colour(generator, 0.68, 0.47, 0.13),
        surface_brightness=float(generator.normal(21.2, 0.4)),
    )


def _spiral(generator: np.random.Generator, radius: float) -> Morphology:
    return Morphology(
        radius_arcsec=_size(generator, radius),
        surface_brightness=float(generator.normal(21.7, 0.45)),
        axis_ratio=_inclined(generator, 0.4),
        position_angle=_angle(generator),
        disc_sersic=float(generator.uniform(0.8, 1.2)),
        disc_colour=_colour(generator, 0.76, 0.51, 0.12),
        bulge_fraction=float(generator.uniform(0.08, 0.28)),
        bulge_radius=float(generator.uniform(0.12, 0.25)),
        bulge_sersic=float(generator.uniform(1.0, 3.0)),
        bulge_axis_ratio=float(generator.uniform(0.8, 1.0)),
        bulge_colour=_colour(generator, 0.80, 0.58, 0.05),
        num_arms=2,
        arm_contrast=float(generator.uniform(1.0, 2.8)),
        arm_sharpness=float(generator.uniform(1.0, 2.6)),
        arm_irregularity=float(generator.uniform(0.3, 0.9)),
        winding=int(generator.choice([-1, 1])),
        clump_fraction=float(generator.uniform(0.0, 0.05)),
    )


def _barred(generator: np.random.Generator) -> Morphology:
    length = float(generator.uniform(0.6, 1.1))
    return replace(
        _spiral(generator, 6.8),
        axis_ratio=_inclined(generator, 0.55),
        bulge_fraction=float(generator.uniform(0.04, 0.14)),
        bulge_radius=float(generator.uniform(0.10, 0.18)),
        bar_fraction=float(generator.uniform(0.12, 0.28)),
        bar_length=length,
        bar_angle=_angle(generator),
        arm_pitch=float(np.deg2rad(generator.uniform(10, 28))),
        ring=float(generator.uniform(0.3, 2.0)) if generator.random() < 0.5 else 0.0,
        surface_brightness=float(generator.normal(21.8, 0.4)),
    )


def _tight(generator: np.random.Generator) -> Morphology:
    return replace(
        _spiral(generator, 6.4),
        num_arms=int(generator.choice([2, 2, 3, 4])),
        arm_pitch=float(np.deg2rad(generator.uniform(7, 15))),
        arm_contrast=float(generator.uniform(0.5, 1.8)),
        ring=float(generator.uniform(0.3, 1.5)) if generator.random() < 0.4 else 0.0,
        bulge_fraction=float(generator.uniform(0.15, 0.4)),
    )


def _loose(generator: np.random.Generator) -> Morphology:
    return replace(
        _spiral(generator, 6.4),
        num_arms=int(generator.choice([1, 2, 2, 2, 2, 3])),
        arm_pitch=float(np.deg2rad(generator.uniform(18, 36))),
        arm_contrast=float(generator.uniform(1.6, 4.2)),
        disc_colour=_colour(generator, 0.67, 0.45, 0.12),
        bulge_fraction=float(generator.uniform(0.04, 0.18)),
        clump_fraction=float(generator.uniform(0.0, 0.08)),
        lopsidedness=float(generator.uniform(0.0, 0.15)),
    )


def _edge_on(generator: np.random.Generator) -> Morphology:
    return Morphology(
        radius_arcsec=_size(generator, 8.2, 0.3),
        surface_brightness=float(generator.normal(21.7, 0.4)),
        axis_ratio=float(generator.uniform(0.17, 0.30)),
        position_angle=_angle(generator),
        disc_colour=_colour(generator, 0.78, 0.56, 0.12),
        is_edge_on=True,
        dust_lane=float(generator.uniform(0.0, 0.5)),
        clump_fraction=float(generator.uniform(0.0, 0.08)),
        distortion=float(generator.uniform(0.0, 0.04)),
    )


def _edge_on_with_bulge(generator: np.random.Generator) -> Morphology:
    return replace(
        _edge_on(generator),
        radius_arcsec=_size(generator, 8.0, 0.3),
        surface_brightness=float(generator.normal(21.5, 0.4)),
        disc_colour=_colour(generator, 0.80, 0.57, 0.09),
        bulge_fraction=float(generator.uniform(0.22, 0.5)),
        bulge_radius=float(generator.uniform(0.16, 0.3)),
        bulge_axis_ratio=float(generator.uniform(0.6, 0.9)),
        bulge_colour=_colour(generator, 0.84, 0.60, 0.05),
        dust_lane=float(generator.uniform(0.0, 0.6)),
    )


def _disturbed(generator: np.random.Generator) -> Morphology:
    base = _in_between(generator) if generator.random() < 0.3 else _loose(generator)
    return replace(
        base,
        radius_arcsec=_size(generator, 4.4, 0.35),
        surface_brightness=float(generator.normal(21.4, 0.45)),
        axis_ratio=_inclined(generator, 0.35),
        lopsidedness=float(generator.uniform(0.15, 0.6)),
        distortion=float(generator.uniform(0.15, 0.5)),
        tail_fraction=float(generator.uniform(0.05, 0.25)),
        arm_irregularity=float(generator.uniform(0.8, 1.6)),
        clump_fraction=float(generator.uniform(0.0, 0.08)),
        disc_colour=_colour(generator, 0.70, 0.48, 0.14),
    )


def _merging(generator: np.random.Generator) -> Morphology:
    draws = [_in_between, _in_between, _round, _disturbed]
    first, second = (draws[generator.integers(len(draws))](generator) for _ in range(2))
    radius = _size(generator, 4.8, 0.3)
    direction = generator.uniform(0, 2 * np.pi)
    separation = radius * generator.uniform(1.0, 2.4)
    second = replace(
        second,
        radius_arcsec=radius * float(generator.uniform(0.4, 0.9)),
        surface_brightness=first.surface_brightness + float(generator.uniform(-0.4, 0.6)),
        distortion=float(generator.uniform(0.1, 0.5)),
        tail_fraction=float(generator.uniform(0.0, 0.3)),
        companion=None,
    )
    return replace(
        first,
        radius_arcsec=radius,
        distortion=float(generator.uniform(0.1, 0.5)),
        tail_fraction=float(generator.uniform(0.0, 0.35)),
        companion=second,
        companion_offset=(float(separation * np.cos(direction)), float(separation * np.sin(direction))),
    )


_DRAWS: dict[str, Callable[[np.random.Generator], Morphology]] = dict(
    zip(
        GALAXY10_CLASS_NAMES,
        (
            _disturbed,
            _merging,
            _round,
            _in_between,
            _cigar,
            _barred,
            _tight,
            _loose,
            _edge_on,
            _edge_on_with_bulge,
        ),
        strict=True,
    )
)
