"""Catalogues of inputs read row by row, so that memory does not grow with them: CSV, Parquet, or a list of paths."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from galaxies.data.stretch import BANDS
from galaxies.errors import InputError

PATH_COLUMNS = ("path", *(f"path_{band}" for band in BANDS))
COLUMNS = ("id", *PATH_COLUMNS, "ra", "dec", "pxscale", "label")
TABLE_SUFFIXES = (".csv", ".parquet", ".txt")

_BATCH_ROWS = 4096
# The first that is the most frequent in the header's line.
_DELIMITERS = ",;\t"


def read_rows(path: Path) -> Iterator[Mapping[str, str]]:
    """Yield the rows of a table as text by column, empty where nothing is known; only COLUMNS are read.

    Raises InputError when it is no such table or no column names a path.
    """
    if path.suffix.lower() == ".csv":
        return _read_csv(path)
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path)
    return _read_lines(path)


def _read_lines(path: Path) -> Iterator[Mapping[str, str]]:
    # File names are bytes to the system: what is not UTF-8 must find its file all the same.
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        yield from ({"path": line.strip()} for line in file if line.strip())


def _read_csv(path: Path) -> Iterator[Mapping[str, str]]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        first = file.readline()
        file.seek(0)
        # csv.DictReader would take a third of the time of a whole catalogue.
        rows = csv.reader(file, strict=True, delimiter=max(_DELIMITERS, key=first.count))
        try:
            places = _find_columns(path, next(rows, [])).items()
            for row in filter(None, rows):
                yield {name: row[place].strip() for name, place in places if place < len(row)}
        except csv.Error as error:
            raise InputError(f"{path}, after line {rows.line_num}: not CSV ({error}).") from error


def _read_parquet(path: Path) -> Iterator[Mapping[str, str]]:
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            found = {names[place]: name for name, place in _find_columns(path, names).items()}
            for batch in file.iter_batches(_BATCH_ROWS, columns=list(found)):
                for row in batch.to_pylist():
                    yield {found[name]: _text(value) for name, value in row.items()}
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read as Parquet ({str(error).splitlines()[0]}).") from error


def _text(value: Any) -> str:
    """Return a Parquet value as text. Tables made of FITS files hold bytes, and integers of which some are missing floats."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape").strip()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None or value != value else str(value).strip()


def _find_columns(path: Path, found: Sequence[str]) -> dict[str, int]:
    """Return the place of each of COLUMNS among the names ``found``, whose case and outer spaces do not matter.

    Raises InputError when none names a path, or two are the same.
    """
    names = [name.strip().lower() for name in found]
    bands: Iterable[str] = PATH_COLUMNS[1:]
    if "path" not in names and not set(bands) <= set(names):
        raise InputError(
            f"{path}: found the columns {', '.join(found[:20]) or 'none'}; expected is path (or {', '.join(bands)} for "
            "separate FITS files), and where known id, ra, dec (deg), pxscale (arcsec/px) and label."
        )
    repeated = [name for name in COLUMNS if names.count(name) > 1]
    if repeated:
        raise InputError(f"{path}: the column {repeated[0]} stands there twice; keep the one that is meant.")
    return {name: names.index(name) for name in COLUMNS if name in names}
