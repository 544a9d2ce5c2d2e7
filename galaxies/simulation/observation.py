"""What a telescope makes of the light of the sky: seeing, noise, the survey's stretch and JPEG.

Legend: H, W size of the canvas in pixels; planes are (3, H, W) float32, bands g, r, z. What is exposed is counted in
nanomaggies a *native* pixel, since the survey's coarser images are averages of its native ones.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import fft, ndimage

from galaxies.data.stretch import stretch_to_rgb

Bands = tuple[float, float, float]
"""A number for each of g, r, z."""

# Resampling correlates the noise of neighbouring pixels, a little against each other beyond the next one. With this kernel
# along both axes, and after JPEG, blank sky correlates by 0.45, -0.04 and -0.06 at one, two and three pixels; in 50 real
# cutouts by 0.43, -0.04 and -0.05 (measured).
_NOISE_KERNEL = np.array([-0.03, 0.17, 0.70, 0.17, -0.03], np.float32)
_NOISE_KERNEL /= np.sqrt((_NOISE_KERNEL**2).sum())
_MOFFAT_BETA = 3.0
NATIVE_PIXEL_ARCSEC = 0.262
"""Of the survey's coadds."""


@dataclass(frozen=True)
class Observation:
    """The conditions of one exposure; fluxes in nanomaggies a native pixel."""

    psf_fwhm_arcsec: Bands
    noise: Bands  # standard deviation
    sky: Bands  # left over after sky subtraction
    sky_waviness: float  # standard deviation of what is left of it on large scales
    seam_noise: float  # factor of the noise beyond a seam where fewer exposures overlap; 1 is none
    jpeg_quality: int


def draw_observation(pxscale: float, generator: np.random.Generator) -> Observation:
    """Draw conditions as in the DECam Legacy Survey: seeing 1.0 to 1.9 arcsec, depths that differ from field to field."""
    seeing = float(np.clip(1.22 * np.exp(0.11 * generator.normal()), 0.95, 1.9))
    depth = float(np.exp(np.clip(0.18 * generator.normal() - 0.30 * (generator.random() < 0.25), -1.2, 0.45)))
    # Averages of native pixels are less noisy; pixels finer than those are interpolated, which adds nothing.
    averaging = min(NATIVE_PIXEL_ARCSEC / pxscale, 1.0)
    noise = np.array([0.00235, 0.00425, 0.0068]) * depth * np.exp(0.05 * generator.normal(size=3)) * averaging
    # A little is left over after sky subtraction, now and then more, beside a bright star.
    leftover = np.array([0.00006, 0.00012, 0.0002]) * generator.normal(size=3) + 0.00012 * generator.exponential()
    sky = np.array([-0.00021, -0.00021, -0.00005]) + leftover
    return Observation(
        psf_fwhm_arcsec=(seeing * 1.06, seeing, seeing * 0.94),
        noise=(float(noise[0]), float(noise[1]), float(noise[2])),
        sky=(float(sky[0]), float(sky[1]), float(sky[2])),
        sky_waviness=float(0.00012 * generator.exponential()),
        seam_noise=float(generator.uniform(1.2, 1.7)) if generator.random() < 0.15 else 1.0,
        jpeg_quality=75,
    )


def expose(
    planes: NDArray[np.float32], observation: Observation, *, pxscale: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return light in nanomaggies a pixel after seeing, per native pixel, with noise and what is left of the sky."""
    height, width = planes.shape[1:]
    exposed = blur(planes, observation.psf_fwhm_arcsec, pxscale) * np.float32((NATIVE_PIXEL_ARCSEC / pxscale) ** 2)
    gain = _draw_seam(height, width, observation.seam_noise, generator)
    waves = _draw_waves(height, width, generator) * np.float32(observation.sky_waviness)
    for band in range(3):
        noise = generator.standard_normal((height, width), np.float32)
        for axis in (0, 1):
            noise = ndimage.convolve1d(noise, _NOISE_KERNEL, axis, mode="wrap")
        exposed[band] += noise * gain * np.float32(observation.noise[band])
        exposed[band] += waves * np.float32(generator.normal()) + np.float32(observation.sky[band])
    return exposed


def develop(planes: NDArray[np.float32], jpeg_quality: int) -> NDArray[np.uint8]:
    """Return the image (H, W, 3) that the survey's viewer would serve: stretched to 8 bits and compressed as JPEG."""
    buffer = io.BytesIO()
    # Chroma at half resolution, as the 16-pixel pattern of colours in real cutouts shows.
    Image.fromarray(stretch_to_rgb(planes)).save(buffer, "JPEG", quality=jpeg_quality, subsampling="4:2:0")
    with Image.open(buffer) as image:
        return np.asarray(image)


def blur(planes: NDArray[np.float32], fwhm_arcsec: Bands, pxscale: float) -> NDArray[np.float32]:
    """Convolve each band with a Moffat profile of its own width, periodically; the flux is kept."""
    height, width = planes.shape[1:]
    row = fft.fftfreq(height, 1 / height).astype(np.float32)[:, None]
    column = fft.fftfreq(width, 1 / width).astype(np.float32)[None, :]
    distance_squared = row**2 + column**2
    blurred = np.empty_like(planes)
    for band, fwhm in enumerate(fwhm_arcsec):
        gamma = np.float32(fwhm / pxscale / (2 * np.sqrt(2 ** (1 / _MOFFAT_BETA) - 1)))
        kernel = (1 + distance_squared / gamma**2) ** np.float32(-_MOFFAT_BETA)
        product = fft.rfft2(planes[band]) * fft.rfft2(kernel / kernel.sum())
        blurred[band] = fft.irfft2(product, s=(height, width))
    return blurred


def _draw_seam(height: int, width: int, factor: float, generator: np.random.Generator) -> NDArray[np.float32]:
    """Return by what to multiply the noise: 1 on one side of a random line, ``factor`` on the other."""
    angle = generator.uniform(0, 2 * np.pi)
    distance = generator.uniform(0.1, 0.5) * min(height, width)
    rows, columns = np.ogrid[:height, :width]
    beyond = (rows - height / 2) * np.sin(angle) + (columns - width / 2) * np.cos(angle) > distance
    return np.where(beyond, np.float32(factor), np.float32(1))


def _draw_waves(height: int, width: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Return a smooth random field of about unit variance with four independent cells along an axis."""
    coarse = generator.standard_normal((4, 4), np.float32)
    waves = ndimage.zoom(coarse, (height / 4, width / 4), order=1, mode="nearest", grid_mode=True)
    return np.asarray(waves, np.float32)
