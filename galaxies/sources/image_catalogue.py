"""A user's own labelled galaxies: a folder with one sub-folder a class, or a catalogue of image files."""

import csv
import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from galaxies.errors import InputError
from galaxies.files import file_sha256, read_text_table
from galaxies.sources.image_files import IMAGE_SUFFIXES, say_damage

_MAX_COMPLAINTS = 40

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageCatalogue:
    """Which files there are and what is known of each; M images. Nothing is read of them yet."""

    paths: tuple[Path, ...]
    ids: tuple[str, ...]
    labels: NDArray[np.uint8]  # (M,) index into class_names
    class_names: tuple[str, ...]
    ra: NDArray[np.float64]  # (M,) deg, NaN where unknown
    dec: NDArray[np.float64]
    pxscale: NDArray[np.float64]  # (M,) arcsec/px
    complaints: tuple[str, ...]  # what is wrong with the catalogue itself; reported with what is wrong with the files


def read_catalogue(path: Path) -> ImageCatalogue:
    """Return what ``path`` names: a folder of class folders, or a CSV or Parquet file with the columns id, path, label.

    Optional columns are ra, dec (deg) and pxscale (arcsec/px). Classes are ordered by name, or by number where all labels
    are numbers. Image paths are relative to the catalogue's folder, or absolute.

    Raises:
        InputError: this is no such folder or file. Repeated ids or files and missing labels are noted as complaints.
    """
    table, complaints = _list_folder(path) if path.is_dir() else (_read_table(path), [])
    folder = path if path.is_dir() else path.parent
    paths = tuple(folder / name for name in table["path"])
    complaints += [f"the id {name!r} stands there {count} times" for name, count in _repeated(table["id"])]
    complaints += [f"the file {name} stands there {count} times" for name, count in _repeated(map(os.path.realpath, paths))]
    for name, what in (("id", "id"), ("path", "path"), ("label", "label")):
        empty = np.flatnonzero(table[name] == "")
        complaints += [f"row {row + 1} ({table['path'][row] or table['id'][row]}): no {what}" for row in empty]
    if not len(table):
        complaints.append(f"no images ({', '.join(IMAGE_SUFFIXES)}) in it")
    names = sorted(table["label"].unique(), key=lambda name: (0, int(name), name) if name.isdecimal() else (1, 0, name))
    if len(names) > 256:
        raise InputError(f"{path}: found {len(names)} classes, at most 256 are allowed; is `label` the right column?")
    columns = {name: _number_column(table, name) for name in ("ra", "dec", "pxscale")}
    complaints += [complaint for _, wrong in columns.values() for complaint in wrong]
    labels = table["label"].map({name: label for label, name in enumerate(names)}).to_numpy(np.uint8)
    ra, dec, pxscale = (numbers for numbers, _ in columns.values())
    return ImageCatalogue(paths, tuple(table["id"]), labels, tuple(names), ra, dec, pxscale, tuple(complaints))


def digest_images(path: Path) -> str:
    """Return the sha256 over a catalogue and its files: id, label, position and the bytes of each; names do not count.

    Raises InputError that lists the files that cannot be read, with all that is wrong with the catalogue.
    """
    catalogue = read_catalogue(path)
    complaints = list(catalogue.complaints)
    digest = hashlib.sha256()
    for row, file in enumerate(tqdm(catalogue.paths, "digest", unit="file")):
        try:
            content = file_sha256(file)
        except (OSError, ValueError) as error:
            complaints.append(f"{file}: {say_damage(error)}")
            continue
        numbers = [float(column[row]) for column in (catalogue.ra, catalogue.dec, catalogue.pxscale)]
        line = [catalogue.ids[row], catalogue.class_names[catalogue.labels[row]], content, *numbers]
        digest.update(json.dumps(line).encode() + b"\n")
    refuse_complaints(path, complaints)
    return digest.hexdigest()


def is_catalogue(path: Path) -> bool:
    """Tell whether a file lists images: a Parquet file, or a CSV with a column path."""
    if path.suffix.lower() == ".csv" and path.is_file():
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            return "path" in next(csv.reader(file), [])
    return path.suffix.lower() == ".parquet"


def refuse_complaints(path: Path, complaints: list[str]) -> None:
    """Raise InputError when there are complaints, all of them together up to a screenful."""
    if complaints:
        shown = "\n".join(f"  {complaint}" for complaint in complaints[:_MAX_COMPLAINTS])
        more = f"\n  … and {len(complaints) - _MAX_COMPLAINTS} more" if len(complaints) > _MAX_COMPLAINTS else ""
        raise InputError(f"{path}: {len(complaints)} things must be put right:\n{shown}{more}")


def _list_folder(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return the table of a folder with one sub-folder a class, and what is wrong with it. Hidden names do not count."""
    files: list[Path] = []
    complaints: list[str] = []
    left_out: list[Path] = []
    for entry in _visible(folder):
        if not entry.is_dir():
            if _has_image_name(entry):
                complaints.append(f"{entry}: stands outside of the class folders")
            continue
        entries = _visible(entry)
        found = [file for file in entries if _has_image_name(file) and not file.is_dir()]
        complaints += [f"{file}: a folder in a class folder; its images would be left out" for file in entries if file.is_dir()]
        if not found:
            complaints.append(f"{entry}: no images ({', '.join(IMAGE_SUFFIXES)}) in this class folder")
        files += found
        left_out += [file for file in entries if not _has_image_name(file) and not file.is_dir()]
    if left_out:
        _logger.warning("%d files that are no JPEG, PNG or TIFF are left out, such as %s", len(left_out), left_out[0])
    names = [file.relative_to(folder) for file in files]
    return pd.DataFrame(
        {
            "id": [name.with_suffix("").as_posix() for name in names],
            "path": [str(name) for name in names],
            "label": [name.parts[0] for name in names],
        },
        dtype=str,
    ), complaints


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"download.path: the folder {folder} cannot be read ({error.strerror}).") from error


def _has_image_name(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES


def _read_table(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path) if path.suffix.lower() == ".parquet" else read_text_table(path)
    except FileNotFoundError:
        raise InputError(f"download.path: there is no file or folder {path}.") from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"download.path: {path} cannot be read as a catalogue ({error}); expected is CSV or Parquet."
        ) from error
    missing = [name for name in ("id", "path", "label") if name not in table.columns]
    if missing:
        raise InputError(
            f"{path}: found the columns {list(table.columns)}, missing {missing}; a catalogue has id, path, label and may have "
            "ra, dec (deg) and pxscale (arcsec/px)."
        )
    table = table.reset_index(drop=True)
    for name in ("id", "path", "label"):
        table[name] = [_text(value) for value in table[name]]
    if any("\0" in name for name in table["path"]):
        raise InputError(f"{path}: the column path holds a zero byte, which no name of a file can have; is this a text file?")
    return table


def _text(value: Any) -> str:
    """Return a cell as text without blanks around it; a column of whole numbers with gaps is float to pandas."""
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _number_column(table: pd.DataFrame, name: str) -> tuple[NDArray[np.float64], list[str]]:
    """Return an optional column as numbers, NaN where unknown, and a complaint for each cell that is none."""
    if name not in table:
        return np.full(len(table), np.nan), []
    cells = [_text(value) for value in table[name]]
    numbers = pd.to_numeric(pd.Series(cells, dtype=str), errors="coerce").to_numpy(np.float64)
    wrong = [row for row in np.flatnonzero(np.isnan(numbers)) if cells[row].lower() not in ("", "nan")]
    return numbers, [
        f"row {row + 1} ({table['id'][row]}): {name} is {cells[row]!r}, expected is a number, or nothing where it is unknown"
        for row in wrong
    ]


def _repeated(column: Iterable[str]) -> list[tuple[str, int]]:
    return [(name, count) for name, count in Counter(column).items() if count > 1 and name]
