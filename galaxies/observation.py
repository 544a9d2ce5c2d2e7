"""What lies between a galaxy and its image: the field around it, the seeing, the noise, the survey's stretch and JPEG.

Legend: S image size in pixels; planes are (3, S, S) float32 in nanomaggies a pixel, bands g, r, z.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import fft, ndimage

from galaxies.rendering import colour_factors
from galaxies.stretch import stretch_to_rgb

# Noise in the survey's coadds is correlated by resampling: 0.65 from one pixel to the next in real cutouts (measured).
_NOISE_SMOOTHING = 0.55  # px
_MOFFAT_BETA = 3.0
_PAD = 16  # px around the image, so that the light of a star beyond one edge does not come in at the other


@dataclass(frozen=True)
class Observation:
    """The conditions of one cutout."""

    psf_fwhm_arcsec: tuple[float, float, float]
    noise: tuple[float, float, float]  # nanomaggies a pixel, standard deviation
    sky: tuple[float, float, float]  # nanomaggies a pixel left over after sky subtraction
    num_stars: int
    num_galaxies: int  # faint ones, in the background
    jpeg_quality: int


def draw_observation(image_size: int, pxscale: float, generator: np.random.Generator) -> Observation:
    """Draw conditions as in the DECam Legacy Survey: seeing 1.0 to 1.7 arcsec, depths that differ from field to field."""
    seeing = float(np.clip(1.22 * np.exp(0.11 * generator.normal()), 0.95, 1.9))
    fwhm = (seeing * 1.06, seeing, seeing * 0.94)
    depth = float(np.exp(np.clip(0.18 * generator.normal() - 0.30 * (generator.random() < 0.25), -1.2, 0.45)))
    noise = np.array([0.0024, 0.0042, 0.0066]) * depth * np.exp(0.05 * generator.normal(size=3)) * (pxscale / 0.262)
    # A little is left over after sky subtraction, now and then more, beside a bright star.
    leftover = np.array([0.00006, 0.00012, 0.0002]) * generator.normal(size=3) + 0.00012 * generator.exponential()
    sky = np.array([-0.00021, -0.00021, -0.00005]) + leftover
    area = (image_size * pxscale / 67) ** 2  # in cutouts of the standard size
    return Observation(
        psf_fwhm_arcsec=fwhm,
        noise=(float(noise[0]), float(noise[1]), float(noise[2])),
        sky=(float(sky[0]), float(sky[1]), float(sky[2])),
        num_stars=int(generator.poisson(area * generator.lognormal(1.25, 0.5))),
        num_galaxies=int(generator.poisson(area * generator.lognormal(3.75, 0.35))),
        jpeg_quality=75,
    )


def observe(
    planes: NDArray[np.float32], observation: Observation, *, pxscale: float, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the image (S, S, 3) uint8 of light in the field: seeing, noise, stretch and JPEG as in the survey's cutouts."""
    size = planes.shape[-1]
    scene = np.pad(planes, ((0, 0), (_PAD, _PAD), (_PAD, _PAD)))
    _add_galaxies(scene, observation.num_galaxies, pxscale, generator)
    _add_stars(scene, observation.num_stars, generator)
    blurred = blur(scene, observation.psf_fwhm_arcsec, pxscale)[:, _PAD : _PAD + size, _PAD : _PAD + size]
    for band in range(3):
        noise = ndimage.gaussian_filter(generator.standard_normal((size, size), np.float32), _NOISE_SMOOTHING, mode="wrap")
        blurred[band] += noise * np.float32(observation.noise[band] / _smoothing_loss()) + np.float32(observation.sky[band])
    return compress(stretch_to_rgb(blurred), observation.jpeg_quality)


def blur(planes: NDArray[np.float32], fwhm_arcsec: tuple[float, float, float], pxscale: float) -> NDArray[np.float32]:
    """Convolve each band with a Moffat profile of its own width; the flux is kept."""
    size = planes.shape[-1]
    axis = fft.fftfreq(size, 1 / size).astype(np.float32)
    distance = np.hypot(axis[:, None], axis[None, :]) * np.float32(pxscale)
    blurred = np.empty_like(planes)
    for band, fwhm in enumerate(fwhm_arcsec):
        scale = fwhm / (2 * np.sqrt(2 ** (1 / _MOFFAT_BETA) - 1))
        psf = (1 + (distance / np.float32(scale)) ** 2) ** np.float32(-_MOFFAT_BETA)
        product = fft.rfft2(planes[band]) * fft.rfft2(psf / psf.sum())
        blurred[band] = fft.irfft2(product, s=planes.shape[-2:])
    return blurred


def compress(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return what is left of an image after JPEG: the survey's viewer serves its cutouts in it."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as compressed:
        return np.asarray(compressed)


def _smoothing_loss() -> float:
    """Return by how much the smoothing lowers the deviation of white noise: 1 / (2 sqrt(pi) sigma), exact for wide kernels."""
    kernel = ndimage.gaussian_filter1d(np.eye(1, 33, 16)[0], _NOISE_SMOOTHING)
    return float((kernel**2).sum())


def _add_stars(scene: NDArray[np.float32], number: int, generator: np.random.Generator) -> None:
    """Add point sources of the stellar locus; bright ones are often saturated in some bands, which leaves odd colours."""
    size = scene.shape[-1]
    for _ in range(number):
        # The counts of stars rise slowly with magnitude.
        magnitude = 23.5 - generator.exponential(2.0)
        g_r = float(np.clip(generator.choice([0.55, 1.35], p=[0.45, 0.55]) + 0.18 * generator.normal(), 0.2, 1.7))
        r_z = 0.35 * g_r if g_r < 1.1 else float(generator.uniform(0.6, 2.2))
        fluxes = colour_factors((g_r, r_z)) * np.float32(10 ** (0.4 * (22.5 - max(magnitude, 15.5))))
        if magnitude < 19.0 and generator.random() < 0.3:
            fluxes = fluxes * np.where(generator.random(3) < 0.5, generator.uniform(0.02, 0.3), 1.0).astype(np.float32)
        row, column = generator.uniform(1, size - 2, 2)
        top, left = int(row), int(column)
        down, right = row - top, column - left
        weights = np.outer([1 - down, down], [1 - right, right]).astype(np.float32)
        scene[:, top : top + 2, left : left + 2] += fluxes[:, None, None] * weights


def _add_galaxies(scene: NDArray[np.float32], number: int, pxscale: float, generator: np.random.Generator) -> None:
    """Add faint, small exponential discs of every colour, among them distant ones that are very red."""
    size = scene.shape[-1]
    half = 12
    grid = np.arange(-half, half + 1, dtype=np.float32) * np.float32(pxscale)
    x, y = np.meshgrid(grid, grid)
    for _ in range(number):
        magnitude = max(24.6 - generator.exponential(1.0), 18.5)
        radius = np.clip(0.42 * np.exp(0.35 * generator.normal()) * 10 ** (0.10 * (23.2 - magnitude)), 0.15, 1.3)
        angle, ratio = generator.uniform(0, np.pi), generator.uniform(0.35, 1)
        along, across = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
        stamp = np.exp(-1.678 * np.sqrt(along**2 + (across / ratio) ** 2 + 0.01) / radius)
        g_r = float(np.clip(0.8 + 0.4 * generator.normal(), 0.1, 1.9))
        # Only galaxies faint in g are far away; independent colours would paint them magenta and green.
        colour = (g_r, float(np.clip(0.25 + 0.55 * g_r + 0.2 * generator.normal(), 0.0, 2.0)))
        flux = np.float32(10 ** (0.4 * (22.5 - magnitude)) / stamp.sum())
        top, left = generator.integers(0, size - 2 * half, 2)
        scene[:, top : top + 2 * half + 1, left : left + 2 * half + 1] += colour_factors(colour)[:, None, None] * stamp * flux
