"""From an input to the image that the backbone will see, whatever the file holds: an error is a result, not an exception."""

import functools
import itertools
import stat
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from galaxies.data.field_of_view import FieldOfView
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.errors import InputError
from galaxies.files import format_bytes
from galaxies.sources.fits_files import read_fits
from galaxies.sources.framing import frame_image
from galaxies.sources.image_files import DAMAGE_ERRORS, FITS_SUFFIXES, read_image, say_damage
from galaxies.sources.inputs import Input

# The pixel limit allows some 200 MB of fluxes in a file; anything larger is no cutout.
_MAX_FILE_BYTES = 512 << 20

Element = TypeVar("Element")


@dataclass(frozen=True)
class Decoded:
    """The image of an input, or the reason why there is none."""

    entry: Input  # with the pixel scale of the file, where the catalogue has none
    image: NDArray[np.uint8] | None  # (S, S, 3)
    notes: tuple[str, ...] = ()
    error: str | None = None


def decode(inputs: Sequence[Input], field: FieldOfView | None) -> list[Decoded]:
    """Decode some inputs, in order.

    Args:
        inputs: what to read.
        field: what the training images show, to which images of known scale are cropped and resampled.
    """
    with silent_readers(), _opening() as open_galaxies:
        return _decode_list(inputs, field, open_galaxies)


def decode_batches(
    inputs: Iterable[Input], field: FieldOfView | None, *, batch_size: int, num_threads: int, num_ahead: int
) -> Iterator[list[Decoded]]:
    """Yield all inputs decoded, in order, in batches, in constant memory. Call it under :func:`silent_readers`.

    Threads do the work: reading, decompressing and resampling let go of Python's lock, and a picture that a process decoded
    would cost half as much again to be sent here as to decode (0.3 of 0.6 ms, JPEG of 256 px). astropy holds the lock for half
    of the time of a FITS file, and yet two processes read half as many as two threads (three planes of 256 px).

    Args:
        inputs: drawn as they are needed.
        field: as for :func:`decode`.
        batch_size: inputs in a batch.
        num_threads: at least one is used.
        num_ahead: batches to decode while the reader is busy with one. 0 where it needs the same cores: taking turns with
            it, neither waits for the other's threads.
    """
    pending: deque[list[Future[list[Decoded]]]] = deque()
    with _opening() as open_galaxies, ThreadPoolExecutor(max(1, num_threads)) as executor:
        try:
            for batch in batched(inputs, batch_size):
                # HDF5 reads with one thread at a time.
                num_rows = batch_size if batch[0].index is not None else max(1, batch_size // (8 * max(1, num_threads)))
                tasks = batched(batch, num_rows)
                pending.append([executor.submit(_decode_list, task, field, open_galaxies) for task in tasks])
                if len(pending) > num_ahead:
                    yield _collect(pending.popleft())
            while pending:
                yield _collect(pending.popleft())
        finally:
            executor.shutdown(cancel_futures=True)


@contextmanager
def _opening() -> Iterator[Callable[[Path], GalaxyFile]]:
    """Give a function that opens files in the Galaxy10 schema, each once: opening reads the columns of all galaxies."""
    with ExitStack() as stack:
        yield functools.cache(lambda path: stack.enter_context(GalaxyFile(path)))


@contextmanager
def silent_readers() -> Iterator[None]:
    """Silence the warnings of readers, in all threads: they warn of much that is no matter here; what is becomes a note."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def batched(elements: Iterable[Element], number: int) -> Iterator[list[Element]]:
    """Yield the elements in lists of ``number``, the last one shorter."""
    iterator = iter(elements)
    while batch := list(itertools.islice(iterator, number)):
        yield batch


def _collect(tasks: Iterable[Future[list[Decoded]]]) -> list[Decoded]:
    return [decoded for task in tasks for decoded in task.result()]


def _decode_list(
    inputs: Sequence[Input], field: FieldOfView | None, open_galaxies: Callable[[Path], GalaxyFile]
) -> list[Decoded]:
    return [_decode_one(entry, field, None if entry.index is None else open_galaxies(entry.files[0])) for entry in inputs]


def _decode_one(entry: Input, field: FieldOfView | None, galaxies: GalaxyFile | None) -> Decoded:
    if entry.error is not None:
        return Decoded(entry, None, error=entry.error)
    notes: list[str] = []
    try:
        if galaxies is not None and entry.index is not None:
            image = galaxies.read_images(np.array([entry.index]))[0]
        else:
            files = [_require_regular(file) for file in entry.files]
            if len(files) > 1 or _is_fits(files[0]):
                image, pxscale, notes = read_fits(files)
                # What the user says of an image goes over what its header says.
                entry = entry if np.isfinite(entry.pxscale) else replace(entry, pxscale=pxscale)
            else:
                image = read_image(files[0])
        image, framing_notes = frame_image(image, entry.pxscale, field)
    except (InputError, *DAMAGE_ERRORS) as error:
        return Decoded(entry, None, error=say_damage(error))
    # The first row alone tells nearly always that an image is not blank, in a hundredth of the time.
    if (image[0] == image[0, 0]).all() and (image == image[0, 0]).all():
        notes.append("blank: every pixel is the same")
    return Decoded(entry, image, tuple(notes + framing_notes))


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
