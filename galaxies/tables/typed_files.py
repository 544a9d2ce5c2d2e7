"""Tables whose columns have types: Parquet, FITS tables, VOTable and ECSV, as the text that a CSV would hold.

Whole numbers never pass through a float, which would lose the last digits of a survey's ids. Angles in another unit become
degrees (ra, dec) or arcsec (pxscale). astropy is imported where a table needs it, since that takes a second.
"""

import io
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from galaxies.errors import InputError
from galaxies.tables.cells import refuse_rounded_id
from galaxies.tables.csv_files import BAND_PREFIX, Columns, Rows, open_unpacked
from galaxies.tables.position_names import find_positions, plain_name

_BATCH_ROWS = 4096
_MAX_HDUS = 64
_UNITS = {"ra": "deg", "dec": "deg", "pxscale": "arcsec"}


@dataclass(frozen=True)
class _Column:
    """Some rows of a column."""

    name: str  # in lower case
    values: Any  # (B,) array, masked where nothing is known
    unit: str | None = None
    null: Any = None  # another value that means that nothing is known

    def texts(self) -> list[str]:
        """Return the cells as text."""
        values = self.values
        if np.ndim(values) != 1:
            raise InputError(f"the column {self.name} holds arrays, expected one value a row")
        is_null = np.broadcast_to(False if self.null is None else values == self.null, len(values))
        if self.unit and plain_name(self.name) in _UNITS and values.dtype.kind in "iuf":
            values = values * _unit_factor(self.name, self.unit)
        limit = 2 ** (np.finfo(values.dtype).nmant + 1) if self.name == "id" and values.dtype.kind == "f" else None
        texts = ["" if no else make_text(value) for value, no in zip(_to_list(values), is_null.tolist(), strict=True)]
        if limit is not None:
            for text in texts:
                if text and abs(float(text)) >= limit:
                    refuse_rounded_id(text)
        return texts


def _to_list(values: Any) -> list[Any]:
    """Return Python's own values; a number of 32 bits is the shortest that it may be: 0.1, not 0.10000000149011612."""
    if values.dtype.kind != "f" or values.dtype.itemsize >= 8:
        return list(values.tolist())
    shortest = [float(str(value)) for value in np.ma.getdata(values)]
    return [None if no else value for value, no in zip(shortest, np.ma.getmaskarray(values).tolist(), strict=True)]


def make_text(value: Any) -> str:
    """Return a value as the text that a CSV would hold. A whole number is one, also where it is a float beside missing ones."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if (isinstance(value, float) and value.is_integer()) or (isinstance(value, Decimal) and value == value.to_integral_value()):
        return str(int(value))
    return "" if value is None or value != value else str(value)


def open_parquet(path: Path) -> Columns:
    """Open a Parquet file. Memory holds a batch of it."""
    with pq.ParquetFile(path) as file:
        names = tuple(file.schema_arrow.names)

    def read(places: Sequence[int]) -> Rows:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=[names[place] for place in places]):
                columns = [batch.column(names[place]) for place in places]
                yield from _zip(_parquet_column(names[p], c) for p, c in zip(places, columns, strict=True))

    return Columns(names, read)


def _parquet_column(name: str, column: Any) -> _Column:
    name = name.strip().lower()
    if pa.types.is_nested(column.type):
        raise InputError(f"the column {name} holds {column.type}, expected one value a row")
    if pa.types.is_floating(column.type):
        return _Column(name, column.to_numpy(zero_copy_only=False))
    # Whole numbers of which some are missing would be floats to numpy.
    values = np.empty(len(column), object)
    values[:] = column.to_pylist()
    return _Column(name, values)


def open_fits(path: Path) -> Columns:
    """Open the table of a FITS file, which is mapped into memory where it is not packed."""
    tables = {number: columns for number, columns in list_fits(path) if columns is not None}
    chosen = _choose(tables)
    names = tuple(tables[chosen])

    def read(places: Sequence[int]) -> Rows:
        with _open_fits(path) as hdus:
            with _explain_astropy():
                columns, data = hdus[chosen].columns, hdus[chosen].data
                arrays = [(columns[place], data.field(place)) for place in places]
            for rows in _batches(len(data)):
                yield from _zip(_Column(_plain(c.name), array[rows], c.unit, c.null) for c, array in arrays)

    return Columns(names, read)


def list_fits(path: Path) -> list[tuple[int, list[str] | None]]:
    """Return number and column names of each table of a FITS file, and number and None of each image, up to a limit."""
    from astropy.io import fits

    found: list[tuple[int, list[str] | None]] = []
    with _explain_astropy(), _open_fits(path) as hdus:
        for number, hdu in enumerate(islice(hdus, _MAX_HDUS)):
            if isinstance(hdu, (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)):
                found += [(number, None)] if len(hdu.shape) >= 2 else []
            elif isinstance(hdu, (fits.BinTableHDU, fits.TableHDU)):
                found.append((number, list(hdu.columns.names)))
    return found


@contextmanager
def _open_fits(path: Path) -> Iterator[Any]:
    from astropy.io import fits

    # astropy leaves a file open that it opened itself and could not read to its end.
    with open_unpacked(path) as stream:
        is_plain = isinstance(stream, io.BufferedReader)
        with fits.open(stream, memmap=is_plain, character_as_bytes=True) as hdus:
            yield hdus


def open_votable(path: Path) -> Columns:
    """Open a VOTable, which is held in memory."""
    from astropy.io import votable

    with _explain_astropy(), open_unpacked(path) as stream:
        tables = list(votable.parse(stream, verify="ignore").iter_tables())
    table = tables[_choose({number: [field.name for field in table.fields] for number, table in enumerate(tables)})]
    names = tuple(field.name for field in table.fields)

    def read(places: Sequence[int]) -> Rows:
        fields = [table.fields[place] for place in places]
        units = [None if field.unit is None else str(field.unit) for field in fields]
        for rows in _batches(len(table.array)):
            arrays = [table.array[field.ID][rows] for field in fields]
            yield from _zip(_Column(_plain(f.name), a, u) for f, a, u in zip(fields, arrays, units, strict=True))

    return Columns(names, read)


def open_ecsv(path: Path) -> Columns:
    """Open an ECSV file, which is held in memory."""
    from astropy.table import Table

    with _explain_astropy(), open_unpacked(path) as stream:
        table = Table.read(stream.read().decode("utf-8-sig").splitlines(), format="ascii.ecsv")
    names = tuple(table.colnames)

    def read(places: Sequence[int]) -> Rows:
        columns = [table[names[place]] for place in places]
        units = [None if getattr(column, "unit", None) is None else str(column.unit) for column in columns]
        # What astropy made a Quantity or Angle of keeps its numbers in `value`.
        arrays = [np.ma.asarray(getattr(column, "value", column)) for column in columns]
        for rows in _batches(len(table)):
            yield from _zip(_Column(_plain(names[p]), a[rows], u) for p, a, u in zip(places, arrays, units, strict=True))

    return Columns(names, read)


@contextmanager
def _explain_astropy() -> Iterator[None]:
    """Silence what astropy warns of (units, names, dates: none matters here), and make its own exception a ValueError."""
    from astropy.io.fits import VerifyError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except VerifyError as error:
            raise ValueError(str(error)) from error


def _choose(tables: Mapping[int, Sequence[str]]) -> int:
    """Return the number of the table that is meant."""
    if not tables:
        raise InputError("there is no table in it")
    plain = {number: set(map(_plain, names)) for number, names in tables.items()}
    # The first is meant that has a path, else a position, else the first.
    for is_meant in (_has_path, lambda names: find_positions(list(names)) is not None):
        for number, names in plain.items():
            if is_meant(names):
                return number
    return min(tables)


def _has_path(names: set[str]) -> bool:
    return "path" in names or any(name.startswith(BAND_PREFIX) for name in names)


def _plain(name: str) -> str:
    return name.strip().lower()


def _batches(num_rows: int) -> Iterator[slice]:
    return (slice(start, min(start + _BATCH_ROWS, num_rows)) for start in range(0, num_rows, _BATCH_ROWS))


def _zip(columns: Iterable[_Column]) -> Rows:
    return ((row, None) for row in zip(*(column.texts() for column in columns), strict=True))


def _unit_factor(name: str, unit: str) -> float:
    """Return what turns numbers in ``unit`` into those of the column ``name``."""
    from astropy import units

    wanted = units.Unit(_UNITS[plain_name(name)])
    try:
        found = units.Unit(unit)
        # What is called hours of a right ascension is an angle, not a time.
        found = units.hourangle if found == units.hour and plain_name(name) == "ra" else found
        # arcsec/pix says the same as arcsec.
        return float((found * units.pix if units.pix in found.bases else found).to(wanted))
    except (ValueError, TypeError, units.UnitConversionError) as error:
        raise InputError(f"the column {name} has the unit {unit}, expected {wanted}") from error
