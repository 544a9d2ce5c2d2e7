"""What is to be predicted: image files, catalogues of them, or a file in the Galaxy10 schema, listed one by one.

An input that cannot be right (no path, a path out of its folder) is listed with its error: it becomes a row all the same.
"""

import functools
import glob
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from galaxies.data.bands import PICTURE_BANDS
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.image_files import FITS_SUFFIXES, IMAGE_SUFFIXES
from galaxies.data.splits import UNLABELLED
from galaxies.errors import InputError
from galaxies.sources.band_files import group_bands, has_image_name
from galaxies.sources.catalogues import CatalogueLine, is_table, open_image_catalogue, read_lines
from galaxies.tables.table import TABLE_SUFFIXES

HDF5_SUFFIXES = (".h5", ".hdf5")
LIST_SUFFIX = ".txt"


@dataclass(frozen=True)
class Input:
    """One galaxy to predict."""

    id: str
    files: tuple[Path, ...]  # one file, or one a band; none where the catalogue names none
    index: int | None = None  # of the image in a file in the Galaxy10 schema
    ra: float = math.nan  # deg
    dec: float = math.nan  # deg
    pxscale: float = math.nan  # arcsec/px
    label: str | None = None  # its true class, where known
    error: str | None = None  # why it cannot be predicted
    notes: tuple[str, ...] = ()  # what of the catalogue could not be read and is not needed
    is_lost: bool = False  # whether the catalogue has positions, and none for this galaxy


def list_inputs(source: str, *, allow_outside: bool = False, bands: Sequence[str] = PICTURE_BANDS) -> Iterator[Input]:
    """Yield the inputs that ``source`` names, lazily, in an order that does not change.

    Args:
        source: an image file; a folder, searched with all below it; a pattern such as ``'cutouts/*.fits'``; a catalogue (CSV,
            Parquet, FITS table, VOTable, ECSV) with the column path, or path_g, path_r, path_z, and where known id, ra, dec,
            pxscale, label; a .txt file with a path a line; an HDF5 file in the Galaxy10 schema. Paths are relative to the
            catalogue's folder.
        allow_outside: whether a catalogue may name files outside its folder.
        bands: of which a galaxy may have separate files: ``galaxy-g.fits``, or the column path_g.

    Raises:
        InputError: there is no such thing, or a catalogue cannot be read.
    """
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix == LIST_SUFFIX and path.is_file():
        return _list_catalogue(_read_list(path), path.parent, allow_outside)
    if is_table(path):
        lines = read_lines(open_image_catalogue(path, bands), bands)
        return _list_catalogue(lines, path.parent, allow_outside)
    return _list_images(source, path, suffix, bands)


def _list_images(source: str, path: Path, suffix: str, bands: Sequence[str]) -> Iterator[Input]:
    if path.is_dir():
        return _list_files(source, _walk(path), bands, path)
    if not path.exists() and glob.has_magic(source):
        found = sorted(glob.glob(source, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        return _list_files(source, (file for file in map(Path, found) if not file.is_dir()), bands)
    if not path.is_file():
        raise InputError(f"There is no file or folder {source}.")
    if suffix in HDF5_SUFFIXES:
        return _list_hdf5(path)
    if has_image_name(path):
        return iter([Input(path.stem, (path,))])
    known = ", ".join((*TABLE_SUFFIXES, LIST_SUFFIX, *HDF5_SUFFIXES, *IMAGE_SUFFIXES, *FITS_SUFFIXES))
    raise InputError(f"{source}: found the ending {suffix or 'none'}, expected is a folder or one of {known}.")


def say_passed_over(source: str) -> str | None:
    """Return how many files of a folder are no input, since their endings are those of no image, with one; None of none."""
    others = (file for file in _walk_all(Path(source)) if not has_image_name(file))
    first = next(others, None)
    if first is None:
        return None
    return f"{1 + sum(1 for _ in others)} files with the ending of no image were passed over, such as {first}"


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the image files below a folder, sorted."""
    return filter(has_image_name, _walk_all(folder))


def _walk_all(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, sorted; links to folders are not followed, so that loops end."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root, name) for name in sorted(names) if not name.startswith("."))


def _list_files(source: str, files: Iterator[Path], bands: Sequence[str], folder: Path | None = None) -> Iterator[Input]:
    """Yield an input a file, its id the path (below ``folder``) without ending; all bands of one galaxy are one input."""
    name = None
    for name, grouped in group_bands(files, bands):
        yield Input(str(name.relative_to(folder) if folder else name), grouped)
    if name is None:
        raise InputError(f"{source}: no images ({', '.join(IMAGE_SUFFIXES + FITS_SUFFIXES)}) in it.")


def _list_hdf5(path: Path) -> Iterator[Input]:
    with GalaxyFile(path) as galaxies:
        names = galaxies.class_names
        columns = (galaxies.ids.to_pylist(), galaxies.ra, galaxies.dec, galaxies.pxscale, galaxies.labels)
    for index, (name, ra, dec, pxscale, label) in enumerate(zip(*columns, strict=True)):
        known = None if label == UNLABELLED else names[label]
        yield Input(name, (path,), index, float(ra), float(dec), float(pxscale), known)


def _read_list(path: Path) -> Iterator[CatalogueLine]:
    # File names are bytes to the system: what is not UTF-8 must find its file all the same.
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        for number, name in enumerate(filter(None, map(str.strip, file)), start=1):
            yield CatalogueLine(number, "", (name,), "", math.nan, math.nan, math.nan, (), ())


def _list_catalogue(lines: Iterator[CatalogueLine], folder: Path, allow_outside: bool) -> Iterator[Input]:
    is_inside = (lambda file: True) if allow_outside else _make_is_inside(folder)
    for line in lines:
        yield _input_of_line(line, folder, is_inside)


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


def _input_of_line(line: CatalogueLine, folder: Path, is_inside: Callable[[Path], bool]) -> Input:
    """Return the input of a line of a catalogue, with its errors where it has some."""
    files = tuple(folder / name for name in line.paths)
    errors = [_refuse_path(name, file, is_inside) for name, file in zip(line.paths, files, strict=True)]
    if not files and not line.errors:
        errors.append("the catalogue gives no path")
    name = line.id or (str(Path(line.paths[0]).with_suffix("")) if files else f"row {line.number}")
    error = "; ".join(filter(None, (*errors, *line.errors))) or None
    notes = tuple(f"{reason}: the position is unknown" for reason in line.position_errors)
    label, is_latin = _read_label(line.class_name)
    notes += ("the label is not UTF-8: taken as Latin-1",) if is_latin else ()
    return Input(name, files, None, line.ra, line.dec, line.pxscale, label, error, notes, line.is_lost)


def _read_label(text: str) -> tuple[str | None, bool]:
    """Return the true class that a cell names, and whether it was no UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # Bytes that are none stand for themselves.
        return text.encode("utf-8", "surrogateescape").decode("latin-1"), True
    return text or None, False


def _refuse_path(name: str, file: Path, is_inside: Callable[[Path], bool]) -> str | None:
    """Return why a catalogue's path is not followed, None where it is."""
    if "://" in name:
        return f"{name} is an address; download it and give the file's path"
    if "\0" in name:
        return "the path holds a zero byte"
    if not is_inside(file):
        return f"{name} lies outside the catalogue's folder; allow it with --allow-outside"
    return None
