"""The pixels of one FITS image, of which any part can be read without the rest. H x W pixels."""

import os
import re
import tempfile
import threading
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from galaxies.data.image_files import DAMAGE_ERRORS

# Rows of a compressed image that are unpacked at a time: a cutout of 256 px touches two or three such strips.
_STRIP_ROWS = 128
_PC_CARD = re.compile(r"PC\d_\d")


class FitsImage:
    """One image of an open FITS file. Threads may share it.

    Attributes:
        number: of the extension, 0 for the first of the file.
        name: of the extension, upper case, or empty.
        header: its own.
        shape: of the array: (H, W), or with axes before these.
        is_compressed: in tiles, as in ``.fits.fz``.
        tile_shape: of one of these, else empty.
        is_whole: whether it is stored as whole numbers, of which fluxes may be made by BSCALE.
        is_integer: whether its values are whole numbers.
    """

    def __init__(self, hdu: Any, number: int, lock: threading.Lock) -> None:
        self.number = number
        self.name, self.header = str(hdu.name).strip().upper(), hdu.header
        self.shape = tuple(int(length) for length in hdu.shape)
        self.is_compressed = isinstance(hdu, fits.CompImageHDU)
        self.tile_shape = tuple(int(length) for length in hdu.tile_shape) if self.is_compressed else ()
        # Asked now: astropy takes these cards away when it reads the pixels.
        scale = self.header.get("BSCALE", 1)
        self.is_whole = int(self.header["BITPIX"]) > 0
        self.is_integer = self.is_whole and scale == 1
        self._is_plain = (
            not self.is_compressed and scale == 1 and self.header.get("BZERO", 0) == 0 and "BLANK" not in self.header
        )
        # astropy reads a BLANK of 0 as if there were none.
        self._blank = self.header.get("BZERO", 0) if self.is_whole and self.header.get("BLANK") == 0 else None
        self._hdu, self._lock = hdu, lock
        self._strips: dict[tuple[int, ...], _Strips] = {}

    @cached_property
    def wcs(self) -> WCS | None:
        """Where on the sky its pixels are, None where the header does not tell or makes no sense."""
        try:
            # A cube's first two axes are its planes'; with more, astropy refuses the distortions of some.
            wcs = WCS(_drop_doubled(self.header), naxis=2)
            return wcs.celestial if wcs.has_celestial else None
        except (*DAMAGE_ERRORS, fits.VerifyError):
            return None

    def read(
        self, place: tuple[int, ...], rows: slice, columns: slice, dtype: type[np.float32] | type[np.int64] = np.float32
    ) -> NDArray[Any]:
        """Return a copy of some rows and columns, in the file's order, of the plane at ``place`` on the axes before those."""
        num_rows, width = self.shape[-2:]
        with self._lock:
            if not self.is_compressed or rows.stop - rows.start == num_rows:
                return self._read(place, rows, columns, dtype)
            strips = self._strips.setdefault(place, _Strips(num_rows, width, dtype))
            if strips.pixels is None:
                return self._read(place, rows, columns, dtype)
            for missing in strips.missing(rows):
                strips.pixels[missing] = self._read(place, missing, slice(0, width), dtype)
            return np.array(strips.pixels[rows, columns])

    def _read(self, place: tuple[int, ...], rows: slice, columns: slice, dtype: type[Any]) -> NDArray[Any]:
        # A plain array is mapped into memory, of which the system takes back what it needs.
        pixels = self._hdu.data if self._is_plain else self._hdu.section
        with np.errstate(over="ignore", invalid="ignore"):
            read = np.array(pixels[(*place, rows, columns)], dtype)
        if self._blank is not None and dtype is np.float32:
            read[read == np.float32(self._blank)] = np.nan
        return read


def _drop_doubled(header: fits.Header) -> fits.Header:
    """Return a header without PCi_j where it has CDi_j too, which say the same with the scale and may not stand beside them."""
    doubled = [name for name in header if _PC_CARD.fullmatch(name)] if "CD1_1" in header and "PC1_1" in header else []
    if not doubled or "CDELT1" in header:  # Of those three, the reader chooses.
        return header
    header = header.copy()
    for name in doubled:
        del header[name]
    return header


class _Strips:
    """A compressed plane whose rows are unpacked once, when a galaxy in them is asked for, into a file without a name.

    One galaxy after the other, each would unpack hundreds of rows as wide as the mosaic.

    Attributes:
        pixels: (H, W), of which only the strips that are not :meth:`missing` mean something; None where the disk has no room.
    """

    def __init__(self, num_rows: int, width: int, dtype: type[Any]) -> None:
        self.pixels: NDArray[Any] | None = None
        self._num_rows, self._unpacked = num_rows, set[int]()
        with tempfile.TemporaryFile() as file, suppress(OSError):
            # Without the room taken first, a full disk would kill the process in the middle of a copy.
            os.posix_fallocate(file.fileno(), 0, num_rows * width * np.dtype(dtype).itemsize)
            # The file is there as long as it is mapped.
            self.pixels = np.memmap(file, dtype, "r+", shape=(num_rows, width))

    def missing(self, rows: slice) -> list[slice]:
        """Return the strips that ``rows`` touch and that are not there yet; they count as there from now on."""
        touched = set(range(rows.start // _STRIP_ROWS, -(-rows.stop // _STRIP_ROWS))) - self._unpacked
        self._unpacked |= touched
        return [slice(strip * _STRIP_ROWS, min((strip + 1) * _STRIP_ROWS, self._num_rows)) for strip in sorted(touched)]
