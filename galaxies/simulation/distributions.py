"""Distributions that galaxies of all classes are drawn from."""

import numpy as np

from galaxies.simulation.morphology import Colour


def draw_redshift(generator: np.random.Generator) -> float:
    """Draw from the distribution of a sample limited at r = 17.8, as Galaxy Zoo's."""
    return float(np.clip(0.085 * np.exp(0.5 * generator.normal()), 0.01, 0.3))


def draw_size(generator: np.random.Generator, median_arcsec: float, scatter: float = 0.32) -> float:
    """Draw a half-light radius in arcsec: lognormal about the median, within what such a survey measures."""
    return float(np.clip(median_arcsec * np.exp(scatter * generator.normal()), 1.6, 17.0))


def draw_colour(generator: np.random.Generator, redshift: float, age: float, scatter: float = 0.07) -> Colour:
    """Draw a colour between young (0) and old (1); redshift moves the 4000 Å break through g, which reddens the old ones."""
    young, old = (0.40 + 0.8 * redshift, 0.27 + 0.6 * redshift), (0.69 + 2.1 * redshift, 0.51 + 1.0 * redshift)
    # Both colours redden together with dust; a little is their own.
    shift = scatter * generator.normal()
    g_r = young[0] + age * (old[0] - young[0]) + shift + 0.03 * generator.normal()
    r_z = young[1] + age * (old[1] - young[1]) + 0.8 * shift + 0.05 * generator.normal()
    return (float(g_r), float(r_z))


def draw_angle(generator: np.random.Generator) -> float:
    """Draw an angle from 0 to 2 pi."""
    return float(generator.uniform(0, 2 * np.pi))


def draw_axis_ratio(generator: np.random.Generator, smallest: float) -> float:
    """Draw the axis ratio of a disc 0.2 thick at a random inclination; the cosine of that is at least ``smallest``."""
    cosine = generator.uniform(smallest, 1.0)
    return float(np.sqrt(cosine**2 * (1 - 0.2**2) + 0.2**2))
