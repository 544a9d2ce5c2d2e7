"""Simple measurements on 8-bit colour images: how large, how bright, how blue a galaxy is, and how noisy its sky.

Legend: B images, S image size in pixels.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

# From the median absolute deviation to the standard deviation of a normal distribution.
_MAD_TO_SIGMA = 1.4826
_CHANNELS = ("red", "green", "blue")


def measure_images(images: NDArray[np.uint8]) -> pd.DataFrame:
    """Measure the galaxy at the centre of each image, (B, S, S, 3), and the sky around it; one row an image.

    Columns: ``radius`` holding half the galaxy's light (as a fraction of S), ``brightness`` (mean grey level above the sky
    within that radius), ``peak``, ``axis_ratio`` from second moments, ``sky_<channel>`` and ``noise_<channel>`` (robust level
    and standard deviation of sky pixels), ``red_minus_blue`` and ``green_excess`` of the galaxy's light, relative to its grey
    level, and ``detections``: sources in the whole image.
    """
    return pd.DataFrame([_measure(image.astype(np.float32)) for image in images])


def _measure(image: NDArray[np.float32]) -> dict[str, float]:
    size = image.shape[0]
    sky, noise = _measure_sky(image)
    signal = image - sky
    grey = ndimage.gaussian_filter(signal.mean(axis=2), 1.0)
    threshold = 2.0 * float(noise.mean())
    regions, num_regions = ndimage.label(grey > threshold)
    mask = _central_region(regions, size)
    flux = np.where(mask, np.clip(signal.mean(axis=2), 0, None), 0)
    rows, columns = np.indices(flux.shape, dtype=np.float32)
    total = float(flux.sum()) or 1.0
    row, column = float((flux * rows).sum()) / total, float((flux * columns).sum()) / total
    distance = np.hypot(rows - row, columns - column)
    order = np.argsort(distance, axis=None)
    enclosed = np.cumsum(flux.ravel()[order])
    radius = float(distance.ravel()[order][np.searchsorted(enclosed, total / 2)])
    moments = np.cov(np.stack([rows.ravel(), columns.ravel()]), aweights=flux.ravel() + 1e-9)
    smallest, largest = np.linalg.eigvalsh(moments)
    inside = mask & (distance <= max(radius, 1.5))
    level = signal[inside].mean(axis=0) if inside.any() else np.zeros(3, np.float32)
    grey_level = float(level.mean())
    return {
        "radius": radius / size,
        "brightness": grey_level,
        "peak": float(grey[mask].max()) if mask.any() else 0.0,
        "axis_ratio": float(np.sqrt(max(smallest, 0) / max(largest, 1e-9))),
        "red_minus_blue": float(level[0] - level[2]) / max(grey_level, 1.0),
        "green_excess": float(level[1] - (level[0] + level[2]) / 2) / max(grey_level, 1.0),
        **{f"sky_{name}": float(value) for name, value in zip(_CHANNELS, sky, strict=True)},
        **{f"noise_{name}": float(value) for name, value in zip(_CHANNELS, noise, strict=True)},
        "detections": float(num_regions),
    }


def _measure_sky(image: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the level and the standard deviation of the sky in each channel, (3,), by clipping what is brighter."""
    pixels = image.reshape(-1, 3)
    for _ in range(4):
        level = np.median(pixels, axis=0)
        sigma = _MAD_TO_SIGMA * np.median(np.abs(pixels - level), axis=0) + 0.5
        pixels = pixels[(np.abs(pixels - level) < 3 * sigma).all(axis=1)]
    return level, np.std(pixels, axis=0)


def _central_region(regions: NDArray[np.int32], size: int) -> NDArray[np.bool_]:
    """Return the mask of the labelled region nearest the centre."""
    centre = (size - 1) / 2
    rows, columns = np.nonzero(regions)
    if not len(rows):
        return np.zeros(regions.shape, bool)
    nearest = np.argmin((rows - centre) ** 2 + (columns - centre) ** 2)
    return np.asarray(regions == regions[rows[nearest], columns[nearest]])
