"""From fluxes in g, r and z to the colours that the Legacy Surveys show.

The formula is that of the survey's viewer (function ``sdss_rgb`` of the public packages legacypipe and imagine), a variant of
Lupton et al. 2004: the mean intensity goes through an asinh, and each colour keeps its share of it. Red is z, green is r,
blue is g. The sky it gives, 32, is that of real cutouts: the median of 50 from Galaxy10 DECaLS is 34, 33, 33, and of 20 that
Galaxy Zoo made with another contrast 22, 21, 22. Legend: B images, S image size in pixels.
"""

import numpy as np
from numpy.typing import NDArray

BANDS = ("g", "r", "z")

STRETCH_PXSCALE = 0.262
"""arcsec: the side of the pixels whose nanomaggies are meant. Those of the survey's cutouts at another scale are
interpolated, and so mean the same: the viewer (package imagine) leaves their numbers as they are."""

# What a nanomaggy counts in each band, and the pedestal that keeps the noise of an empty sky visible.
_SCALES = {"g": 6.0, "r": 3.4, "z": 2.2}
_PEDESTAL = 0.03
_SOFTENING = 20.0


def stretch_to_rgb(fluxes: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Turn fluxes (..., 3, S, S) in nanomaggies a pixel, bands g, r, z, into images (..., S, S, 3), R = z, G = r, B = g.

    A pixel is one of STRETCH_PXSCALE, whatever the image's own: what the colours show is a surface brightness.
    """
    scales = np.array([_SCALES[band] for band in BANDS], np.float32)[:, None, None]
    scaled = fluxes * scales + np.float32(_PEDESTAL)
    intensity = np.clip(scaled, 0, None).mean(axis=-3, keepdims=True)
    stretched = np.arcsinh(_SOFTENING * intensity) / np.sqrt(_SOFTENING)
    colours = scaled * (stretched / np.maximum(intensity, 1e-6))
    rgb = np.moveaxis(colours[..., ::-1, :, :], -3, -1)
    return np.asarray(np.clip(rgb * 255, 0, 255), np.uint8)


def stretch_grey(fluxes: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Turn the fluxes of one band (S, S) in nanomaggies a pixel into a grey image (S, S, 3), as bright as they were in r."""
    return stretch_to_rgb(np.stack([fluxes * np.float32(_SCALES["r"] / _SCALES[band]) for band in BANDS]))
