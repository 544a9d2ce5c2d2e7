"""Physical parameters of galaxies, drawn by class: what a galaxy *is*, before anything is said of how it is seen.

Radii are in arcsec or, where said, in units of the galaxy's half-light radius R; angles in radians, brightness and colours
in magnitudes (AB). Nothing here draws a pixel, and nothing in the rendering chooses a parameter of these.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from galaxies.data.galaxy_schema import GALAXY10_CLASS_NAMES

Colour = tuple[float, float]
"""g - r and r - z."""


@dataclass(frozen=True)
class Debris:
    """What an encounter tore out of a disc; fractions are of the disc's light."""

    tail_fraction: float = 0.0
    tail_reach: float = 2.5  # R
    tail_sweep: float = 2.0  # angle that a tail goes round
    num_tails: int = 1
    shell_fraction: float = 0.0


@dataclass(frozen=True)
class Morphology:
    """One galaxy. Its light is shared out between bulge, bar, halo and disc; arms, knots and tails are made of the disc's."""

    redshift: float
    radius_arcsec: float  # R: half-light radius along the major axis
    surface_brightness: float  # mean in r within R, mag/arcsec^2
    axis_ratio: float  # of the disc on the sky; of an edge-on disc its thickness
    position_angle: float
    disc_sersic: float = 1.0
    disc_colour: Colour = (0.55, 0.38)  # at 0.7 R
    colour_gradient: float = 0.0  # by how much g - r falls per R
    bulge_fraction: float = 0.0  # of the light
    bulge_radius: float = 0.2  # half-light, R
    bulge_sersic: float = 2.5
    bulge_axis_ratio: float = 0.9
    bulge_colour: Colour = (0.80, 0.58)
    bar_fraction: float = 0.0  # of the light
    bar_length: float = 0.8  # half its length, R
    bar_angle: float = 0.0  # in the plane of the disc
    num_arms: int = 0
    arm_pitch: float = 0.3
    arm_contrast: float = 0.0  # of an arm's crest above the disc under it, in units of that
    arm_sharpness: float = 2.0  # concentration of an arm's cross-section (of a von Mises profile)
    arm_irregularity: float = 0.0  # wander of the arms' phase, rad
    arm_reach: float = 2.4  # where the arms fade, R
    winding: int = 1  # +1 or -1
    ring_contrast: float = 0.0  # of an inner ring, as arm_contrast
    flocculence: float = 0.0  # scatter of the natural logarithm of brightness in sheared patches
    patchiness: float = 0.0  # the same in irregular ones
    knot_fraction: float = 0.0  # of the disc's light, in star-forming knots
    is_edge_on: bool = False
    dust_lane: float = 0.0  # share of g that it takes away in the middle
    lopsidedness: float = 0.0  # shift of the disc against the centre, R
    distortion: float = 0.0  # large-scale bending, R
    debris: Debris = Debris()
    halo_fraction: float = 0.0  # of the light, in a wide envelope
    companion: "Morphology | None" = None
    companion_offset: tuple[float, float] = (0.0, 0.0)  # to the right and down, arcsec


def draw_morphology(label: int, generator: np.random.Generator) -> Morphology:
    """Draw a galaxy of one of the ten Galaxy10 classes."""
    return _DRAWS[GALAXY10_CLASS_NAMES[label]](generator)


def _redshift(generator: np.random.Generator) -> float:
    """Draw from the distribution of a sample limited at r = 17.8, as Galaxy Zoo's."""
    return float(np.clip(0.085 * np.exp(0.5 * generator.normal()), 0.01, 0.3))


def _size(generator: np.random.Generator, median_arcsec: float, scatter: float = 0.32) -> float:
    return float(np.clip(median_arcsec * np.exp(scatter * generator.normal()), 1.6, 17.0))


def _colour(generator: np.random.Generator, redshift: float, age: float, scatter: float = 0.07) -> Colour:
    """Draw a colour between young (0) and old (1); redshift moves the 4000 Å break through g, which reddens the old ones."""
    young, old = (0.40 + 0.8 * redshift, 0.27 + 0.6 * redshift), (0.69 + 2.1 * redshift, 0.51 + 1.0 * redshift)
    # Both colours redden together with dust; a little is their own.
    shift = scatter * generator.normal()
    g_r = young[0] + age * (old[0] - young[0]) + shift + 0.03 * generator.normal()
    r_z = young[1] + age * (old[1] - young[1]) + 0.8 * shift + 0.05 * generator.normal()
    return (float(g_r), float(r_z))


def _angle(generator: np.random.Generator) -> float:
    return float(generator.uniform(0, 2 * np.pi))


def _inclined(generator: np.random.Generator, smallest: float) -> float:
    """Draw the axis ratio of a disc 0.2 thick at a random inclination; the cosine of that is at least ``smallest``."""
    cosine = generator.uniform(smallest, 1.0)
    return float(np.sqrt(cosine**2 * (1 - 0.2**2) + 0.2**2))


def _smooth(generator: np.random.Generator, radius: float, low: float, high: float) -> Morphology:
    redshift, size = _redshift(generator), _size(generator, radius)
    is_young = generator.random() < 0.15
    index = 1.5 + 0.5 * generator.normal() if is_young else 2.8 + 0.9 * generator.normal()
    # Larger ellipticals are fainter per area (Kormendy 1977).
    brightness = 20.5 + 1.6 * np.log10(size / 2.4) + 0.45 * generator.normal()
    return Morphology(
        redshift=redshift,
        radius_arcsec=size,
        surface_brightness=float(brightness),
        axis_ratio=float(generator.uniform(low, high)),
        position_angle=_angle(generator),
        disc_sersic=float(np.clip(index, 0.9, 5.5)),
        disc_colour=_colour(generator, redshift, 0.3, 0.12) if is_young else _colour(generator, redshift, 1.0, 0.06),
        colour_gradient=float(generator.uniform(0.0, 0.06)),
    )


def _round(generator: np.random.Generator) -> Morphology:
    return _smooth(generator, 2.0, 0.86, 1.0)


def _in_between(generator: np.random.Generator) -> Morphology:
    return _smooth(generator, 2.9, 0.5, 0.8)


def _cigar(generator: np.random.Generator) -> Morphology:
    smooth = _smooth(generator, 4.6, 0.22, 0.38)
    return replace(
        smooth,
        disc_sersic=float(generator.uniform(0.7, 1.6)),
        disc_colour=_colour(generator, smooth.redshift, generator.uniform(0.1, 1.0)),
        surface_brightness=float(generator.normal(21.3, 0.5)),
        bulge_fraction=float(generator.uniform(0.0, 0.2)),
        bulge_axis_ratio=smooth.axis_ratio,
        bulge_radius=0.3,
        colour_gradient=float(generator.uniform(0.0, 0.15)),
    )


def _spiral(generator: np.random.Generator, radius: float, age: float) -> Morphology:
    redshift = _redshift(generator)
    return Morphology(
        redshift=redshift,
        radius_arcsec=_size(generator, radius),
        surface_brightness=float(generator.normal(21.65, 0.5)),
        axis_ratio=_inclined(generator, 0.4),
        position_angle=_angle(generator),
        disc_sersic=float(generator.uniform(0.7, 1.15)),
        disc_colour=_colour(generator, redshift, age, 0.10),
        colour_gradient=float(generator.uniform(0.03, 0.18)),
        bulge_fraction=float(generator.uniform(0.06, 0.25)),
        bulge_radius=float(generator.uniform(0.10, 0.22)),
        bulge_sersic=float(generator.uniform(1.0, 3.0)),
        bulge_axis_ratio=float(generator.uniform(0.8, 1.0)),
        bulge_colour=_colour(generator, redshift, 0.95, 0.05),
        num_arms=2,
        arm_sharpness=float(generator.uniform(1.0, 3.0)),
        arm_irregularity=float(generator.uniform(0.2, 0.9)),
        arm_reach=float(generator.uniform(1.6, 2.8)),
        winding=int(generator.choice([-1, 1])),
        flocculence=float(generator.uniform(0.1, 0.45)),
        patchiness=float(generator.uniform(0.0, 0.25)),
        knot_fraction=float(generator.exponential(0.015)),
        lopsidedness=float(generator.uniform(0.0, 0.1)),
    )


def _contrast(generator: np.random.Generator, median: float) -> float:
    return float(median * np.exp(0.4 * generator.normal()))


def _barred(generator: np.random.Generator) -> Morphology:
    has_ring = generator.random() < 0.5
    return replace(
        _spiral(generator, 6.8, 0.72),
        axis_ratio=_inclined(generator, 0.55),
        surface_brightness=float(generator.normal(21.85, 0.5)),
        bulge_fraction=float(generator.uniform(0.04, 0.16)),
        bulge_radius=float(generator.uniform(0.10, 0.18)),
        bar_fraction=float(generator.uniform(0.10, 0.24)),
        bar_length=float(generator.uniform(0.5, 1.1)),
        bar_angle=_angle(generator),
        arm_pitch=float(np.deg2rad(generator.uniform(8, 28))),
        arm_contrast=_contrast(generator, 0.9),
        ring_contrast=float(generator.uniform(0.4, 1.6)) if has_ring else 0.0,
    )


def _tight(generator: np.random.Generator) -> Morphology:
    has_ring = generator.random() < 0.4
    return replace(
        _spiral(generator, 5.9, 0.68),
        num_arms=int(generator.choice([2, 2, 3, 4])),
        arm_pitch=float(np.deg2rad(generator.uniform(6, 16))),
        arm_contrast=_contrast(generator, 0.6),
        arm_irregularity=float(generator.uniform(0.4, 1.4)),
        ring_contrast=float(generator.uniform(0.2, 0.9)) if has_ring else 0.0,
        bulge_fraction=float(generator.uniform(0.12, 0.4)),
        bulge_radius=float(generator.uniform(0.12, 0.3)),
    )


def _loose(generator: np.random.Generator) -> Morphology:
    return replace(
        _spiral(generator, 6.2, 0.42),
        num_arms=int(generator.choice([1, 2, 2, 2, 2, 3])),
        arm_pitch=float(np.deg2rad(generator.uniform(17, 38))),
        arm_contrast=_contrast(generator, 1.5),
        bulge_fraction=float(generator.uniform(0.02, 0.2)),
        knot_fraction=float(generator.exponential(0.025)),
        lopsidedness=float(generator.uniform(0.0, 0.2)),
    )


def _edge_on(generator: np.random.Generator) -> Morphology:
    redshift = _redshift(generator)
    return Morphology(
        redshift=redshift,
        radius_arcsec=_size(generator, 9.4, 0.35),
        surface_brightness=float(generator.normal(21.55, 0.4)),
        axis_ratio=float(generator.uniform(0.13, 0.27)),
        position_angle=_angle(generator),
        disc_colour=_colour(generator, redshift, generator.uniform(0.4, 1.0), 0.10),
        colour_gradient=float(generator.uniform(0.05, 0.35)),
        bulge_colour=_colour(generator, redshift, 1.0, 0.06),
        is_edge_on=True,
        dust_lane=float(generator.uniform(0.0, 0.5)),
        patchiness=float(generator.uniform(0.05, 0.3)),
        knot_fraction=float(generator.exponential(0.02)),
        distortion=float(generator.uniform(0.0, 0.04)),
        lopsidedness=float(generator.uniform(0.0, 0.15)),
    )


def _edge_on_with_bulge(generator: np.random.Generator) -> Morphology:
    disc = _edge_on(generator)
    return replace(
        disc,
        radius_arcsec=_size(generator, 7.6, 0.3),
        surface_brightness=float(generator.normal(21.35, 0.4)),
        axis_ratio=float(generator.uniform(0.14, 0.28)),
        disc_colour=_colour(generator, disc.redshift, generator.uniform(0.6, 1.0), 0.08),
        bulge_fraction=float(generator.uniform(0.2, 0.5)),
        bulge_radius=float(generator.uniform(0.15, 0.32)),
        bulge_axis_ratio=float(generator.uniform(0.55, 0.9)),
        dust_lane=float(generator.uniform(0.0, 0.6)),
    )


def _disturbed(generator: np.random.Generator) -> Morphology:
    draws = [_in_between, _round, _irregular, _irregular, _loose, _tight]
    base = draws[generator.integers(len(draws))](generator)
    return replace(
        base,
        radius_arcsec=_size(generator, 3.7, 0.35),
        surface_brightness=float(generator.normal(21.2, 0.5)),
        lopsidedness=float(generator.uniform(0.05, 0.35)),
        distortion=float(generator.uniform(0.03, 0.2)),
        patchiness=base.patchiness + float(generator.uniform(0.0, 0.3)),
        debris=_debris(generator, 0.045),
    )


def _irregular(generator: np.random.Generator) -> Morphology:
    return replace(
        _spiral(generator, 4.2, 0.5),
        num_arms=int(generator.choice([0, 1, 2])),
        arm_pitch=float(np.deg2rad(generator.uniform(15, 45))),
        arm_contrast=_contrast(generator, 0.9),
        arm_irregularity=float(generator.uniform(0.8, 1.6)),
        patchiness=float(generator.uniform(0.2, 0.7)),
        knot_fraction=float(generator.exponential(0.04)),
    )


def _merging(generator: np.random.Generator) -> Morphology:
    draws = [_in_between, _in_between, _round, _irregular, _barred]
    first, second = (draws[generator.integers(len(draws))](generator) for _ in range(2))
    radius = _size(generator, 3.6, 0.3)
    smaller = radius * float(generator.uniform(0.5, 1.0))
    separation, direction = (radius + smaller) * generator.uniform(0.7, 1.9), _angle(generator)
    brightness = float(generator.normal(21.1, 0.5))
    second = replace(
        second,
        redshift=first.redshift,
        radius_arcsec=smaller,
        surface_brightness=brightness + float(generator.normal(0.0, 0.5)),
        distortion=float(generator.uniform(0.0, 0.25)),
        debris=_debris(generator, 0.08),
    )
    return replace(
        first,
        radius_arcsec=radius,
        surface_brightness=brightness,
        distortion=float(generator.uniform(0.0, 0.25)),
        halo_fraction=float(generator.uniform(0.0, 0.35)),
        companion=second,
        companion_offset=(float(separation * np.cos(direction)), float(separation * np.sin(direction))),
        debris=_debris(generator, 0.1),
    )


def _debris(generator: np.random.Generator, mean_tail: float) -> Debris:
    """Draw what an encounter leaves: tails mostly, shells now and then."""
    has_shells = generator.random() < 0.3
    return Debris(
        tail_fraction=float(min(generator.exponential(mean_tail), 0.5)),
        tail_reach=float(generator.uniform(1.6, 4.0)),
        tail_sweep=float(generator.uniform(0.4, 3.0)),
        num_tails=int(generator.integers(1, 3)),
        shell_fraction=float(generator.uniform(0.01, 0.08)) if has_shells else 0.0,
    )


_DRAWS: dict[str, Callable[[np.random.Generator], Morphology]] = {
    "Disturbed": _disturbed,
    "Merging": _merging,
    "Round Smooth": _round,
    "In-between Round Smooth": _in_between,
    "Cigar Shaped Smooth": _cigar,
    "Barred Spiral": _barred,
    "Unbarred Tight Spiral": _tight,
    "Unbarred Loose Spiral": _loose,
    "Edge-on without Bulge": _edge_on,
    "Edge-on with Bulge": _edge_on_with_bulge,
}
