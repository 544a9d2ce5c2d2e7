"""From fluxes in g, r and z to the colours that the Legacy Surveys show; from those in other bands to numbers from 0 to 1.

The formula is that of the survey's viewer (function ``sdss_rgb`` of the public packages legacypipe and imagine), a variant of
Lupton et al. 2004: the mean intensity goes through an asinh, and each colour keeps its share of it. Red is z, green is r,
blue is g. The sky it gives, 32, is that of real cutouts: the median of 50 from Galaxy10 DECaLS is 34, 33, 33, and of 20 that
Galaxy Zoo made with another contrast 22, 21, 22.

Colours are a choice for three bands. One band, or several that are no picture, go through the same asinh each by itself: what
one band shows must not depend on which others were asked for. Legend: S image size in pixels, C bands.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from galaxies.data.bands import PICTURE_BANDS, find_wavelength

BANDS = PICTURE_BANDS

STRETCH_PXSCALE = 0.262
"""arcsec: the side of the pixels whose nanomaggies are meant. Those of the survey's cutouts at another scale are
interpolated, and so mean the same: the viewer (package imagine) leaves their numbers as they are."""

# What a nanomaggy counts in each band, and the pedestal that keeps the noise of an empty sky visible.
_SCALES = {"g": 6.0, "r": 3.4, "z": 2.2}
_PEDESTAL = 0.03
_SOFTENING = 20.0
_BRIGHTEST_WAVELENGTH = 1600.0  # nm, of stars' flux per frequency


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


def choose_flux_scales(bands: Sequence[str]) -> tuple[float, ...]:
    """Return what a nanomaggy is to count in each band, so that a galaxy of usual colours is about as bright in all.

    Between g, r and z the survey's own numbers are interpolated over the wavelength, beyond them continued, up to 1.6 um, where
    the light of stars is brightest; a band whose wavelength is not known counts as r does.
    """
    return tuple(_choose_flux_scale(band) for band in bands)


def _choose_flux_scale(band: str) -> float:
    wavelength = find_wavelength(band)
    if band in _SCALES or wavelength is None:
        return _SCALES.get(band, _SCALES["r"])
    wavelength = min(wavelength, _BRIGHTEST_WAVELENGTH)
    known, scales = np.log([find_wavelength(name) or np.nan for name in BANDS]), np.log([_SCALES[name] for name in BANDS])
    first = int(np.clip(np.searchsorted(known, np.log(wavelength)) - 1, 0, len(BANDS) - 2))
    slope = (scales[first + 1] - scales[first]) / (known[first + 1] - known[first])
    return round(float(np.exp(scales[first] + slope * (np.log(wavelength) - known[first]))), 3)


def stretch_bands(fluxes: NDArray[np.float32], flux_scales: Sequence[float]) -> NDArray[np.float32]:
    """Turn fluxes (C, H, W) in nanomaggies a pixel, as those of :func:`stretch_to_rgb`, into an image (H, W, C) from 0 to 1.

    One band with the scale of r is the picture of :func:`stretch_grey`.
    """
    scaled = fluxes * np.array(flux_scales, np.float32)[:, None, None] + np.float32(_PEDESTAL)
    stretched = np.arcsinh(_SOFTENING * np.clip(scaled, 0, None)) / np.float32(np.sqrt(_SOFTENING))
    return np.asarray(np.moveaxis(np.clip(stretched, 0, 1), 0, -1), np.float32)
