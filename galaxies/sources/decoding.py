"""From an input to the image that the backbone will see, whatever the file holds: an error is a result, not an exception."""

import itertools
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

from numpy.typing import NDArray

from galaxies.data.checksums import image_crc32c
from galaxies.data.field_of_view import FieldOfView
from galaxies.data.image_files import DAMAGE_ERRORS, say_damage
from galaxies.errors import InputError
from galaxies.sources.image_reader import ImageReader, ReadOptions
from galaxies.sources.inputs import Input

Element = TypeVar("Element")


@dataclass(frozen=True)
class Decoded:
    """The image of an input, or the reason why there is none."""

    entry: Input  # with the pixel scale of the file, where the catalogue has none
    image: NDArray[Any] | None  # (S, S, C) uint8, or float16 from 0 to 1
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()  # of the notes those that say that the pixels may not be what they are taken for
    error: str | None = None
    crc32c: int | None = None  # of the image's pixels, where it was asked for

    @property
    def is_doubtful(self) -> bool:
        """Tell whether no answer should rest on the image."""
        return bool(self.doubts)


def decode(inputs: Sequence[Input], field: FieldOfView | None, options: ReadOptions | None = None) -> list[Decoded]:
    """Decode some inputs, in order.

    Args:
        inputs: what to read.
        field: what the training images show, to which images of known scale are cropped and resampled.
        options: what the user says of all of them.
    """
    with silent_readers(), ImageReader(field, options) as reader:
        return _decode_list(inputs, reader)


def decode_batches(
    inputs: Iterable[Input],
    field: FieldOfView | None,
    options: ReadOptions | None = None,
    *,
    batch_size: int,
    num_threads: int,
    num_ahead: int,
) -> Iterator[list[Decoded]]:
    """Yield all inputs decoded, in order, in batches, in constant memory. Call it under :func:`silent_readers`.

    Args:
        inputs: drawn as they are needed.
        field: as for :func:`decode`.
        options: as for :func:`decode`.
        batch_size: inputs in a batch.
        num_threads: at least one is used.
        num_ahead: batches to decode while the reader is busy with one. 0 where it needs the same cores: taking turns with
            it, neither waits for the other's threads.
    """
    pending: deque[_Tasks] = deque()
    with Decoder(field, options, num_threads=num_threads) as decoder:
        for batch in batched(inputs, batch_size):
            pending.append(decoder.start(batch))
            if len(pending) > num_ahead:
                yield _collect(pending.popleft())
        while pending:
            yield _collect(pending.popleft())


class Decoder:
    """Decodes batches of inputs by several threads. Use it as a context manager, under :func:`silent_readers`.

    Reading, decompressing and resampling let go of Python's lock, and a picture that a process decoded would cost half as much
    again to be sent here as to decode (0.3 of 0.6 ms, JPEG of 256 px). astropy holds the lock for half of the time of a FITS
    file, and yet two processes read half as many as two threads (three planes of 256 px).
    """

    def __init__(
        self, field: FieldOfView | None, options: ReadOptions | None = None, *, num_threads: int, with_checksums: bool = False
    ) -> None:
        """Prepare, as for :func:`decode`.

        Args:
            field: what the training images show.
            options: what the user says of all images.
            num_threads: at least one is used.
            with_checksums: whether the checksum of each image is wanted, by these threads: 7 µs at 256 px.
        """
        self._reader, self._executor = ImageReader(field, options), ThreadPoolExecutor(max(1, num_threads))
        self._num_threads, self._with_checksums = max(1, num_threads), with_checksums

    def decode(self, inputs: Sequence[Input]) -> list[Decoded]:
        """Decode a batch, in order; several threads may call it at the same time."""
        return _collect(self.start(inputs))

    def start(self, inputs: Sequence[Input]) -> "_Tasks":
        """Begin with a batch, for :func:`_collect`."""
        # HDF5 reads with one thread at a time.
        is_one = bool(inputs) and inputs[0].index is not None
        num_rows = len(inputs) if is_one else max(1, len(inputs) // (8 * self._num_threads))
        return [self._executor.submit(self._decode, task) for task in batched(inputs, num_rows)]

    def _decode(self, inputs: Sequence[Input]) -> list[Decoded]:
        found = _decode_list(inputs, self._reader)
        if not self._with_checksums:
            return found
        return [one if one.image is None else replace(one, crc32c=image_crc32c(one.image)) for one in found]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(cancel_futures=True)
        self._reader.__exit__(None, None, None)


_Tasks = list["Future[list[Decoded]]"]


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


def _decode_list(inputs: Sequence[Input], reader: ImageReader) -> list[Decoded]:
    return [_decode_one(entry, reader) for entry in inputs]


def _decode_one(entry: Input, reader: ImageReader) -> Decoded:
    if entry.error is not None:
        return Decoded(entry, None, error=entry.error)
    try:
        image = reader.read(
            entry.files, index=entry.index, pxscale=entry.pxscale, ra=entry.ra, dec=entry.dec, is_lost=entry.is_lost
        )
    except (InputError, *DAMAGE_ERRORS) as error:
        return Decoded(entry, None, entry.notes, error=say_damage(error))
    notes = (*entry.notes, *(note.text for note in image.notes))
    doubts = tuple(note.text for note in image.notes if note.is_doubt)
    return Decoded(replace(entry, pxscale=image.pxscale), image.pixels, notes, doubts)
