"""How the galaxies of each class are distributed: draws the physical parameters of one. Nothing here draws a pixel."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from galaxies.data.galaxy_schema import GALAXY10_CLASS_NAMES
from galaxies.simulation.distributions import draw_angle, draw_axis_ratio, draw_colour, draw_redshift, draw_size
from galaxies.simulation.morphology import Debris, Morphology


def draw_morphology(label: int, generator: np.random.Generator) -> Morphology:
    """Draw a galaxy of one of the ten Galaxy10 classes."""
    return _DRAWS[GALAXY10_CLASS_NAMES[label]](generator)


def _smooth(generator: np.random.Generator, radius: float, low: float, high: float) -> Morphology:
    redshift, size = draw_redshift(generator), draw_size(generator, radius)
    is_young = generator.random() < 0.15
    index = 1.5 + 0.5 * generator.normal() if is_young else 2.8 + 0.9 * generator.normal()
    # Larger ellipticals are fainter per area (Kormendy 1977).
    brightness = 20.5 + 1.6 * np.log10(size / 2.4) + 0.45 * generator.normal()
    return Morphology(
        redshift=redshift,
        radius_arcsec=size,
        surface_brightness=float(brightness),
        axis_ratio=float(generator.uniform(low, high)),
        position_angle=draw_angle(generator),
        disc_sersic=float(np.clip(index, 0.9, 5.5)),
        disc_colour=draw_colour(generator, redshift, 0.3, 0.12) if is_young else draw_colour(generator, redshift, 1.0, 0.06),
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
        disc_colour=draw_colour(generator, smooth.redshift, generator.uniform(0.1, 1.0)),
        surface_brightness=float(generator.normal(21.3, 0.5)),
        bulge_fraction=float(generator.uniform(0.0, 0.2)),
        bulge_axis_ratio=smooth.axis_ratio,
        bulge_radius=0.3,
        colour_gradient=float(generator.uniform(0.0, 0.15)),
    )


def _spiral(generator: np.random.Generator, radius: float, age: float) -> Morphology:
    redshift = draw_redshift(generator)
    return Morphology(
        redshift=redshift,
        radius_arcsec=draw_size(generator, radius),
        surface_brightness=float(generator.normal(21.65, 0.5)),
        axis_ratio=draw_axis_ratio(generator, 0.4),
        position_angle=draw_angle(generator),
        disc_sersic=float(generator.uniform(0.7, 1.15)),
        disc_colour=draw_colour(generator, redshift, age, 0.10),
        colour_gradient=float(generator.uniform(0.03, 0.18)),
        bulge_fraction=float(generator.uniform(0.06, 0.25)),
        bulge_radius=float(generator.uniform(0.10, 0.22)),
        bulge_sersic=float(generator.uniform(1.0, 3.0)),
        bulge_axis_ratio=float(generator.uniform(0.8, 1.0)),
        bulge_colour=draw_colour(generator, redshift, 0.95, 0.05),
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
        axis_ratio=draw_axis_ratio(generator, 0.55),
        surface_brightness=float(generator.normal(21.85, 0.5)),
        bulge_fraction=float(generator.uniform(0.04, 0.16)),
        bulge_radius=float(generator.uniform(0.10, 0.18)),
        bar_fraction=float(generator.uniform(0.10, 0.24)),
        bar_length=float(generator.uniform(0.5, 1.1)),
        bar_angle=draw_angle(generator),
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
    redshift = draw_redshift(generator)
    return Morphology(
        redshift=redshift,
        radius_arcsec=draw_size(generator, 9.4, 0.35),
        surface_brightness=float(generator.normal(21.55, 0.4)),
        axis_ratio=float(generator.uniform(0.13, 0.27)),
        position_angle=draw_angle(generator),
        disc_colour=draw_colour(generator, redshift, generator.uniform(0.4, 1.0), 0.10),
        colour_gradient=float(generator.uniform(0.05, 0.35)),
        bulge_colour=draw_colour(generator, redshift, 1.0, 0.06),
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
        radius_arcsec=draw_size(generator, 7.6, 0.3),
        surface_brightness=float(generator.normal(21.35, 0.4)),
        axis_ratio=float(generator.uniform(0.14, 0.28)),
        disc_colour=draw_colour(generator, disc.redshift, generator.uniform(0.6, 1.0), 0.08),
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
        radius_arcsec=draw_size(generator, 3.7, 0.35),
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
    radius = draw_size(generator, 3.6, 0.3)
    smaller = radius * float(generator.uniform(0.5, 1.0))
    separation, direction = (radius + smaller) * generator.uniform(0.7, 1.9), draw_angle(generator)
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
