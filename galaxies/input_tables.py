"""Catalogues of inputs read row by row, so that memory does not grow with them: CSV, Parquet, or a list of paths."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from galaxies.errors import InputError
from galaxies.stretch import BANDS

PATH_COLUMNS = ("path", *(f"path_{band}" for band in BANDS))
COLUMNS = ("id", *PATH_COLUMNS, "ra", "dec", "pxscale", "label")
TABLE_SUFFIXES = (".csv", ".parquet", ".txt")

_BATCH_ROWS = 4096


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
        rows = csv.DictReader(file, strict=True)
        try:
            _require_columns(path, rows.fieldnames or [])
            for row in rows:
                yield {name: (row.get(name) or "").strip() for name in COLUMNS}
        except csv.Error as error:
            raise InputError(f"{path}, after line {rows.line_num}: not CSV ({error}).") from error


def _read_parquet(path: Path) -> Iterator[Mapping[str, str]]:
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _require_columns(path, names)
            for batch in file.iter_batches(_BATCH_ROWS, columns=[name for name in COLUMNS if name in names]):
                for row in batch.to_pylist():
                    yield {name: "" if value is None else str(value) for name, value in row.items()}
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read as Parquet ({str(error).splitlines()[0]}).") from error


def _require_columns(path: Path, found: Sequence[str]) -> None:
    bands: Iterable[str] = PATH_COLUMNS[1:]
    if "path" not in found and not set(bands) <= set(found):
        raise InputError(
            f"{path}: found the columns {', '.join(found[:20]) or 'none'}; expected is path (or {', '.join(bands)} for "
            "separate FITS files), and where known id, ra, dec (deg), pxscale (arcsec/px) and label."
        )
