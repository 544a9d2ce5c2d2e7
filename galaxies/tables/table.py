"""The one reader of people's tables: CSV in its dialects, Parquet, FITS tables, VOTable and ECSV, as rows of text by column.

What is in a file decides how it is read, not its ending.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from xml.parsers.expat import ExpatError

import pyarrow as pa

from galaxies.errors import READER_ERRORS, InputError
from galaxies.tables.cells import clean, require_exact_id
from galaxies.tables.csv_files import KNOWN_COLUMNS, Columns, is_known, open_csv, open_unpacked
from galaxies.tables.position_names import find_positions, plain_name
from galaxies.tables.typed_files import list_fits, open_ecsv, open_fits, open_parquet, open_votable

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".pq", ".ecsv", ".vot", ".votable", ".xml", ".csv.gz", ".tsv.gz")
"""Of tables; FITS has one ending for tables and images."""

_LOOK_BYTES = 4096

_logger = logging.getLogger(__name__)
# What the readers raise on bytes that make no sense.
_DAMAGE = (
    *READER_ERRORS,
    Warning,
    ExpatError,
    pa.ArrowException,
)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table."""

    number: int  # from 1, the header does not count
    cells: Mapping[str, str]  # by column, empty where nothing is known
    problem: str | None = None  # why none of the cells can be trusted


@dataclass(frozen=True)
class Table:
    """A table whose columns are known; its rows are read when they are asked for, where its kind allows it."""

    path: Path
    kind: str
    columns: Columns

    @property
    def names(self) -> tuple[str, ...]:
        """All columns, in lower case, without blanks around them."""
        return tuple(name.strip().lower() for name in self.columns.names)

    def with_positions(self) -> "Table":
        """Return the table with the columns of its positions called ra and dec, as whatever they are known."""
        found = find_positions(self.names)
        if found is None or found == ("ra", "dec"):
            return self
        # An ra that stands there without its dec is that of another system.
        others = {name: f"other {name}" for name in ("ra", "dec") if name not in found}
        renamed = tuple(plain_name(name) if name in found else others.get(name, name) for name in self.names)
        _logger.warning("%s: the positions are those of the columns %s and %s", self.path, *found)
        return replace(self, columns=replace(self.columns, names=renamed))

    def rows(self, columns: Sequence[str] = KNOWN_COLUMNS) -> Iterator[Row]:
        """Yield the rows; of the columns only those in ``columns`` are read that are there.

        Raises InputError when the file is damaged, or an id lost its last digits on its way.
        """
        names = self.names
        wanted = [name for name in columns if name in names]
        with _explain(self.path, self.kind):
            for number, (values, problem) in enumerate(self.columns.read([names.index(name) for name in wanted]), start=1):
                cells = dict(zip(wanted, map(clean, values), strict=True))
                require_exact_id(cells.get("id", ""), number)
                yield Row(number, cells, problem)


def open_table(path: Path) -> Table:
    """Open a table of any kind.

    Raises:
        InputError: this is no table, or a column that is read stands there twice.
        FileNotFoundError: there is no such file.
    """
    with _explain(path, "a table"), open_unpacked(path) as stream:
        start = stream.read(_LOOK_BYTES)
    kind, opener = _choose_reader(start, path)
    with _explain(path, kind):
        table = Table(path, kind, opener(path))
        repeated = [name for name in table.names if is_known(name) and table.names.count(name) > 1]
        if repeated:
            raise InputError(f"the column {repeated[0]} stands there twice; keep the one that is meant")
    return table


def is_fits_table(path: Path) -> bool:
    """Tell whether a file is FITS with a table and without an image; what is no sound FITS file is none."""
    try:
        kinds = [columns is not None for _, columns in list_fits(path)]
    except _DAMAGE:
        return False
    return bool(kinds) and all(kinds)


def _choose_reader(start: bytes, path: Path) -> tuple[str, Callable[[Path], Columns]]:
    """Return what a file is called by how it begins, and what opens it."""
    if start.startswith(b"PAR1") or path.suffix.lower() in (".parquet", ".pq"):
        return "Parquet", open_parquet
    if start.startswith(b"SIMPLE  ="):
        return "a FITS table", open_fits
    if start.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
        return "a VOTable", open_votable
    if start.startswith(b"# %ECSV"):
        return "ECSV", open_ecsv
    return "CSV", open_csv


@contextmanager
def _explain(path: Path, kind: str) -> Iterator[None]:
    """Name the file in an error, and turn what readers raise on damaged bytes into one."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}.") from error
    except _DAMAGE as error:
        if isinstance(error, (FileNotFoundError, PermissionError)):
            raise
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{path} cannot be read as {kind} ({reason[0]}).") from error
