"""Galaxies in FITS files: their fluxes in g, r and z become the colours of the survey's own pictures (``stretch``).

Fluxes are taken as nanomaggies a pixel, as the Legacy Surveys give them. H x W pixels.
"""

import gzip
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray

from galaxies.data.stretch import BANDS, stretch_grey, stretch_to_rgb
from galaxies.errors import InputError
from galaxies.files import format_bytes
from galaxies.sources.image_files import DAMAGE_ERRORS, MAX_PIXELS, say_damage
from galaxies.sources.notes import Note

# What astropy's decompressor raises on damaged bytes: a class that has a name in private modules alone.
_DECOMPRESSION_ERROR = "CfitsioException"
_GZIP_START = b"\x1f\x8b"
# The largest image that is read has half of it.
_MAX_UNPACKED_BYTES = 256 << 20
# A header of the survey has some 200 cards of 80 bytes; one without an end would be read to the end of the file.
_MAX_HEADER_BYTES = 1 << 20
_CARD_BYTES = 80
_MAX_HDUS = 16
_SCALE_KEYWORDS = ("PIXSCALE", "PXSCALE", "PIXSCAL1", "SECPIX", "SECPIX1")
_BAND_KEYWORDS = ("BAND", "FILTER")
_PLAUSIBLE_ARCSEC = (1e-3, 1e3)
# What stands beside an image in a file of its own extension: errors, quality, weights, coverage (HST, JWST, Legacy Surveys).
_COMPANIONS = ("err", "dq", "wht", "con", "ctx", "var", "ivar", "invvar", "weight", "mask", "maskbits", "nexp", "area", "psf")
# Counts or another unit make most of an image white; of the 2,488 galaxies of EFIGI none has more than 2 % of it.
_MOST_WHITE = 0.25
_SAME_SCALE = 0.01


@dataclass(frozen=True)
class _Plane:
    """One image of the sky in one band."""

    band: str | None  # None where the header does not say
    fluxes: NDArray[np.float32]  # (H, W), rows from north to south where FITS's usual orientation holds
    pxscale: float  # arcsec/px, NaN where unknown


def read_fits(files: Sequence[Path]) -> tuple[NDArray[np.uint8], float, list[Note]]:
    """Read one file (one plane, three planes, or a cube), or three with one plane each, in the order g, r, z.

    Returns:
        The image (H, W, 3), its pixel scale in arcsec (NaN where unknown), and notes on what was assumed.

    Raises:
        InputError: the file is damaged, holds no image, none in the right bands, or more pixels than the limit.
        OSError: the file cannot be opened.
    """
    with _explain_damage():
        planes, notes = _choose_planes([list(_read_planes(file)) for file in files])
    _require_same_sky(planes)
    fluxes = np.stack([plane.fluxes for plane in planes])
    notes += _mend(fluxes, planes)
    image = stretch_to_rgb(fluxes) if len(planes) == len(BANDS) else stretch_grey(fluxes[0])
    white_fraction = np.count_nonzero(image == 255) / image.size
    if white_fraction > _MOST_WHITE:
        notes.append(Note(f"{white_fraction:.0%} of the image is white: are the fluxes nanomaggies a pixel?", is_doubt=True))
    return image, planes[0].pxscale, notes


@contextmanager
def _explain_damage() -> Iterator[None]:
    """Turn what astropy raises on damaged bytes into an InputError; each kind was met with files changed at random."""
    try:
        yield
    except Exception as error:
        is_damage = isinstance(error, (*DAMAGE_ERRORS, fits.VerifyError)) or type(error).__name__ == _DECOMPRESSION_ERROR
        # An error of the system names its file: missing, or closed to this user.
        if not is_damage or isinstance(error, MemoryError) or getattr(error, "filename", None):
            raise
        raise InputError(f"the FITS file is damaged ({say_damage(error)})") from error


def _choose_planes(files: list[list[_Plane]]) -> tuple[list[_Plane], list[Note]]:
    """Return the planes g, r, z, or a single one, out of those of each file."""
    if len(files) > 1:
        counts = [len(planes) for planes in files]
        if counts != [1] * len(BANDS):
            raise InputError(f"found {counts} planes in the files of g, r and z, expected one in each")
        wrong = [f"{p.band} for {band}" for (p,), band in zip(files, BANDS, strict=True) if p.band not in (None, band)]
        if wrong:
            raise InputError(f"the headers name other bands than the catalogue: {', '.join(wrong)}")
        return [planes[0] for planes in files], []
    (planes,) = files
    if len(planes) == 1:
        band = planes[0].band or "unnamed"
        return planes, [Note(f"one band ({band}), shown in grey: the training images have colours")]
    named = {plane.band: plane for plane in planes}
    if all(band in named for band in BANDS):
        return [named[band] for band in BANDS], []
    if len(planes) == len(BANDS) and set(named) == {None}:
        return planes, [Note("the bands have no names: the three planes are taken as g, r, z")]
    names = ", ".join(str(plane.band or "unnamed") for plane in planes[:6]) or "none"
    more = f" … ({len(planes)} planes of {' x '.join(map(str, planes[0].fluxes.shape[::-1]))})" if len(planes) > 6 else ""
    raise InputError(f"found the bands {names}{more}, expected g, r and z, or three planes, or one")


def _require_same_sky(planes: list[_Plane]) -> None:
    if len({plane.fluxes.shape for plane in planes}) > 1:
        raise InputError(f"the bands have different sizes: {', '.join(str(plane.fluxes.shape) for plane in planes)}")
    scales = [plane.pxscale for plane in planes if np.isfinite(plane.pxscale)]
    if scales and max(scales) > min(scales) * (1 + _SAME_SCALE):
        raise InputError(f"the bands have different pixel scales: {', '.join(f'{scale:.4g}' for scale in scales)} arcsec")


def _mend(fluxes: NDArray[np.float32], planes: list[_Plane]) -> list[Note]:
    """Put the sky's 0 where a flux is not finite, in place; return notes on that and on empty planes."""
    broken = ~np.isfinite(fluxes)
    fluxes[broken] = 0
    notes = [Note(f"{broken.mean():.2%} of the fluxes are not finite: taken as empty sky")] if broken.any() else []
    for number, plane in enumerate(planes):
        if not (fluxes[number] > 0).any():
            notes.append(Note(f"plane {number + 1} of {len(planes)} ({plane.band or 'unnamed'}) holds no light", is_doubt=True))
    return notes


def _read_planes(file: Path) -> Iterator[_Plane]:
    """Yield the planes of a file, whatever HDUs they are in. Sizes are checked before anything is read."""
    # astropy leaves a file open that it opened itself and could not read to its end.
    with _open(file) as stream, fits.open(stream, memmap=False, lazy_load_hdus=True) as hdus:
        file_bytes = stream.seek(0, io.SEEK_END)
        for hdu in islice(hdus, _MAX_HDUS):
            # Asking a table for its shape is an error, and an empty primary HDU has none.
            if not isinstance(hdu, (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)) or len(hdu.shape) < 2:
                continue
            if hdu.name.lower().replace("-", "_").split("_")[0] in _COMPANIONS:
                continue
            _check_size(hdu, file_bytes)
            planes = np.asarray(hdu.data)
            planes = planes.reshape(-1, *planes.shape[-2:])
            pxscale = _read_scale(hdu.header)
            for number, band in enumerate(_read_bands(hdu, len(planes))):
                with np.errstate(over="ignore", invalid="ignore"):
                    # FITS counts rows from the bottom of the picture.
                    yield _Plane(band, planes[number, ::-1].astype(np.float32), pxscale)


def _open(file: Path) -> BinaryIO:
    """Return the bytes of a file whose first header is sound, unpacked where gzip packed it; astropy has no limit there."""
    with file.open("rb") as packed:
        is_packed = packed.read(len(_GZIP_START)) == _GZIP_START
    stream: BinaryIO = _unpack(file) if is_packed else file.open("rb")
    try:
        _check_header(stream.read(_MAX_HEADER_BYTES))
    except BaseException:
        stream.close()
        raise
    stream.seek(0)
    return stream


def _unpack(file: Path) -> io.BytesIO:
    with gzip.open(file) as packed:
        content = packed.read(_MAX_UNPACKED_BYTES + 1)
    if len(content) > _MAX_UNPACKED_BYTES:
        raise InputError(f"the file unpacks to more than {format_bytes(_MAX_UNPACKED_BYTES)}")
    return io.BytesIO(content)


def _check_header(start: bytes) -> None:
    if not start.startswith(b"SIMPLE  ="):
        raise InputError("not a FITS file: it does not begin with SIMPLE (bzip2, zip: unpack it first)")
    if not any(start[i : i + _CARD_BYTES].rstrip() == b"END" for i in range(0, len(start), _CARD_BYTES)):
        raise InputError(f"the FITS header does not end within {_MAX_HEADER_BYTES:,} bytes")


def _check_size(hdu: Any, file_bytes: int) -> None:
    shape = tuple(int(length) for length in hdu.shape)
    num_pixels = int(np.prod(np.array(shape, dtype=object)))
    where = f"the FITS image of {' x '.join(str(length) for length in reversed(shape))}"
    if not 0 < num_pixels <= MAX_PIXELS:
        raise InputError(f"{where} has {num_pixels:,} pixels, allowed are 1 to {MAX_PIXELS:,}")
    if len(shape) > 3:
        raise InputError(f"{where} has {len(shape)} axes, allowed are 2 or 3")
    if not isinstance(hdu, fits.CompImageHDU) and num_pixels * abs(int(hdu.header["BITPIX"])) // 8 > file_bytes:
        raise InputError(f"{where} is cut off: the file has {file_bytes:,} bytes")


def _read_bands(hdu: Any, num_planes: int) -> list[str | None]:
    """Return the name of each plane's band: BANDS = 'grz' as the survey's cutouts have it, BAND or FILTER, the extension."""
    text = str(hdu.header.get("BANDS", "")).strip().lower().replace(",", "")
    if len(text) == num_planes:
        return list(text)
    if num_planes == 1:
        for name in (*(hdu.header.get(keyword) for keyword in _BAND_KEYWORDS), hdu.name):
            # DECam writes 'r DECam SDSS c0002 6415.0 1480.0'.
            first = str(name or "").strip().lower().split(" ")[0].removeprefix("image_").removeprefix("image-")
            if first in ("u", "g", "r", "i", "z", "y"):
                return [first]
    return [None] * num_planes


def _read_scale(header: fits.Header) -> float:
    """Return the pixel scale in arcsec from the WCS, else from a keyword, else NaN."""
    scale = float("nan")
    try:
        wcs = WCS(header)
        if wcs.has_celestial:
            scale = float(np.mean(proj_plane_pixel_scales(wcs.celestial))) * 3600
    except (*DAMAGE_ERRORS, fits.VerifyError):
        pass  # A header whose WCS is broken may still name its scale, and without one the image is taken as it is.
    candidates = [scale, *(header.get(keyword) for keyword in _SCALE_KEYWORDS)]
    numbers = [float(value) for value in candidates if isinstance(value, (int, float)) and not isinstance(value, bool)]
    return next((number for number in numbers if _PLAUSIBLE_ARCSEC[0] < number < _PLAUSIBLE_ARCSEC[1]), float("nan"))
