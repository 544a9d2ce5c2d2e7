"""Catalogues of images and of positions, read alike for training and prediction: what each line says of a galaxy."""

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from galaxies.data.bands import PICTURE_BANDS
from galaxies.data.image_files import FITS_SUFFIXES
from galaxies.errors import InputError
from galaxies.tables.cells import read_label, read_number, read_position
from galaxies.tables.csv_files import BAND_PREFIX, KNOWN_COLUMNS
from galaxies.tables.table import TABLE_SUFFIXES, Row, Table, is_fits_table, open_table

CATALOGUE_SUFFIXES = (*TABLE_SUFFIXES, *FITS_SUFFIXES)
"""Of what may be a catalogue; a FITS file is one if it holds a table and no image."""

_OPTIONAL = "and where known id, ra, dec (deg), pxscale (arcsec/px) and label"


@dataclass(frozen=True, slots=True)
class CatalogueLine:
    """What a line of a catalogue says of one galaxy."""

    number: int  # from 1, the header does not count
    id: str  # empty where there is none
    paths: tuple[str, ...]  # as they stand there: one, or one a band; none where none is given
    label: str  # as it stands there; empty where there is none
    ra: float  # deg, NaN where unknown or wrong
    dec: float  # deg
    pxscale: float  # arcsec/px
    errors: tuple[str, ...]  # why its image cannot be used
    position_errors: tuple[str, ...]  # why its position is unknown although something stands there
    is_lost: bool = False  # whether the catalogue has positions, and none for this galaxy

    @property
    def class_name(self) -> str:
        """The class that the label names, empty where there is none."""
        return read_label(self.label)


def is_table(path: Path) -> bool:
    """Tell by name, of FITS by content, whether a file is a table."""
    name = path.name.lower()
    if name.endswith(TABLE_SUFFIXES):
        return path.is_file()
    return name.endswith(FITS_SUFFIXES) and path.is_file() and is_fits_table(path)


def is_image_catalogue(path: Path, bands: Sequence[str] = PICTURE_BANDS) -> bool:
    """Tell whether a file is a table that names images. Raises InputError when it looks like a table and is none."""
    return is_table(path) and _names_images(open_table(path), bands)


def open_image_catalogue(path: Path, bands: Sequence[str]) -> Table:
    """Open a table that names images, one, or one for each of some bands. Raises InputError when it is none."""
    table = open_table(path).with_positions()
    if not _names_images(table, bands):
        several = ", ".join(band_columns(bands))
        raise InputError(
            f"{path}: found the columns {_show(table)}; expected is path (or {several} for separate FITS files), {_OPTIONAL}."
        )
    return table


def open_position_catalogue(path: Path) -> Table:
    """Open a table of positions. Raises InputError when it is none."""
    table = open_table(path).with_positions()
    missing = [name for name in ("id", "ra", "dec") if name not in table.names]
    if missing:
        raise InputError(
            f"{path}: found the columns {_show(table)}, missing {', '.join(missing)}; expected are id, ra and dec (deg or "
            "sexagesimal), and where known label."
        )
    return table


def band_columns(bands: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that name the files of some bands."""
    return tuple(f"{BAND_PREFIX}{band}".lower() for band in bands)


def read_lines(table: Table, bands: Sequence[str] = PICTURE_BANDS) -> Iterator[CatalogueLine]:
    """Yield what each line of an open catalogue says; where it names no one file, there is one for each of the ``bands``."""
    columns, has_positions = band_columns(bands), {"ra", "dec"} <= set(table.names)
    read_line = functools.partial(_read_line, columns=columns, has_positions=has_positions)
    return map(read_line, table.rows((*KNOWN_COLUMNS, *columns)))


def _read_line(row: Row, *, columns: Sequence[str], has_positions: bool) -> CatalogueLine:
    if row.problem is not None:
        return CatalogueLine(row.number, "", (), "", math.nan, math.nan, math.nan, (row.problem,), ())
    cells = row.cells
    paths = [cells["path"]] if cells.get("path") else [cells.get(column, "") for column in columns]
    errors: list[str] = []
    position_errors: list[str] = []
    ra, dec = (_read_position(cells.get(name, ""), name, position_errors) for name in ("ra", "dec"))
    return CatalogueLine(
        row.number,
        cells.get("id", ""),
        tuple(paths) if all(paths) else (),
        cells.get("label", ""),
        ra,
        dec,
        _read_pxscale(cells.get("pxscale", ""), errors),
        tuple(errors),
        tuple(position_errors),
        has_positions and not math.isfinite(ra + dec),
    )


def _read_position(text: str, name: str, errors: list[str]) -> float:
    try:
        return read_position(text, name) if text else math.nan
    except ValueError as error:
        errors.append(f"{name}: {error}")
        return math.nan


def _read_pxscale(text: str, errors: list[str]) -> float:
    try:
        pxscale = read_number(text) if text else math.nan
    except ValueError as error:
        errors.append(f"pxscale: {error}")
        return math.nan
    if pxscale <= 0 or math.isinf(pxscale):
        errors.append(f"pxscale: found {text}, expected arcsec/px above 0")
        return math.nan
    return pxscale


def _names_images(table: Table, bands: Sequence[str]) -> bool:
    return "path" in table.names or set(band_columns(bands)) <= set(table.names)


def _show(table: Table) -> str:
    return ", ".join(table.names[:20]) or "none"
