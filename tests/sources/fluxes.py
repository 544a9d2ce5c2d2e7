"""Toys for the tests of fluxes: a galaxy over a noisy sky, FITS files of it, and what is read from them."""

from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from galaxies.sources.fits_planes import open_contents
from galaxies.sources.flux_images import Field, read_fluxes

SIZE = 64
PXSCALE = 0.262


def toy_galaxy(*, size: int = SIZE, seed: int = 0) -> NDArray[np.float32]:
    """Return g, r, z in nanomaggies of an elongated red galaxy in the middle of a noisy sky, (3, S, S)."""
    y, x = np.indices((size, size)) - (size - 1) / 2
    galaxy = np.exp(-np.hypot(x / 6, y / 3))
    noise = np.random.default_rng(seed).normal(0, 0.004, (3, size, size))
    return np.asarray(np.array([0.1, 0.25, 0.4])[:, None, None] * galaxy + noise, np.float32)


def tan_header(*, size: int = SIZE, scale: float = PXSCALE, **cards: Any) -> fits.Header:
    """Return a header with a gnomonic projection whose middle is ra 150, dec 2."""
    middle = (size + 1) / 2
    wcs = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": middle, "CRPIX2": middle}
    return fits.Header({**wcs, "CD1_1": -scale / 3600, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": scale / 3600, **cards})


def write_cube(path: Path, fluxes: NDArray[Any], **cards: Any) -> Path:
    """Write g, r, z as the survey's cutouts have them."""
    fits.PrimaryHDU(fluxes, tan_header(size=fluxes.shape[-1], **{"BANDS": "grz", **cards})).writeto(path, overwrite=True)
    return path


def write_bands(folder: Path, fluxes: NDArray[Any], headers: list[fits.Header]) -> list[Path]:
    """Write g, r and z each as a file of its own."""
    paths = [folder / f"galaxy-{band}.fits" for band in "grz"]
    for path, plane, header in zip(paths, fluxes, headers, strict=True):
        fits.PrimaryHDU(plane, header).writeto(path, overwrite=True)
    return paths


def read_fits(files: list[Path], *, is_mosaic: bool = False, **field: Any) -> tuple[NDArray[np.uint8], float, list[str], bool]:
    """Return the picture, its pixel scale, the texts of the notes, and whether one of them is a doubt."""
    with ExitStack() as stack:
        contents = [stack.enter_context(closing(open_contents(file, is_mosaic=is_mosaic))) for file in files]
        picture, pxscale, notes = read_fluxes(contents, Field(**{"size": SIZE, "arcsec": None, **field}))
    return picture, pxscale, [note.text for note in notes], any(note.is_doubt for note in notes)
