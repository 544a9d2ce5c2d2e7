"""From files to the image that a network sees: the one way that galaxies of training and of prediction go alike.

Legend: S image size in pixels, C bands.
"""

import math
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from galaxies.data.bands import Channels, PixelType, find_bands
from galaxies.data.field_of_view import FieldOfView
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.image_files import FITS_SUFFIXES, read_image, read_size
from galaxies.errors import InputError
from galaxies.files import format_bytes
from galaxies.sources.fits_files import is_fits
from galaxies.sources.fits_planes import FileContents, open_contents
from galaxies.sources.flux_images import NO_POSITION, Field, read_fluxes
from galaxies.sources.framing import frame_image
from galaxies.sources.notes import BLANK, Note
from galaxies.sources.open_files import OpenFiles
from galaxies.sources.pixel_grids import count_squares, measure_pixel
from galaxies.sources.plane_choice import WantedBands, choose_planes

# The pixel limit allows some 50 MB of colours; anything much larger is no cutout.
_MAX_PICTURE_BYTES = 512 << 20
# A catalogue that goes from mosaic to mosaic needs one; one that is sorted otherwise a few.
_MOST_OPEN = 8
# px around a position where neither the head nor the user says how much of the sky to show.
_DEFAULT_SIZE = 256


@dataclass(frozen=True)
class ReadOptions:
    """What the user says of all images; the scale goes over what files and catalogues say."""

    zero_point: float | None = None  # AB magnitude of a flux of 1, of files that name no unit of flux
    pxscale: float | None = None  # arcsec/px
    as_is: bool = False  # each image is the field: neither cropped nor resampled to that of the training images
    bands: tuple[str, ...] | None = None  # of the channels, which the network sees, in order; None: all
    channels: Channels | None = None  # what the images are to be; None: those of the field


@dataclass(frozen=True)
class GalaxyImage:
    """One galaxy as a network sees it."""

    pixels: NDArray[Any]  # (S, S, C) uint8, or float16 from 0 to 1
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
        self._channels = self._options.channels or (field.channels if field else Channels())
        self._wanted = WantedBands(self._channels, self._options.bands)
        self._galaxies = OpenFiles(lambda path: GalaxyFile(path), most=_MOST_OPEN)
        self._mosaics = OpenFiles(lambda path: open_contents(path, is_mosaic=True), most=_MOST_OPEN)

    def read(
        self,
        files: Sequence[Path],
        *,
        index: int | None = None,
        pxscale: float = math.nan,
        ra: float = math.nan,
        dec: float = math.nan,
        is_lost: bool = False,
    ) -> GalaxyImage:
        """Read one galaxy.

        Args:
            files: a picture, a FITS file, one FITS file for each band, or a file in the Galaxy10 schema.
            index: of the galaxy in a file in the Galaxy10 schema.
            pxscale: arcsec/px where the catalogue says it; it goes over what a header says.
            ra: deg, where the catalogue says it: the galaxy is cut out there, where the file has a celestial WCS.
            dec: deg.
            is_lost: whether the catalogue gives positions, and none for this galaxy: then it cannot be one of a mosaic.

        Raises:
            InputError: or one of DAMAGE_ERRORS, which ``say_damage`` puts in words: the files hold no image of it.
        """
        said = pxscale if self._options.pxscale is None else self._options.pxscale
        if index is not None:
            with self._galaxies.use(files[0]) as galaxies:
                pixels = self._read_from(galaxies, index)
            pxscale, notes = said, _describe_picture(pixels)
        elif _are_fits(files):
            self._require_scales()
            asked = replace(self._ask(said, ra, dec), is_lost=is_lost and not self._options.as_is)
            with self._open(files, is_mosaic=is_lost or math.isfinite(ra + dec)) as contents:
                pixels, pxscale, notes = read_fluxes(contents, asked)
            pixels = self._choose_of_picture(pixels)
        else:
            pixels = self._choose_of_picture(self._read_picture(files[0]))
            pxscale, notes = said, _describe_picture(pixels)
            notes += [NO_POSITION] if math.isfinite(ra + dec) else []
        pixels, framing_notes = frame_image(pixels, pxscale, self._field, as_is=self._options.as_is)
        # Bands that were chosen from others lie apart in memory, where everything takes longer.
        pixels = np.ascontiguousarray(_as_type(pixels, self._channels.dtype))
        return GalaxyImage(pixels, pxscale, (*notes, *framing_notes))

    def measure(self, files: Sequence[Path], *, pxscale: float = math.nan) -> tuple[int, float]:
        """Return the shorter side of an image in px, before it is framed, and its scale in arcsec/px, NaN where unknown.

        Headers alone are read; of a mosaic they tell of all of it. Raises as :meth:`read` does.
        """
        said = pxscale if self._options.pxscale is None else self._options.pxscale
        if not _are_fits(files):
            return min(read_size(_require_small(files[0]))), said
        with self._open(files, is_mosaic=True) as contents:
            (plane, *_), _ = choose_planes(contents, self._wanted)
            height, width = plane.shape
            shape = measure_pixel(plane, (width - 1) / 2, (height - 1) / 2)
        return min(count_squares(shape, width, height)), (said if math.isfinite(said) else shape.pxscale) * shape.shrinkage

    @contextmanager
    def _open(self, files: Sequence[Path], *, is_mosaic: bool) -> Iterator[list[FileContents]]:
        """Give the contents of FITS files; a mosaic stays open for the next galaxy in it."""
        with ExitStack() as stack:
            if is_mosaic:
                yield [stack.enter_context(self._mosaics.use(file)) for file in files]
            else:
                yield [stack.enter_context(closing(open_contents(file, is_mosaic=False))) for file in files]

    def _ask(self, pxscale: float, ra: float, dec: float) -> Field:
        """Return what a picture of fluxes should show."""
        field = self._field
        arcsec = None if field is None or self._options.as_is else field.arcsec
        size = _DEFAULT_SIZE if field is None else field.image_size
        return Field(size, arcsec, ra, dec, pxscale, self._options.zero_point, self._wanted)

    def _read_from(self, galaxies: GalaxyFile, index: int) -> NDArray[Any]:
        """Return the wanted bands of the image at a place of a file in the Galaxy10 schema, (S, S, C)."""
        image: NDArray[Any] = galaxies.read_images(np.array([index]))[0]
        bands = self._options.bands or self._channels.bands
        return image if bands == galaxies.bands else image[..., find_bands(galaxies.bands, bands, galaxies.path)]

    def _read_picture(self, file: Path) -> NDArray[np.uint8]:
        if not self._channels.are_picture:
            raise InputError(f"a picture has no bands {', '.join(self._wanted.names)}; expected is a FITS file")
        return read_image(_require_small(file))

    def _choose_of_picture(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return the wanted channels of a picture (S, S, 3), in order; of what is none all are wanted."""
        bands, channels = self._options.bands, self._channels
        if not channels.are_picture or bands is None or bands == channels.bands:
            return pixels
        return pixels[..., find_bands(channels.bands, bands, Path("a picture"))]

    def _require_scales(self) -> None:
        """Raise InputError where fluxes cannot become what the images of training are."""
        if not self._channels.are_picture and self._channels.flux_scales is None:
            raise InputError(
                f"the training images have the bands {', '.join(self._channels.bands)}, which were not made of fluxes by this "
                "program: how is not known; give an HDF5 file in the Galaxy10 schema whose images were made in the same way"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._galaxies.close()
        self._mosaics.close()


def _describe_picture(pixels: NDArray[Any]) -> list[Note]:
    """Return what there is to say of an image (H, W, C) that was none of fluxes."""
    # The first row alone tells nearly always that an image is neither blank nor grey, in a hundredth of the time.
    if (pixels[0] == pixels[0, 0]).all() and (pixels == pixels[0, 0]).all():
        return [BLANK]
    if pixels.shape[-1] == 3 and _is_grey(pixels[0]) and _is_grey(pixels):
        return [Note("one band, shown in grey: the training images have colours")]
    return []


def _is_grey(pixels: NDArray[Any]) -> bool:
    return bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all())


def _as_type(pixels: NDArray[Any], dtype: PixelType) -> NDArray[Any]:
    """Return pixels as the images of training are: whole grey levels, or from 0 to 1."""
    if pixels.dtype == dtype:
        return pixels
    if dtype == "float16":
        return np.asarray(pixels / np.float32(255) if pixels.dtype == np.uint8 else pixels, np.float16)
    return np.asarray((255 * np.clip(pixels.astype(np.float32), 0, 1)).round(), np.uint8)


def _are_fits(files: Sequence[Path]) -> bool:
    """Tell whether files are FITS: by their first bytes, since a name can be wrong, and if not so by it."""
    found = [is_fits(_require_regular(file)) or file.name.lower().endswith(FITS_SUFFIXES) for file in files]
    return len(files) > 1 or found[0]


def _require_regular(file: Path) -> Path:
    """Return ``file`` if it is safe to open: opening a pipe waits for ever, and a device never ends."""
    status = file.stat()
    if stat.S_ISDIR(status.st_mode):
        raise InputError("a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise InputError("neither a file nor a folder, but a pipe, a socket or a device")
    if status.st_size == 0:
        raise InputError("the file is empty")
    return file


def _require_small(file: Path) -> Path:
    num_bytes = file.stat().st_size
    if num_bytes > _MAX_PICTURE_BYTES:
        raise InputError(f"the file has {format_bytes(num_bytes)}, allowed are {format_bytes(_MAX_PICTURE_BYTES)}")
    return file
