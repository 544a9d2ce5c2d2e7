"""What is to be predicted: image files, catalogues of them, or a file in the Galaxy10 schema, listed one by one.

An input that cannot be right (no path, a path out of its folder) is listed with its error: it becomes a row all the same.
"""

import functools
import glob
import hashlib
import itertools
import math
import os
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.stretch import BANDS
from galaxies.errors import InputError
from galaxies.sources.image_files import FITS_SUFFIXES, IMAGE_SUFFIXES
from galaxies.sources.input_tables import PATH_COLUMNS, TABLE_SUFFIXES, read_rows

HDF5_SUFFIXES = (".h5", ".hdf5")

# `galaxy-g.fits`, `galaxy-r.fits` and `galaxy-z.fits` are one galaxy.
_BAND_FILE = re.compile(r"(?P<stem>.+)[-_.](?P<band>[grz])(\.(fits|fit|fts|fits\.fz|fits\.gz|fit\.gz))", re.IGNORECASE)


@dataclass(frozen=True)
class Input:
    """One galaxy to predict."""

    id: str
    files: tuple[Path, ...]  # one file, or those of the bands g, r, z; none where the catalogue names none
    index: int | None = None  # of the image in a file in the Galaxy10 schema
    ra: float = math.nan  # deg
    dec: float = math.nan  # deg
    pxscale: float = math.nan  # arcsec/px
    label: str | None = None  # its true class, where known
    error: str | None = None  # why it cannot be predicted


@dataclass(frozen=True)
class Listing:
    """What a first pass over the inputs finds out."""

    num_inputs: int
    digest: str  # sha256 over all inputs, and size and time of change of each file
    repeated_ids: frozenset[int]  # hashes of the ids that more than one input has
    is_labelled: bool

    def is_repeated(self, entry: Input) -> bool:
        """Tell whether another input has the same id."""
        return _hash_id(entry.id) in self.repeated_ids


def list_inputs(source: str, *, allow_outside: bool = False, start: int = 0) -> Iterator[Input]:
    """Yield the inputs that ``source`` names, lazily, in an order that does not change.

    Args:
        source: an image file; a folder, searched with all below it; a pattern such as ``'cutouts/*.fits'``; a CSV or Parquet
            catalogue with the column path, or path_g, path_r, path_z, and where known id, ra, dec, pxscale, label; a
            .txt file with a path a line; an HDF5 file in the Galaxy10 schema. Paths are relative to the catalogue's folder.
        allow_outside: whether a catalogue may name files outside its folder.
        start: how many inputs to pass over; those of a catalogue are not looked at.

    Raises:
        InputError: there is no such thing, or a catalogue cannot be read.
    """
    path = Path(source)
    suffix = path.suffix.lower()
    if path.is_file() and suffix in TABLE_SUFFIXES:
        return _list_catalogue(path, allow_outside, start)
    return itertools.islice(_list_images(source, path, suffix), start, None)


def survey_inputs(inputs: Iterable[Input]) -> Listing:
    """Go through the inputs once: how many there are, what stands for them, and which ids are not unique.

    A million inputs take 16 MB: of each id a hash of 8 bytes is kept.
    """
    digest, hashes, is_labelled = hashlib.sha256(), array("Q"), False
    for entry in inputs:
        known = (entry.id, entry.index, entry.ra, entry.dec, entry.pxscale, entry.label, entry.error)
        files = [(os.fspath(file), _state(file)) for file in entry.files]
        digest.update(repr((known, files)).encode("utf-8", "surrogatepass"))
        hashes.append(_hash_id(entry.id))
        is_labelled = is_labelled or entry.label is not None
    ordered = np.sort(np.array(hashes, np.uint64))
    repeated = frozenset(np.unique(ordered[1:][ordered[1:] == ordered[:-1]]).tolist())
    return Listing(len(hashes), digest.hexdigest(), repeated, is_labelled)


def _list_images(source: str, path: Path, suffix: str) -> Iterator[Input]:
    if path.is_dir():
        return _list_files(source, _walk(path), path)
    if not path.exists() and glob.has_magic(source):
        found = sorted(glob.glob(source, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        return _list_files(source, (file for file in map(Path, found) if not file.is_dir()))
    if not path.is_file():
        raise InputError(f"There is no file or folder {source}.")
    if suffix in HDF5_SUFFIXES:
        return _list_hdf5(path)
    if path.name.lower().endswith(IMAGE_SUFFIXES + FITS_SUFFIXES):
        return iter([Input(path.stem, (path,))])
    known = ", ".join((*TABLE_SUFFIXES, *HDF5_SUFFIXES, *IMAGE_SUFFIXES, *FITS_SUFFIXES))
    raise InputError(f"{source}: found the ending {suffix or 'none'}, expected is a folder or one of {known}.")


def _hash_id(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _state(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except (OSError, ValueError):  # ValueError: a zero byte in the name.
        return None
    return status.st_size, status.st_mtime_ns


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the image files below a folder, sorted; links to folders are not followed, so that loops end."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(IMAGE_SUFFIXES + FITS_SUFFIXES) and not name.startswith("."):
                yield Path(root, name)


def _list_files(source: str, files: Iterator[Path], folder: Path | None = None) -> Iterator[Input]:
    """Yield an input a file, its id the path (below ``folder``) without ending; the three bands of one galaxy are one input."""
    taken: set[Path] = set()
    file = None
    for file in files:
        bands = _band_files(file)
        if file in taken:
            taken.discard(file)
            continue
        taken.update(bands[1:] if bands else ())
        name = file.with_name(_stem_of_bands(file)) if bands else file.with_suffix("")
        yield Input(str(name.relative_to(folder) if folder else name), bands or (file,))
    if file is None:
        raise InputError(f"{source}: no images ({', '.join(IMAGE_SUFFIXES + FITS_SUFFIXES)}) in it.")


def _stem_of_bands(file: Path) -> str:
    match = _BAND_FILE.fullmatch(file.name)
    assert match is not None  # Asked only of names that matched.
    return match["stem"]


def _band_files(file: Path) -> tuple[Path, ...] | None:
    """Return the files of g, r and z where ``file`` is that of g and all three are there."""
    match = _BAND_FILE.fullmatch(file.name)
    if match is None or match["band"].lower() != "g":
        return None
    start, stop = match.span("band")
    letters = BANDS if match["band"] == "g" else tuple(band.upper() for band in BANDS)
    files = tuple(file.with_name(f"{file.name[:start]}{letter}{file.name[stop:]}") for letter in letters)
    return files if all(other.is_file() for other in files) else None


def _list_hdf5(path: Path) -> Iterator[Input]:
    with GalaxyFile(path) as galaxies:
        names = galaxies.class_names
        columns = (galaxies.ids.to_pylist(), galaxies.ra, galaxies.dec, galaxies.pxscale, galaxies.labels)
    for index, (name, ra, dec, pxscale, label) in enumerate(zip(*columns, strict=True)):
        known = names[label] if label < len(names) else str(label)
        yield Input(name, (path,), index, float(ra), float(dec), float(pxscale), known)


def _list_catalogue(path: Path, allow_outside: bool, start: int) -> Iterator[Input]:
    is_inside = (lambda file: True) if allow_outside else _make_is_inside(path.parent)
    for row in itertools.islice(read_rows(path), start, None):
        yield _input_of_row(row, path.parent, is_inside)


def _make_is_inside(folder: Path) -> Callable[[Path], bool]:
    """Return a function that tells whether a file, all links followed, lies in ``folder``.

    What links make of a folder is asked once for each of the last folders, a third of the time for a catalogue.
    """
    # os.path: Path.resolve raises on a loop of links, which is found when the file is opened.
    top = os.path.realpath(folder).rstrip(os.sep) + os.sep
    resolve = functools.lru_cache(1024)(os.path.realpath)

    def is_inside(file: Path) -> bool:
        parent, name = os.path.split(file)
        is_plain = name != ".." and not os.path.islink(file)  # noqa: PTH114 - Path.is_symlink raises on names too long
        return f"{resolve(parent) if is_plain else os.path.realpath(file)}{os.sep}".startswith(top)

    return is_inside


def _input_of_row(row: Mapping[str, str], folder: Path, is_inside: Callable[[Path], bool]) -> Input:
    """Return the input of a row of a catalogue, with its errors where it has some."""
    names = [row["path"]] if row.get("path") else [row.get(column, "") for column in PATH_COLUMNS[1:]]
    names = names if all(names) else []
    files = tuple(folder / name for name in names)
    errors = [_refuse_path(name, file, is_inside) for name, file in zip(names, files, strict=True)] or [
        "the catalogue gives no path"
    ]
    ra, dec, pxscale = (_read_number(row, column, errors) for column in ("ra", "dec", "pxscale"))
    if pxscale <= 0 or math.isinf(pxscale):
        errors.append(f"pxscale: found {row['pxscale']}, expected arcsec/px above 0")
    name = row.get("id") or (str(Path(names[0]).with_suffix("")) if names else "")
    return Input(name, files, None, ra, dec, pxscale, row.get("label") or None, "; ".join(filter(None, errors)) or None)


def _read_number(row: Mapping[str, str], column: str, errors: list[str | None]) -> float:
    text = row.get(column)
    try:
        return float(text) if text else math.nan
    except ValueError:
        errors.append(f"{column}: found {text!r}, expected a number")
        return math.nan


def _refuse_path(name: str, file: Path, is_inside: Callable[[Path], bool]) -> str | None:
    """Return why a catalogue's path is not followed, None where it is."""
    if "://" in name:
        return f"{name} is an address; download it and give the file's path"
    if "\0" in name:
        return "the path holds a zero byte"
    if not is_inside(file):
        return f"{name} lies outside the catalogue's folder; allow it with --allow-outside"
    return None
