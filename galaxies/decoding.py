"""From an input to the image that the backbone will see, whatever the file holds: an error is a result, not an exception."""

import itertools
import stat
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galaxies.errors import InputError
from galaxies.files import format_bytes
from galaxies.fits_files import read_fits
from galaxies.framing import FieldOfView, frame_image
from galaxies.galaxy_file import GalaxyFile
from galaxies.image_files import DAMAGE_ERRORS, FITS_SUFFIXES, read_image, say_damage
from galaxies.inputs import Input

# The pixel limit allows some 200 MB of fluxes in a file; anything larger is no cutout.
_MAX_FILE_BYTES = 512 << 20


@dataclass(frozen=True)
class Decoded:
    """The image of an input, or the reason why there is none."""

    entry: Input  # with the pixel scale of the file, where the catalogue has none
    image: NDArray[np.uint8] | None  # (S, S, 3)
    notes: tuple[str, ...] = ()
    error: str | None = None


def decode(inputs: Sequence[Input], field: FieldOfView | None) -> list[Decoded]:
    """Decode some inputs, in order. Made for a worker process: it silences the warnings of the whole process meanwhile.

    Args:
        inputs: what to read; neighbours in one HDF5 file are read together.
        field: what the training images show, to which images of known scale are cropped and resampled.
    """
    with warnings.catch_warnings():
        # Readers warn of much that is no matter here; what is becomes a note.
        warnings.simplefilter("ignore")
        return list(_decode_runs(inputs, field))


def _decode_runs(inputs: Sequence[Input], field: FieldOfView | None) -> Iterator[Decoded]:
    for hdf5, run in itertools.groupby(inputs, key=lambda entry: entry.files[0] if entry.index is not None else None):
        if hdf5 is None:
            yield from (_decode_one(entry, field, None) for entry in run)
            continue
        with GalaxyFile(hdf5) as galaxies:
            yield from (_decode_one(entry, field, galaxies) for entry in run)


def _decode_one(entry: Input, field: FieldOfView | None, galaxies: GalaxyFile | None) -> Decoded:
    if entry.error is not None:
        return Decoded(entry, None, error=entry.error)
    notes: list[str] = []
    try:
        if galaxies is not None and entry.index is not None:
            image = galaxies.read_images(np.array([entry.index]))[0]
        else:
            files = [_require_regular(file) for file in entry.files]
            if _is_fits(files[0]):
                image, pxscale, notes = read_fits(files)
                # What the user says of an image goes over what its header says.
                entry = entry if np.isfinite(entry.pxscale) else replace(entry, pxscale=pxscale)
            else:
                image = read_image(files[0])
        image, framing_notes = frame_image(image, entry.pxscale, field)
    except (InputError, *DAMAGE_ERRORS) as error:
        return Decoded(entry, None, error=say_damage(error))
    if (image == image[:1, :1]).all():
        notes.append("blank: every pixel is the same")
    return Decoded(entry, image, tuple(notes + framing_notes))


def _is_fits(file: Path) -> bool:
    """Tell by its first bytes whether a file is FITS: a name can be wrong."""
    with file.open("rb") as stream:
        return file.suffix.lower() in FITS_SUFFIXES or stream.read(10) == b"SIMPLE  = "


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
