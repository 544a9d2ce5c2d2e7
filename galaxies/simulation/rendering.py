"""From physical parameters to fluxes: the light of one galaxy in g, r and z, before seeing and noise.

Legend: H, W size of the canvas in pixels; planes are (3, H, W) float32 in nanomaggies a pixel, bands g, r, z.
"""

import numpy as np
from numpy.typing import NDArray

from galaxies.simulation.morphology import Colour, Morphology
from galaxies.simulation.structures import (
    Plane,
    make_arms,
    make_bar,
    make_dust_lane,
    make_edge_on_disc,
    make_knots,
    make_sersic,
    make_shell,
    make_tail,
    make_texture,
)

_ZERO_POINT = 22.5  # magnitude of one nanomaggy
_CORE_PX = 0.35  # softens cusps that a pixel cannot resolve
_KNOT_COLOUR: Colour = (0.2, 0.05)


def render_galaxy(
    morphology: Morphology,
    *,
    shape: tuple[int, int],
    centre: tuple[float, float],
    pxscale: float,
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    """Return the light of a galaxy, and of its companion, on an empty canvas.

    Args:
        morphology: what to draw.
        shape: (H, W).
        centre: row and column of the galaxy; a pair shares it between its members.
        pxscale: arcsec/px.
        generator: of what no parameter says: where knots stand, how arms wander.
    """
    if morphology.companion is None:
        return _render_one(morphology, shape, centre, pxscale, generator)
    right, down = (offset / 2 / pxscale for offset in morphology.companion_offset)
    first = _render_one(morphology, shape, (centre[0] - down, centre[1] - right), pxscale, generator)
    return first + _render_one(morphology.companion, shape, (centre[0] + down, centre[1] + right), pxscale, generator)


def total_flux(morphology: Morphology) -> float:
    """Return the flux in r of a galaxy without its companion, in nanomaggies."""
    # Half the light lies within an ellipse of area pi q R^2.
    area = np.pi * morphology.axis_ratio * morphology.radius_arcsec**2
    return magnitude_to_flux(morphology.surface_brightness - 2.5 * np.log10(2 * area))


def magnitude_to_flux(magnitude: float) -> float:
    """Return nanomaggies."""
    return float(10 ** (0.4 * (_ZERO_POINT - magnitude)))


def colour_factors(colour: Colour) -> NDArray[np.float32]:
    """Return flux in g, r, z relative to r, (3,)."""
    g_r, r_z = colour
    return np.array([10 ** (-0.4 * g_r), 1.0, 10 ** (0.4 * r_z)], np.float32)


def _render_one(
    morphology: Morphology,
    shape: tuple[int, int],
    centre: tuple[float, float],
    pxscale: float,
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    scale = morphology.radius_arcsec / pxscale  # px in R
    along, across = _make_axes(morphology, shape, centre, scale, generator)
    core = np.float32(_CORE_PX / scale)
    flux = total_flux(morphology)
    bulge_flux, bar_flux = flux * morphology.bulge_fraction, flux * morphology.bar_fraction
    halo_flux, debris = flux * morphology.halo_fraction, morphology.debris
    disc_flux = flux - bulge_flux - bar_flux - halo_flux
    planes = _paint_disc(
        morphology, along, across, core, disc_flux * (1 - debris.tail_fraction - debris.shell_fraction), generator
    )
    planes += _paint_debris(morphology, shape, centre, scale, disc_flux, generator)
    if halo_flux > 0:
        radius = np.sqrt(along**2 + (across / np.float32(0.5 + 0.5 * morphology.axis_ratio)) ** 2 + core**2)
        planes += _paint(make_sersic(radius, 2.0, 1.0), halo_flux, morphology.disc_colour)
    if bar_flux > 0:
        bar = make_bar(morphology, along, across / np.float32(morphology.axis_ratio))
        planes += _paint(bar, bar_flux, morphology.bulge_colour)
    if bulge_flux > 0:
        radius = np.sqrt(along**2 + (across / np.float32(morphology.bulge_axis_ratio)) ** 2 + core**2)
        bulge = make_sersic(radius, morphology.bulge_radius, morphology.bulge_sersic)
        planes += _paint(bulge, bulge_flux, morphology.bulge_colour)
    if morphology.dust_lane > 0:
        # Dust dims g most; a screen of these weights reddens as the Milky Way's does.
        depth = np.array([1.0, 0.75, 0.45], np.float32) * np.float32(morphology.dust_lane)
        dust = make_dust_lane(along, across, morphology.axis_ratio, generator)
        planes *= np.clip(1 - depth[:, None, None] * dust, 0.1, 1)
    return planes


def _make_axes(
    morphology: Morphology, shape: tuple[int, int], centre: tuple[float, float], scale: float, generator: np.random.Generator
) -> tuple[Plane, Plane]:
    """Return coordinates along and across the major axis, in R, bent where an encounter pulled at the outskirts."""
    y = ((np.arange(shape[0], dtype=np.float32) - np.float32(centre[0])) / np.float32(scale))[:, None]
    x = ((np.arange(shape[1], dtype=np.float32) - np.float32(centre[1])) / np.float32(scale))[None, :]
    cosine, sine = np.float32(np.cos(morphology.position_angle)), np.float32(np.sin(morphology.position_angle))
    along, across = x * cosine + y * sine, -x * sine + y * cosine
    if morphology.distortion == 0:
        return along, across
    pull = np.float32(morphology.distortion) * np.clip(np.hypot(along, across), 0, 2)
    u, v = along * np.float32(0.5), across * np.float32(0.5)
    return (along + pull * make_texture(u, v, generator), across + pull * make_texture(u, v, generator))


def _paint_disc(
    morphology: Morphology, along: Plane, across: Plane, core: np.float32, flux: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return the disc: old light, young light in the arms, knots."""
    along = along - np.float32(morphology.lopsidedness)
    depth = across if morphology.is_edge_on else across / np.float32(morphology.axis_ratio)
    radius = np.sqrt(along**2 + depth**2 + core**2)
    if morphology.is_edge_on:
        disc = make_edge_on_disc(along, across, morphology.axis_ratio)
    else:
        disc = make_sersic(radius, 1.0, morphology.disc_sersic)
    if morphology.patchiness > 0:
        disc *= np.exp(np.float32(morphology.patchiness) * make_texture(along * 2, depth * 2, generator))
    young = np.zeros_like(disc)
    if morphology.num_arms > 0:
        between, arms = make_arms(morphology, radius, np.arctan2(depth, along), generator)
        young, disc = disc * arms, disc * between
    total = float(disc.sum(dtype=np.float64) + young.sum(dtype=np.float64))
    if total == 0:  # A small disc beyond the edge: its light is below the smallest float32 everywhere.
        return np.zeros((3, *disc.shape), np.float32)
    smooth_flux = flux * (1 - morphology.knot_fraction)
    g_r, r_z = morphology.disc_colour
    planes = _paint(disc, smooth_flux * float(disc.sum(dtype=np.float64)) / total, (g_r, r_z))
    planes += _paint(young, smooth_flux * float(young.sum(dtype=np.float64)) / total, (g_r - 0.16, r_z - 0.13))
    if morphology.colour_gradient > 0:
        tilt = np.exp(np.float32(0.92 * morphology.colour_gradient) * (np.clip(radius, 0, 2.5) - np.float32(0.7)))
        planes[0] *= tilt
        planes[2] /= tilt
    if morphology.knot_fraction > 0:
        knots = make_knots(young if morphology.num_arms > 0 else disc, generator)
        planes += _paint(knots, flux * morphology.knot_fraction, _KNOT_COLOUR)
    return planes


def _paint_debris(
    morphology: Morphology,
    shape: tuple[int, int],
    centre: tuple[float, float],
    scale: float,
    flux: float,
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    """Return tails and shells, a little bluer than the disc they came from."""
    debris, light = morphology.debris, np.zeros(shape, np.float32)
    if debris.tail_fraction > 0:
        share = np.float32(debris.tail_fraction / debris.num_tails)
        for _ in range(debris.num_tails):
            light += share * make_tail(debris, morphology.winding, shape, centre, scale, generator)
    if debris.shell_fraction > 0:
        light += np.float32(debris.shell_fraction) * make_shell(shape, centre, scale, generator)
    g_r, r_z = morphology.disc_colour
    return colour_factors((g_r - 0.08, r_z - 0.06))[:, None, None] * (light * np.float32(flux))


def _paint(plane: Plane, flux: float, colour: Colour) -> NDArray[np.float32]:
    """Return planes with the light ``flux`` (in r) spread as ``plane``."""
    total = float(plane.sum(dtype=np.float64))
    if total <= 0:
        return np.zeros((3, *plane.shape), np.float32)
    return colour_factors(colour)[:, None, None] * (plane * np.float32(flux / total))
