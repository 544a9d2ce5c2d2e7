"""From files to the image that a network sees: the one way that galaxies of training and of prediction go alike.

Legend: S image size in pixels.
"""

import functools
import math
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from galaxies.data.bands import find_bands
from galaxies.data.field_of_view import FieldOfView
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.errors import InputError
from galaxies.files import format_bytes
from galaxies.sources.fits_files import read_fits
from galaxies.sources.framing import frame_image
from galaxies.sources.image_files import FITS_SUFFIXES, read_image, read_size
from galaxies.sources.notes import Note

# The pixel limit allows some 200 MB of fluxes in a file; anything larger is no cutout.
_MAX_FILE_BYTES = 512 << 20


@dataclass(frozen=True)
class ReadOptions:
    """What the user says of all images; it goes over what files and catalogues say."""

    pxscale: float | None = None  # arcsec/px
    as_is: bool = False  # each image is the field: neither cropped nor resampled to that of the training images
    bands: tuple[str, ...] | None = None  # of a file in the Galaxy10 schema, in order; None: those of a picture


@dataclass(frozen=True)
class GalaxyImage:
    """One galaxy as a network sees it."""

    pixels: NDArray[np.uint8]  # (S, S, 3)
    pxscale: float  # arcsec/px of the file or as said, NaN where unknown
    notes: tuple[Note, ...]  # what was assumed of the image or done to it

    @property
    def is_doubtful(self) -> bool:
        """Tell whether the pixels may not show what they are taken for, so that no answer should rest on them."""
        return any(note.is_doubt for note in self.notes)


class ImageReader:
    """Reads galaxies from files of every kind that is known here. Use it as a context manager; threads may share it.

    Files that many galaxies are in stay open from one to the next.
    """

    def __init__(self, field: FieldOfView | None, options: ReadOptions | None = None) -> None:
        """Prepare for images that should show ``field``; None where that is unknown: then each is taken as it is."""
        self._field, self._options = field, options or ReadOptions()
        self._stack = ExitStack()
        self._open_galaxies = functools.cache(lambda path: self._stack.enter_context(GalaxyFile(path)))

    def read(
        self,
        files: Sequence[Path],
        *,
        index: int | None = None,
        pxscale: float = math.nan,
        ra: float = math.nan,
        dec: float = math.nan,
    ) -> GalaxyImage:
        """Read one galaxy.

        Args:
            files: a picture, a FITS file, three FITS files of g, r and z, or a file in the Galaxy10 schema.
            index: of the galaxy in a file in the Galaxy10 schema.
            pxscale: arcsec/px where the catalogue says it; it goes over what a header says.
            ra: deg, where the catalogue says it.
            dec: deg.

        Raises:
            InputError: or one of DAMAGE_ERRORS, which ``say_damage`` puts in words: there is no image in the files.
        """
        scale_said = pxscale if self._options.pxscale is None else self._options.pxscale
        notes: list[Note] = []
        if index is not None:
            (path,) = files
            pixels = self._read_from(self._open_galaxies(path), index)
        elif len(files) > 1 or _is_fits(_require_regular(files[0])):
            pixels, pxscale, notes = read_fits([_require_regular(file) for file in files])
        else:
            pixels = read_image(files[0])
        pxscale = scale_said if np.isfinite(scale_said) or scale_said <= 0 else pxscale
        framed, framing_notes = frame_image(pixels, pxscale, self._field, as_is=self._options.as_is)
        # The first row alone tells nearly always that an image is not blank, in a hundredth of the time.
        if (framed[0] == framed[0, 0]).all() and (framed == framed[0, 0]).all():
            notes.append(Note("blank: every pixel is the same", is_doubt=True))
        return GalaxyImage(framed, pxscale, (*notes, *framing_notes))

    def measure(self, files: Sequence[Path], *, pxscale: float = math.nan) -> tuple[int, float]:
        """Return the shorter side of an image in px, before it is framed, and its scale in arcsec/px, NaN where unknown.

        Of a picture the header alone is read. Raises as :meth:`read` does.
        """
        if len(files) > 1 or _is_fits(_require_regular(files[0])):
            pixels, found, _ = read_fits([_require_regular(file) for file in files])
            return min(pixels.shape[:2]), pxscale if np.isfinite(pxscale) else found
        return min(read_size(files[0])), pxscale

    def _read_from(self, galaxies: GalaxyFile, index: int) -> NDArray[np.uint8]:
        """Return the image at a place of a file in the Galaxy10 schema, (S, S, 3)."""
        image: NDArray[np.uint8] = galaxies.read_images(np.array([index]))[0]
        bands = self._options.bands or galaxies.bands
        if len(bands) != 3 or image.dtype != np.uint8:
            raise InputError(
                f"the image has {len(galaxies.bands)} bands ({', '.join(galaxies.bands)}) of {image.dtype}, and a file is "
                "predicted from three of uint8; use `galaxies.load(...).predict(images)`"
            )
        return image if bands == galaxies.bands else image[..., find_bands(galaxies.bands, bands, galaxies.path)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()


def _is_fits(file: Path) -> bool:
    """Tell by its first bytes whether a file is FITS: a name can be wrong."""
    with file.open("rb") as stream:
        return file.name.lower().endswith(FITS_SUFFIXES) or stream.read(10) == b"SIMPLE  = "


def _require_regular(file: Path) -> Path:
    """Return ``file`` if it is safe to open: opening a pipe waits for ever, and a device never ends."""
    status = file.stat()
    if stat.S_ISDIR(status.st_mode):
        raise InputError("a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise InputError("neither a file nor a folder, but a pipe, a socket or a device")
    if status.st_size == 0:
        raise InputError("the file is empty")
    if status.st_size > _MAX_FILE_BYTES:
        raise InputError(f"the file has {format_bytes(status.st_size)}, allowed are {format_bytes(_MAX_FILE_BYTES)}")
    return file
