"""From physical parameters to fluxes: the light of one galaxy in g, r and z, before seeing and noise.

Legend: S image size in pixels; planes are (3, S, S) float32 in nanomaggies a pixel, bands g, r, z.
"""

import numpy as np
from astropy.modeling.models import Sersic1D
from numpy.typing import NDArray
from scipy import ndimage

from galaxies.morphology import Colour, Morphology

Plane = NDArray[np.float32]  # (S, S)

_ZERO_POINT = 22.5  # magnitude of one nanomaggy
_CORE = 0.35  # px; softens cusps that a pixel cannot resolve


def render_galaxy(
    morphology: Morphology, *, image_size: int, pxscale: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return the light of a galaxy at the centre of the field, (3, S, S), with its companion.

    Args:
        morphology: what to draw.
        image_size: S.
        pxscale: arcsec/px.
        generator: of what no parameter says: where clumps stand, how arms wander.
    """
    axis = (np.arange(image_size, dtype=np.float32) - (image_size - 1) / 2) * np.float32(pxscale)
    x, y = np.meshgrid(axis, axis)
    planes = _render_one(morphology, x, y, pxscale, generator)
    if morphology.companion is not None:
        east, north = morphology.companion_offset
        # The pair shares the middle of the field, not one of its members.
        x, y = x - np.float32(east / 2), y - np.float32(north / 2)
        planes = np.roll(planes, (-round(north / 2 / pxscale), -round(east / 2 / pxscale)), axis=(1, 2))
        planes = planes + _render_one(morphology.companion, x, y, pxscale, generator)
    return planes


def colour_factors(colour: Colour) -> NDArray[np.float32]:
    """Return flux in g, r, z relative to r, (3,)."""
    g_r, r_z = colour
    return np.array([10 ** (-0.4 * g_r), 1.0, 10 ** (0.4 * r_z)], np.float32)


def total_flux(morphology: Morphology) -> float:
    """Return the flux in r of a galaxy without its companion, in nanomaggies."""
    # Half the light within an ellipse of area pi q R^2. A disc seen edge-on is brighter, since its light lies on less sky.
    area = np.pi * morphology.axis_ratio * morphology.radius_arcsec**2
    magnitude = morphology.surface_brightness - 2.5 * np.log10(2 * area)
    return float(10 ** (0.4 * (_ZERO_POINT - magnitude)))


def _render_one(
    morphology: Morphology, x: Plane, y: Plane, pxscale: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    x, y = _bend(x, y, morphology, generator)
    cosine, sine = np.float32(np.cos(morphology.position_angle)), np.float32(np.sin(morphology.position_angle))
    along, across = x * cosine + y * sine, -x * sine + y * cosine
    core = _CORE * pxscale
    disc, young = _make_disc(morphology, along, across, core, generator)
    flux = total_flux(morphology)
    bulge_flux, bar_flux = flux * morphology.bulge_fraction, flux * morphology.bar_fraction
    disc_flux = flux - bulge_flux - bar_flux
    old_colour = morphology.disc_colour
    young_colour = (old_colour[0] - 0.16, old_colour[1] - 0.13)
    planes = _paint(disc, disc_flux, old_colour)
    if young is not None:
        planes += _paint(young, 0.45 * disc_flux, young_colour) - _paint(disc, 0.45 * disc_flux, old_colour)
    if morphology.clump_fraction > 0:
        clumps = _make_clumps(young if young is not None else disc, morphology, generator)
        planes += _paint(clumps, morphology.clump_fraction * disc_flux, (0.1, 0.0))
    if morphology.tail_fraction > 0:
        tails = _make_tails(morphology, along, across, generator)
        planes += _paint(tails, morphology.tail_fraction * disc_flux, (old_colour[0] - 0.08, old_colour[1] - 0.06))
    if bar_flux > 0:
        planes += _paint(_make_bar(morphology, along, across), bar_flux, morphology.bulge_colour)
    if bulge_flux > 0:
        radius = np.sqrt(along**2 + (across / np.float32(morphology.bulge_axis_ratio)) ** 2 + core**2)
        scale = morphology.bulge_radius * morphology.radius_arcsec
        planes += _paint(_sersic(radius, scale, morphology.bulge_sersic), bulge_flux, morphology.bulge_colour)
    if morphology.dust_lane > 0:
        planes *= _dust_screen(morphology, along, across)
    return planes


def _paint(shape: Plane, flux: float, colour: Colour) -> NDArray[np.float32]:
    """Return planes with the light ``flux`` (in r) spread as ``shape``."""
    total = float(shape.sum(dtype=np.float64))
    if total <= 0:
        return np.zeros((3, *shape.shape), np.float32)
    return colour_factors(colour)[:, None, None] * (shape * np.float32(flux / total))


def _sersic(radius: Plane, half_light_radius: float, index: float) -> Plane:
    """Return astropy's Sérsic profile, truncated smoothly beyond what deep images show."""
    profile = Sersic1D(amplitude=1.0, r_eff=half_light_radius, n=index)(radius)
    return np.asarray(profile * np.exp(-((radius / (7 * half_light_radius)) ** 4)), np.float32)


def _make_disc(
    morphology: Morphology, along: Plane, across: Plane, core: float, generator: np.random.Generator
) -> tuple[Plane, Plane | None]:
    """Return the disc with its arms, and the light of the arms alone, which is young and blue (None without arms)."""
    radius = np.float32(morphology.radius_arcsec)
    if morphology.is_edge_on:
        # An exponential disc seen from the side, sech^2 across it (van der Kruit & Searle 1981).
        thickness = np.float32(morphology.axis_ratio) * radius * np.float32(0.62)
        scale = radius / np.float32(1.2)
        length = np.sqrt(along**2 + (0.15 * radius) ** 2) / scale
        profile = np.exp(-length - (np.abs(along) / (2.6 * radius)) ** 6)
        return np.asarray(profile / np.cosh(np.clip(across / thickness, -40, 40)) ** 2, np.float32), None
    shift = np.float32(morphology.lopsidedness * morphology.radius_arcsec)
    depth = across / np.float32(morphology.axis_ratio)
    distance = np.sqrt((along - shift) ** 2 + depth**2 + core**2)
    disc = _sersic(distance, morphology.radius_arcsec, morphology.disc_sersic)
    if morphology.num_arms == 0:
        return disc, None
    plane_radius = np.sqrt(along**2 + depth**2 + core**2) / radius
    start = 0.9 * morphology.bar_length if morphology.bar_fraction > 0 else 0.35
    wander = _smooth_noise(disc.shape[0], 7, generator) * np.float32(morphology.arm_irregularity)
    # A logarithmic spiral: the angle grows with the logarithm of the radius, by 1 / tan(pitch).
    turn = np.log(plane_radius / start) / np.tan(morphology.arm_pitch)
    azimuth = np.arctan2(depth, along) - np.float32(morphology.bar_angle)
    phase = morphology.num_arms * (morphology.winding * azimuth - turn) + wander
    crest = np.exp(np.float32(morphology.arm_sharpness) * (np.cos(phase) - 1))
    # Some stretches of an arm are brighter than others.
    crest *= np.clip(1 + 0.55 * _smooth_noise(disc.shape[0], 9, generator), 0.1, None)
    begins = 1 / (1 + np.exp(-(plane_radius - start) / 0.09))
    ends = np.exp(-((plane_radius / 2.9) ** 4))
    arms = disc * np.float32(morphology.arm_contrast) * crest * begins * ends
    # Outside the arms a disc is fainter than its mean: the light was gathered into them.
    arms *= 1 + 0.35 * np.clip(plane_radius - 0.6, 0, 1.2)
    if morphology.ring > 0:
        arms += disc * np.float32(2.0 * morphology.ring) * np.exp(-(((plane_radius - start - 0.05) / 0.13) ** 2))
    between = disc * (1 - 0.35 * begins)
    return np.asarray(between + arms, np.float32), np.asarray(arms, np.float32)


def _make_bar(morphology: Morphology, along: Plane, across: Plane) -> Plane:
    """Return a bar: boxy ellipses of nearly flat brightness in the plane of the disc."""
    depth = across / np.float32(morphology.axis_ratio)
    cosine, sine = np.float32(np.cos(morphology.bar_angle)), np.float32(np.sin(morphology.bar_angle))
    length = np.abs(along * cosine + depth * sine) / np.float32(0.62 * morphology.bar_length * morphology.radius_arcsec)
    width = np.abs(-along * sine + depth * cosine) / np.float32(0.17 * morphology.bar_length * morphology.radius_arcsec)
    return np.asarray(np.exp(-0.7 * (length**2.6 + width**2.6) ** (1.6 / 2.6)), np.float32)


def _make_clumps(where: Plane, morphology: Morphology, generator: np.random.Generator) -> Plane:
    """Return star-forming knots: points that stand where the young disc is bright, of widely different luminosity."""
    weights = np.clip(where, 0, None).ravel().astype(np.float64) ** 0.8
    number = int(generator.integers(15, 60))
    cumulative = np.cumsum(weights)
    places = np.searchsorted(cumulative, generator.random(number) * cumulative[-1])
    clumps = np.zeros(where.size, np.float32)
    np.add.at(clumps, places.clip(0, where.size - 1), generator.lognormal(0, 1.0, number).astype(np.float32))
    return np.asarray(ndimage.gaussian_filter(clumps.reshape(where.shape), 0.9), np.float32)


def _make_tails(morphology: Morphology, along: Plane, across: Plane, generator: np.random.Generator) -> Plane:
    """Return one or two open, broad arms that leave the galaxy: debris of an encounter."""
    radius = np.sqrt(along**2 + (across / np.float32(max(morphology.axis_ratio, 0.5))) ** 2) / morphology.radius_arcsec + 0.05
    azimuth = np.arctan2(across, along)
    pitch = np.deg2rad(generator.uniform(25, 60))
    phase = morphology.winding * azimuth - np.log(radius) / np.tan(pitch) + generator.uniform(0, 2 * np.pi)
    tails = np.exp(3.0 * (np.cos(phase) - 1))
    if generator.random() < 0.5:
        tails += generator.uniform(0.3, 1) * np.exp(3.0 * (np.cos(phase + np.pi) - 1))
    reach = generator.uniform(1.6, 3.2)
    envelope = np.exp(-((radius / reach) ** 3)) * np.clip(radius - 0.5, 0, 1) / (0.5 + radius)
    return np.asarray(tails * envelope, np.float32)


def _dust_screen(morphology: Morphology, along: Plane, across: Plane) -> NDArray[np.float32]:
    """Return the transmission of a dust lane in g, r and z, (3, S, S): a little off the middle, weaker to the red."""
    thickness = 0.28 * morphology.axis_ratio * morphology.radius_arcsec
    offset = 0.25 * morphology.axis_ratio * morphology.radius_arcsec
    lane = np.exp(-(((across - offset) / thickness) ** 2) - (along / (1.6 * morphology.radius_arcsec)) ** 4)
    depth = np.array([1.0, 0.75, 0.45], np.float32) * np.float32(morphology.dust_lane)
    return np.asarray(1 - depth[:, None, None] * lane, np.float32)


def _bend(x: Plane, y: Plane, morphology: Morphology, generator: np.random.Generator) -> tuple[Plane, Plane]:
    """Return coordinates shifted by a smooth random field: an encounter pulls the outskirts more than the centre."""
    if morphology.distortion == 0:
        return x, y
    pull = np.float32(morphology.distortion) * np.clip(
        np.hypot(x, y) / np.float32(1.5), 0, np.float32(morphology.radius_arcsec)
    )
    size = x.shape[0]
    east, north = _smooth_noise(size, 5, generator), _smooth_noise(size, 5, generator)
    return np.asarray(x + pull * east, np.float32), np.asarray(y + pull * north, np.float32)


def _smooth_noise(size: int, num_cells: int, generator: np.random.Generator) -> Plane:
    """Return a smooth random field (size, size) of unit variance with ``num_cells`` independent cells along an axis."""
    coarse = generator.normal(size=(num_cells, num_cells)).astype(np.float32)
    return np.asarray(ndimage.zoom(coarse, size / num_cells, order=3, mode="nearest", grid_mode=True), np.float32)
