"""A user's own galaxies: a folder with one sub-folder a class, or a catalogue of image files. M galaxies."""

import hashlib
import json
import logging
import math
import os
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from galaxies.data.bands import PICTURE_BANDS
from galaxies.data.galaxy_writer import pack_labels
from galaxies.data.image_files import FITS_SUFFIXES, IMAGE_SUFFIXES, say_damage
from galaxies.data.labels import judge_labels, order_classes
from galaxies.data.splits import UNLABELLED
from galaxies.errors import InputError
from galaxies.files import file_sha256
from galaxies.sources.band_files import group_bands, has_image_name
from galaxies.sources.catalogues import CatalogueLine, open_image_catalogue, read_lines
from galaxies.sources.inputs import Input

OnError = Literal["refuse", "leave_out"]
"""What becomes of galaxies that cannot be used: they are an error, or are left out."""

UNLABELLED_FOLDERS = ("unlabelled", "unlabeled")
"""What a folder beside the class folders is called, in any case, whose galaxies have no label."""

_MAX_COMPLAINTS = 40

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageCatalogue:
    """Which files there are and what is known of each. Nothing is read of them yet."""

    path: Path  # that names them, for messages
    folder: Path  # that relative paths begin at
    lines: Sequence[CatalogueLine]  # M, one a galaxy
    complaints: tuple[str, ...]  # what is wrong with the whole
    wrong: Mapping[int, str]  # what is wrong with single galaxies, by their place
    is_centred: bool = False  # whether each file was made for its galaxy's position, which need not be looked for in it

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The classes that the labels name, in order."""
        return order_classes(dict.fromkeys(line.class_name for line in self.lines if line.label))

    @cached_property
    def labels(self) -> NDArray[np.integer[Any]]:
        """(M,) index into the class names, UNLABELLED where there is no label; in the dtype of ``galaxies.h5``."""
        codes = {name: code for code, name in enumerate(self.class_names)}
        return pack_labels(np.array([codes.get(line.class_name, UNLABELLED) for line in self.lines], np.int64))

    def files(self, place: int) -> tuple[Path, ...]:
        """Return the files of a galaxy: one, or one a band; none where the catalogue gives none."""
        return tuple(self.folder / name for name in self.lines[place].paths)

    def has_place(self, place: int) -> bool:
        """Tell whether a galaxy is cut out of its file at its position: the file is FITS, and ra and dec are known."""
        return not self.is_centred and _has_place(self.lines[place])

    def inputs(self, skip: Collection[int] = ()) -> Iterator[Input]:
        """Yield the galaxies as prediction lists them; those at the places ``skip`` with an error."""
        for place, line in enumerate(self.lines):
            error = "not read" if place in skip else None
            ra, dec = (math.nan, math.nan) if self.is_centred else (line.ra, line.dec)
            is_lost = line.is_lost and not self.is_centred
            yield Input(line.id, self.files(place), None, ra, dec, line.pxscale, line.class_name, error, (), is_lost)

    def column(self, name: str) -> NDArray[np.float64]:
        """Return ``ra``, ``dec`` (deg) or ``pxscale`` (arcsec/px), (M,), NaN where unknown."""
        return np.array([getattr(line, name) for line in self.lines], np.float64)


def read_catalogue(path: Path, bands: Sequence[str] = PICTURE_BANDS) -> ImageCatalogue:
    """Return what ``path`` names: a folder of class folders, or a table with the columns id and path (or those of bands).

    Optional columns are label, ra, dec (deg) and pxscale (arcsec/px). Image paths are relative to the catalogue's folder, or
    absolute. A galaxy may have a file for each of ``bands``.

    Raises:
        InputError: this is no such folder or table. What is wrong with what it holds is noted in the catalogue.
    """
    if path.is_dir():
        lines, complaints = _list_folder(path, bands)
        return make_catalogue(path, path, lines, [*complaints, *_repeated_files(path, lines)])
    try:
        table = open_image_catalogue(path, bands)
    except FileNotFoundError:
        raise InputError(f"download.path: there is no file or folder {path}.") from None
    if "id" not in table.names:
        raise InputError(
            f"{path}: found the columns {', '.join(table.names)}, missing id; a catalogue has id, path and may have label, ra, "
            "dec (deg) and pxscale (arcsec/px)."
        )
    if "label" not in table.names:
        _logger.warning("%s has no column label: none of its galaxies has one.", path)
    lines = list(read_lines(table, bands))
    return make_catalogue(path, path.parent, lines, _repeated_files(path.parent, lines))


def make_catalogue(path: Path, folder: Path, lines: Sequence[CatalogueLine], complaints: Iterable[str] = ()) -> ImageCatalogue:
    """Return a catalogue of some lines, with all that is wrong with them beside the ``complaints`` that there are already."""
    complaints = list(complaints)
    complaints += [f"the id {name!r} stands there {count} times" for name, count in _repeated(line.id for line in lines)]
    if not lines:
        complaints.append(f"no images ({', '.join(IMAGE_SUFFIXES + FITS_SUFFIXES)}) in it")
    report = judge_labels(Counter(line.class_name for line in lines if line.label))
    judgement = (*report.complaints, *report.doubts)
    if report.complaints:
        complaints += [report.summary, *judgement]
    elif judgement:
        _logger.warning("%s: %s.\n%s", path, report.summary, list_complaints(judgement))
    wrong = {place: "; ".join(found) for place, line in enumerate(lines) if (found := list(_find_errors(line)))}
    return ImageCatalogue(path, folder, lines, tuple(complaints), wrong)


def digest_images(catalogue: ImageCatalogue, on_error: OnError = "refuse") -> str:
    """Return the sha256 over a catalogue and its files: id, label, position and the bytes of each; names do not count.

    Raises InputError with all that is wrong with the catalogue; with ``refuse`` also with its galaxies and their files.
    """
    complaints = [*catalogue.complaints, *(catalogue.wrong.values() if on_error == "refuse" else ())]
    digest = hashlib.sha256()
    digest_file = lru_cache(1024)(file_sha256)  # A mosaic holds many galaxies.
    for place, line in enumerate(tqdm(catalogue.lines, "digest", unit="galaxy")):
        contents: list[str | None] = []
        for file in catalogue.files(place):
            try:
                contents.append(digest_file(file))
            except (OSError, ValueError) as error:
                contents.append(None)
                complaints += [f"{file}: {say_damage(error)}"] if on_error == "refuse" else []
        content = contents[0] if len(contents) == 1 else contents
        digest.update(json.dumps([line.id, line.label, content, line.ra, line.dec, line.pxscale]).encode() + b"\n")
    refuse_complaints(catalogue.path, complaints)
    return digest.hexdigest()


def refuse_wrong(catalogue: ImageCatalogue, on_error: OnError) -> None:
    """Raise InputError with all that is wrong with a catalogue, with ``refuse`` also with its galaxies; no file is read."""
    refuse_complaints(catalogue.path, [*catalogue.complaints, *(catalogue.wrong.values() if on_error == "refuse" else ())])


def refuse_complaints(path: Path, complaints: Sequence[str]) -> None:
    """Raise InputError when there are complaints, all of them together up to a screenful."""
    if complaints:
        raise InputError(f"{path}: {len(complaints)} things must be put right:\n{list_complaints(complaints)}")


def list_complaints(complaints: Sequence[str]) -> str:
    """Return complaints a line each, up to a screenful."""
    shown = "\n".join(f"  {complaint}" for complaint in complaints[:_MAX_COMPLAINTS])
    more = f"\n  … and {len(complaints) - _MAX_COMPLAINTS} more" if len(complaints) > _MAX_COMPLAINTS else ""
    return shown + more


def _find_errors(line: CatalogueLine) -> Iterator[str]:
    """Yield what is wrong with a line. Positions decide which galaxies may be in one split, so a wrong one is an error here."""
    where = f"row {line.number} ({line.paths[0] if line.paths else line.id})"
    if not line.errors:
        for what, is_there in (("id", line.id), ("path", line.paths)):
            if not is_there:
                yield f"{where}: no {what}"
    yield from (f"{where}: {error}" for error in (*line.errors, *line.position_errors))
    if any("\0" in name for name in line.paths):
        yield f"{where}: the path holds a zero byte, which no name of a file can have"
    if not _is_text(line.id) or not _is_text(line.label):
        yield f"{where}: id or label is not UTF-8; save the table as UTF-8"


def _is_text(cell: str) -> bool:
    """Tell whether a cell was UTF-8: bytes that are not stand for themselves in it."""
    return not any("\ud800" <= letter <= "\udfff" for letter in cell)


def _list_folder(folder: Path, bands: Sequence[str]) -> tuple[list[CatalogueLine], list[str]]:
    """Return what a folder with one sub-folder a class holds, and what is wrong with it. Hidden names do not count."""
    found: list[tuple[Path, tuple[Path, ...]]] = []
    complaints: list[str] = []
    left_out: list[Path] = []
    for entry in _visible(folder):
        if not entry.is_dir():
            if has_image_name(entry):
                complaints.append(f"{entry}: stands outside of the class folders")
            continue
        entries = _visible(entry)
        images = [file for file in entries if has_image_name(file) and not file.is_dir()]
        complaints += [f"{file}: a folder in a class folder; its images would be left out" for file in entries if file.is_dir()]
        if not images:
            complaints.append(f"{entry}: no images ({', '.join(IMAGE_SUFFIXES + FITS_SUFFIXES)}) in this class folder")
        found += group_bands(images, bands)
        left_out += [file for file in entries if not has_image_name(file) and not file.is_dir()]
    if left_out:
        _logger.warning("%d files that are no images are left out, such as %s", len(left_out), left_out[0])
    lines = []
    for number, (name, files) in enumerate(found, start=1):
        paths = tuple(str(file.relative_to(folder)) for file in files)
        relative = name.relative_to(folder)
        label = "" if relative.parts[0].casefold() in UNLABELLED_FOLDERS else relative.parts[0]
        lines.append(CatalogueLine(number, relative.as_posix(), paths, label, math.nan, math.nan, math.nan, (), ()))
    num_unlabelled = sum(not line.label for line in lines)
    if num_unlabelled:
        _logger.info("%d galaxies stand in a folder called unlabelled: they have no label.", num_unlabelled)
    return lines, complaints


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"download.path: the folder {folder} cannot be read ({error.strerror}).") from error


def _repeated_files(folder: Path, lines: Sequence[CatalogueLine]) -> list[str]:
    shown = (_shown_sky(folder, line) for line in lines)
    return [f"the file {name[0]} stands there {count} times" for name, count in _repeated(filter(None, shown))]


def _shown_sky(folder: Path, line: CatalogueLine) -> tuple[str, ...]:
    """Return what no two galaxies may share: a file, or a place in the mosaic that a FITS file may be."""
    names = tuple(os.path.realpath(folder / name) for name in line.paths if "\0" not in name)
    return (*names, f"{line.ra} {line.dec}") if _has_place(line) else names


def _has_place(line: CatalogueLine) -> bool:
    return math.isfinite(line.ra + line.dec) and any(name.lower().endswith(FITS_SUFFIXES) for name in line.paths)


_Key = TypeVar("_Key", bound=Hashable)


def _repeated(column: Iterable[_Key]) -> list[tuple[_Key, int]]:
    return [(name, count) for name, count in Counter(column).items() if count > 1 and name]
