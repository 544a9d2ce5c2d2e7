"""What else stands in a cutout: stars of the Milky Way and distant galaxies. They are drawn straight onto the canvas.

Legend: H, W size of the canvas in pixels; planes are (3, H, W) float32 in nanomaggies a pixel, bands g, r, z.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from galaxies.simulation.rendering import colour_factors, magnitude_to_flux

_STAMP_HALF = 12  # px; distant galaxies are small
_SATURATION_MAGNITUDE = 19.0

# Where a star saturates the survey masks it, and most of that band is missing: which of (g, r, z), and how often.
_SATURATED = np.array([[False, False, True], [False, True, True], [True, False, False], [True, True, False]])
_SATURATED_SHARES = (0.5, 0.25, 0.15, 0.1)


@dataclass(frozen=True)
class Field:
    """How crowded a piece of sky is."""

    num_stars: int
    num_galaxies: int


def draw_field(area_cutouts: float, generator: np.random.Generator) -> Field:
    """Draw the number of objects on a canvas whose area is given in cutouts of 67 by 67 arcsec."""
    return Field(
        num_stars=int(generator.poisson(area_cutouts * generator.lognormal(1.2, 0.6))),
        num_galaxies=int(generator.poisson(area_cutouts * generator.lognormal(3.25, 0.4))),
    )


def add_field(canvas: NDArray[np.float32], field: Field, *, pxscale: float, generator: np.random.Generator) -> None:
    """Add stars and distant galaxies to a canvas, in place."""
    for _ in range(field.num_galaxies):
        _add_galaxy(canvas, pxscale, generator)
    for _ in range(field.num_stars):
        _add_star(canvas, generator)


def _add_star(canvas: NDArray[np.float32], generator: np.random.Generator) -> None:
    """Add a point source of the stellar locus; the brightest may lack bands."""
    # The counts of stars rise slowly with magnitude.
    magnitude = max(23.5 - generator.exponential(2.1), 13.0)
    is_dwarf = generator.random() < 0.6 and magnitude > 17.0
    g_r = float(np.clip((1.4 if is_dwarf else 0.55) + 0.15 * generator.normal(), 0.2, 1.7))
    r_z = float(generator.uniform(0.7, 1.9)) if is_dwarf else 0.35 * g_r
    fluxes = colour_factors((g_r, r_z)) * np.float32(magnitude_to_flux(magnitude))
    if magnitude < _SATURATION_MAGNITUDE and generator.random() < 0.4:
        is_missing = _SATURATED[generator.choice(len(_SATURATED), p=_SATURATED_SHARES)]
        fluxes *= np.where(is_missing, generator.uniform(0.12, 0.35, 3), 1).astype(np.float32)
    row, column = generator.uniform(1, canvas.shape[1] - 2), generator.uniform(1, canvas.shape[2] - 2)
    top, left = int(row), int(column)
    down, right = row - top, column - left
    weights = np.outer([1 - down, down], [1 - right, right]).astype(np.float32)
    canvas[:, top : top + 2, left : left + 2] += fluxes[:, None, None] * weights


def _add_galaxy(canvas: NDArray[np.float32], pxscale: float, generator: np.random.Generator) -> None:
    """Add a small exponential disc; many are distant, old and very red, so that they are seen in z alone."""
    is_distant = generator.random() < 0.35
    magnitude = max(24.25 - generator.exponential(0.75 if is_distant else 1.1), 21.3 if is_distant else 18.0)
    radius = np.clip(0.38 * np.exp(0.4 * generator.normal()) * 10 ** (0.10 * (23.2 - magnitude)), 0.1, 1.5)
    half = _STAMP_HALF
    axis = np.arange(-half, half + 1, dtype=np.float32) * np.float32(pxscale / radius)
    angle, ratio = generator.uniform(0, np.pi), generator.uniform(0.3, 1)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along = axis[None, :] * cosine + axis[:, None] * sine
    across = (axis[:, None] * cosine - axis[None, :] * sine) / np.float32(ratio)
    stamp = np.exp(np.float32(-1.678) * np.sqrt(along**2 + across**2 + np.float32(0.01)))
    # Only galaxies faint in g are far away; independent colours would paint them magenta and green.
    if is_distant:
        g_r, r_z = generator.normal(1.4, 0.2), generator.normal(1.35, 0.3)
    else:
        g_r = float(np.clip(0.75 + 0.35 * generator.normal(), 0.1, 1.6))
        r_z = 0.2 + 0.5 * g_r + 0.15 * generator.normal()
    fluxes = colour_factors((float(g_r), float(r_z))) * np.float32(magnitude_to_flux(magnitude) / float(stamp.sum()))
    top = generator.integers(0, canvas.shape[1] - 2 * half)
    left = generator.integers(0, canvas.shape[2] - 2 * half)
    canvas[:, top : top + 2 * half + 1, left : left + 2 * half + 1] += fluxes[:, None, None] * stamp
