"""From a catalogue of images to galaxies.h5: read by what prediction reads with, framed alike, in constant memory.

Either all images are of one size, and are taken as they are; or each is brought to one size and, where its pixel scale is
known, to one field on the sky, as prediction will bring its images. Legend: M galaxies, S image size in pixels.
"""

import csv
import itertools
import logging
import math
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import astuple, dataclass, field, fields, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from galaxies.data.bands import Channels
from galaxies.data.field_of_view import FieldOfView
from galaxies.data.galaxy_writer import GalaxyBlock, write_galaxies
from galaxies.errors import InputError
from galaxies.files import replacing, require_free_disk
from galaxies.sources.decoding import Decoded, decode_batches, silent_readers
from galaxies.sources.image_catalogue import ImageCatalogue, OnError, list_complaints, refuse_complaints
from galaxies.sources.image_measures import Framing, Measures, choose_field, find_size_complaints, measure_images
from galaxies.sources.image_reader import ReadOptions
from galaxies.sources.notes import BLANK

_MOST_ROWS = 64  # in a block, of small images
_BLOCK_BYTES = 16 << 20
_UNFRAMED_SIZE = 1024  # px, the largest of an image that is not framed
_MOST_NOTES = 10
_NUMBERS = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImportOptions:
    """How galaxies are imported."""

    framing: Framing
    on_error: OnError = "refuse"
    num_threads: int = 1  # that read images
    reading: ReadOptions = field(default_factory=ReadOptions)  # what is said of all images, and what they are to be

    @property
    def channels(self) -> Channels:
        """What the numbers of a pixel will be."""
        return self.reading.channels or Channels()


@dataclass(frozen=True)
class LeftOut:
    """A galaxy that is not in galaxies.h5, and why."""

    id: str
    path: str
    reason: str


@dataclass(frozen=True)
class CheckedImages:
    """A catalogue in which nothing is known to be wrong any more."""

    catalogue: ImageCatalogue
    measures: Measures | None  # None where they do not matter
    left_out: tuple[LeftOut, ...]

    def leave_out(self, errors: dict[int, str]) -> "CheckedImages":
        """Return what is left without the galaxies at some places; ``errors`` says why they go."""
        lines = self.catalogue.lines
        kept = [place for place in range(len(lines)) if place not in errors]
        left_out = (*self.left_out, *(_describe(self.catalogue, place, errors[place]) for place in sorted(errors)))
        if not kept:
            reasons = list_complaints([one.reason for one in left_out])
            raise InputError(f"{self.catalogue.path}: no galaxy is left:\n{reasons}")
        catalogue = replace(self.catalogue, lines=[lines[place] for place in kept], wrong={})
        return CheckedImages(catalogue, None if self.measures is None else self.measures.take(kept), left_out)


class _UnusableError(Exception):
    """Some images cannot be read, or may not show what they are taken for; ``errors`` says why, by place."""

    def __init__(self, errors: dict[int, str]) -> None:
        super().__init__(errors)
        self.errors = errors


def check_images(catalogue: ImageCatalogue, options: ImportOptions) -> CheckedImages:
    """Look at all images, of pictures at their headers, as far as what is asked for needs it.

    Raises InputError with all that is wrong: with the catalogue, and unless it is left out with single galaxies.
    """
    errors: dict[int, str] = {}
    measures = None
    if not options.framing.is_complete:
        measures, errors = measure_images(catalogue, options.reading, options.num_threads)
    errors |= catalogue.wrong
    if catalogue.complaints or (errors and options.on_error == "refuse"):
        complaints = [*catalogue.complaints, *find_size_complaints(measures, options.framing, catalogue)]
        _refuse(catalogue, complaints, errors, options)
    checked = CheckedImages(catalogue, measures, ()).leave_out(errors)
    refuse_complaints(catalogue.path, list(find_size_complaints(checked.measures, options.framing, checked.catalogue)))
    return checked


def import_galaxies(out: Path, checked: CheckedImages, options: ImportOptions) -> tuple[LeftOut, ...]:
    """Write the galaxies to ``out``; return which were left out.

    Raises InputError with all that cannot be decoded or is in doubt, unless it is left out: what prediction abstains from
    teaches a network nothing.
    """
    while True:
        catalogue = checked.catalogue
        field = choose_field(checked.measures, options.framing, options.channels, catalogue.path)
        num_bytes = len(catalogue.lines) * _image_bytes(field)
        require_free_disk(out.parent, num_bytes, f"Importing {catalogue.path}")
        try:
            write_galaxies(
                out,
                _blocks(catalogue, field, options),
                num_galaxies=len(catalogue.lines),
                image_size=field.image_size,
                class_names=catalogue.class_names,
                framed_pxscale=(field.pxscale or math.nan) if field.is_framed else None,
            )
        except _UnusableError as error:
            if options.on_error == "refuse":
                refuse_complaints(catalogue.path, [error.errors[place] for place in sorted(error.errors)])
            # Those that are left may show another field, in the median.
            checked = checked.leave_out(error.errors)
        else:
            return checked.left_out


def write_left_out(path: Path, left_out: Iterable[LeftOut]) -> None:
    """Write the galaxies that were left out as CSV; a header alone where there are none."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors="replace", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(field.name for field in fields(LeftOut))
        rows.writerows(astuple(one) for one in left_out)


def _refuse(catalogue: ImageCatalogue, complaints: list[str], errors: dict[int, str], options: ImportOptions) -> None:
    """Raise the InputError with everything: a header can be sound and the rest cut off."""
    errors = find_unusable(catalogue, None, options, skip=errors) | errors
    refuse_complaints(catalogue.path, [*complaints, *(errors[place] for place in sorted(errors))])


def find_unusable(
    catalogue: ImageCatalogue, field: FieldOfView | None, options: ImportOptions, skip: Collection[int] = ()
) -> dict[int, str]:
    """Return by place why images cannot be decoded, or are in doubt; those at the places ``skip`` are not looked at."""
    decoded = itertools.chain.from_iterable(_decode(catalogue, field, options, skip))
    reasons = ((place, _find_reason(one)) for place, one in enumerate(decoded) if place not in skip)
    return {place: reason for place, reason in reasons if reason is not None}


def _blocks(catalogue: ImageCatalogue, field: FieldOfView, options: ImportOptions) -> Iterator[GalaxyBlock]:
    """Yield the galaxies in blocks, decoded; memory does not grow with their number."""
    errors: dict[int, str] = {}
    notes: dict[str, tuple[int, str]] = {}
    ra, dec = catalogue.column("ra"), catalogue.column("dec")
    start, channels = 0, field.channels
    for batch in _decode(catalogue, field, options):
        images = np.zeros((len(batch), field.image_size, field.image_size, len(channels.bands)), channels.dtype)
        pxscale = np.full(len(batch), np.nan)
        for position, one in enumerate(batch):
            reason = _find_reason(one)
            if reason is not None or one.image is None:
                errors[start + position] = str(reason)
                continue
            images[position] = one.image
            pxscale[position] = field.shown_pxscale(one.entry.pxscale)
            for note in one.notes:
                kind = _NUMBERS.sub("…", note)
                notes[kind] = (notes.get(kind, (0, ""))[0] + 1, f"{one.entry.id}: {note}")
        rows = slice(start, start + len(batch))
        unknown = np.full(len(batch), np.nan)
        ids = tuple(one.entry.id for one in batch)
        labels = catalogue.labels[rows]
        yield GalaxyBlock(images, labels, ra[rows], dec[rows], unknown, pxscale, ids, channels.bands, channels.flux_scales)
        start = rows.stop
    if errors:
        raise _UnusableError(errors)
    for number, example in itertools.islice(notes.values(), _MOST_NOTES):
        _logger.warning("%d images with a note such as: %s", number, example)


def _decode(
    catalogue: ImageCatalogue, field: FieldOfView | None, options: ImportOptions, skip: Collection[int] = ()
) -> Iterator[list[Decoded]]:
    """Yield all galaxies decoded, in batches; of those at the places ``skip`` no file is opened."""
    image_bytes = 3 * _UNFRAMED_SIZE**2 if field is None else _image_bytes(field)
    num_rows = min(max(_BLOCK_BYTES // image_bytes, 1), _MOST_ROWS)
    how = {"batch_size": num_rows, "num_threads": options.num_threads, "num_ahead": 1}
    inputs = tqdm(catalogue.inputs(skip), "read images", len(catalogue.lines), unit="galaxy")
    with silent_readers():
        yield from decode_batches(inputs, field, options.reading, **how)


def _image_bytes(field: FieldOfView) -> int:
    return len(field.channels.bands) * field.image_size**2 * np.dtype(field.channels.dtype).itemsize


def _find_reason(decoded: Decoded) -> str | None:
    """Return why a galaxy cannot be used, None where it can. What to do with blank images `split` is told."""
    doubts = [doubt for doubt in decoded.doubts if doubt != BLANK.text]
    if decoded.error is None and not doubts:
        return None
    return f"{decoded.entry.files[0]}: {decoded.error or 'in doubt: ' + '; '.join(doubts)}"


def _describe(catalogue: ImageCatalogue, place: int, reason: str) -> LeftOut:
    line = catalogue.lines[place]
    return LeftOut(line.id, line.paths[0] if line.paths else "", reason)
