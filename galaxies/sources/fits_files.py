"""FITS files as they lie on disk: opened, unpacked where they are packed, and no header believed before the file's size is.

H x W pixels.
"""

import bz2
import errno
import gzip
import io
import lzma
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import IO

from astropy.io import fits

from galaxies.data.image_files import DAMAGE_ERRORS, MAX_PIXELS, say_damage
from galaxies.errors import InputError
from galaxies.files import format_bytes
from galaxies.sources.fits_pixels import FitsImage

# What astropy's decompressor raises on damaged bytes: a class that has a name in private modules alone.
_DECOMPRESSION_ERROR = "CfitsioException"
_FITS_START = b"SIMPLE  ="
_Unpacker = type[gzip.GzipFile] | type[bz2.BZ2File] | type[lzma.LZMAFile]
_UNPACKERS: dict[bytes, _Unpacker] = {b"\x1f\x8b": gzip.GzipFile, b"BZh": bz2.BZ2File, b"\xfd7zXZ\0": lzma.LZMAFile}
"""By the first bytes of a packed file. astropy unpacks too, but without a limit."""
_LONGEST_START = max(len(start) for start in (_FITS_START, *_UNPACKERS))
# What unpacks to more than this lies on disk, where it takes no memory.
_MAX_BYTES_IN_MEMORY = 16 << 20
_COPY_BYTES = 1 << 20
# A header of the survey has some 200 cards of 80 bytes; one without an end would be read to the end of the file.
_MAX_HEADER_BYTES = 1 << 20
_CARD_BYTES = 80
_MAX_HDUS = 64
# A file that is read whole has half of it at most; of a mosaic, single galaxies are read.
_MAX_BYTES = 512 << 20
_MAX_UNPACKED_BYTES = 256 << 20
_MAX_MOSAIC_BYTES = 256 << 30
_MAX_MOSAIC_PIXELS = 1 << 33


class FitsFile:
    """An open FITS file with all its images.

    Attributes:
        path: of the file.
        images: those of the sky and others, as they stand in the file; their pixels are not read yet.
        primary: the first header of the file, which says what holds for all of them.
    """

    def __init__(self, path: Path, *, is_mosaic: bool) -> None:
        """Open ``path``, as a mosaic where only parts of it will be read: then it may be larger.

        Raises:
            InputError: the file is damaged, too large, or no FITS file.
            OSError: it cannot be opened.
        """
        self.path = path
        with ExitStack() as stack, explain_damage():
            # astropy leaves a file open that it opened itself and could not read to its end.
            stream = stack.enter_context(_open(path, is_mosaic))
            # Where it can be, a file is mapped into memory; True would refuse images with BSCALE, which cannot.
            is_mapped = None if isinstance(stream, io.BufferedReader) else False
            hdus = stack.enter_context(fits.open(stream, memmap=is_mapped, lazy_load_hdus=True))
            self._num_bytes, self._is_mosaic = stream.seek(0, io.SEEK_END), is_mosaic
            lock = threading.Lock()
            self.images: list[FitsImage] = []
            for number, hdu in enumerate(islice(hdus, _MAX_HDUS)):
                # Asking a table for its shape is an error, and an empty primary HDU has none.
                if isinstance(hdu, (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)) and len(hdu.shape) >= 2:
                    self.images.append(FitsImage(hdu, number, lock))
            self.primary: fits.Header = hdus[0].header
            self._stack = stack.pop_all()

    def require_sound(self, image: FitsImage) -> None:
        """Raise InputError unless the size that the header of ``image`` tells is one that can be read."""
        where = f"the FITS image of {' x '.join(str(length) for length in reversed(image.shape))}"
        num_pixels, limit = _count(image.shape), _MAX_MOSAIC_PIXELS if self._is_mosaic else MAX_PIXELS
        if not 0 < num_pixels <= limit:
            raise InputError(f"{where} has {num_pixels:,} pixels, allowed are 1 to {limit:,}")
        if any(length > 1 for length in image.shape[:-3]):
            raise InputError(f"{where} has {len(image.shape)} axes, allowed are 2 or 3")
        if not image.is_compressed and num_pixels * abs(int(image.header["BITPIX"])) // 8 > self._num_bytes:
            raise InputError(f"{where} is cut off: the file has {self._num_bytes:,} bytes")
        if image.is_compressed and _count(image.tile_shape) > MAX_PIXELS:
            raise InputError(
                f"{where} is compressed in tiles of {_count(image.tile_shape):,} pixels, allowed are {MAX_PIXELS:,}"
            )

    def close(self) -> None:
        """Close the file; pixels that were read stay."""
        self._stack.close()


@contextmanager
def explain_damage() -> Iterator[None]:
    """Turn what astropy raises on damaged bytes into an InputError; each kind was met with files changed at random."""
    try:
        yield
    except Exception as error:
        is_damage = isinstance(error, (*DAMAGE_ERRORS, fits.VerifyError)) or type(error).__name__ == _DECOMPRESSION_ERROR
        # An error of the system names its file: missing, or closed to this user.
        if not is_damage or isinstance(error, MemoryError) or getattr(error, "filename", None):
            raise
        raise InputError(f"the FITS file is damaged ({say_damage(error)})") from error


def is_fits(path: Path) -> bool:
    """Tell by its first bytes whether a file is FITS, packed or not: a name can be wrong."""
    with path.open("rb") as file:
        start = file.read(_LONGEST_START)
    if start.startswith(_FITS_START):
        return True
    unpack = _find_unpacker(start)
    if unpack is None:
        return False
    try:
        with unpack(path) as packed:
            return packed.read(len(_FITS_START)) == _FITS_START
    except DAMAGE_ERRORS:
        return False


def _find_unpacker(start: bytes) -> _Unpacker | None:
    return next((unpack for magic, unpack in _UNPACKERS.items() if start.startswith(magic)), None)


def _open(path: Path, is_mosaic: bool) -> IO[bytes]:
    """Return the bytes of a file whose first header is sound, unpacked where they were packed."""
    num_bytes, limit = path.stat().st_size, _MAX_MOSAIC_BYTES if is_mosaic else _MAX_BYTES
    if num_bytes > limit:
        advice = "" if is_mosaic else "; of a mosaic with a WCS a catalogue with ra and dec cuts single galaxies"
        raise InputError(f"the file has {format_bytes(num_bytes)}, allowed are {format_bytes(limit)}{advice}")
    with path.open("rb") as file:
        unpack = _find_unpacker(file.read(_LONGEST_START))
    stream = _unpack(path, unpack, is_mosaic) if unpack else path.open("rb")
    try:
        _check_header(stream.read(_MAX_HEADER_BYTES))
    except BaseException:
        stream.close()
        raise
    stream.seek(0)
    return stream


def _unpack(path: Path, unpack: _Unpacker, is_mosaic: bool) -> IO[bytes]:
    """Return the unpacked bytes, in memory, or where they are many in a file without a name."""
    limit = _MAX_MOSAIC_BYTES if is_mosaic else _MAX_UNPACKED_BYTES
    content: IO[bytes] = tempfile.SpooledTemporaryFile(_MAX_BYTES_IN_MEMORY)  # noqa: SIM115 - the caller closes it
    try:
        with unpack(path) as packed:
            while block := packed.read(_COPY_BYTES):
                content.write(block)
                if content.tell() > limit:
                    raise InputError(f"the file unpacks to more than {format_bytes(limit)}")
    except BaseException as error:
        content.close()
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(
                f"there is no room to unpack it in {tempfile.gettempdir()}; set TMPDIR to a folder with room, or unpack it"
            ) from error
        raise
    content.seek(0)
    return content


def _check_header(start: bytes) -> None:
    if not start.startswith(_FITS_START):
        raise InputError("not a FITS file: it does not begin with SIMPLE, nor is it one packed by gzip, bzip2 or xz")
    if not any(start[i : i + _CARD_BYTES].rstrip() == b"END" for i in range(0, len(start), _CARD_BYTES)):
        raise InputError(f"the FITS header does not end within {_MAX_HEADER_BYTES:,} bytes")


def _count(shape: tuple[int, ...]) -> int:
    """Return the number of pixels; numpy's product of such a header's numbers may not fit into 64 bits."""
    num_pixels = 1
    for length in shape:
        num_pixels *= max(length, 0)
    return num_pixels
