"""The file that ``predict`` writes, in Parquet or CSV: a row an input."""

import csv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from galaxies.errors import InputError
from galaxies.files import replacing

RESULT_SUFFIXES = (".parquet", ".csv")

# A group of rows of the Parquet file: 17 MB of ten classes. Of much smaller groups a reader needs twice the time.
_GROUP_ROWS = 65_536

# Spreadsheets run a cell that begins with one of these as a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def write_result(
    out: Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema, takers: Iterable[Callable[[pa.RecordBatch], None]] = ()
) -> None:
    """Write the rows of all batches to ``out``, some in memory at a time, and give each batch to ``takers`` too."""
    takers = list(takers)

    def taken() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for take in takers:
                take(batch)
            yield batch

    with replacing(out) as temporary:
        if out.suffix.lower() == ".parquet":
            _write_parquet(temporary, taken(), schema)
            return
        with temporary.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(make_safe(name) for name in schema.names)
            for batch in taken():
                columns = batch.to_pydict().values()
                rows.writerows([make_safe(value) for value in row] for row in zip(*columns, strict=True))


def _write_parquet(path: Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> None:
    with pq.ParquetWriter(path, schema) as writer:
        group: list[pa.RecordBatch] = []
        for batch in batches:
            group.append(batch)
            if sum(map(len, group)) >= _GROUP_ROWS:
                writer.write_table(pa.Table.from_batches(group, schema))
                group = []
        if group:
            writer.write_table(pa.Table.from_batches(group, schema))


class Counts:
    """How many rows there are, and how many of them have an error, are novel, and are left to a person."""

    def __init__(self) -> None:
        self.found = dict.fromkeys(("rows", "error", "is_novel", "abstain"), 0)

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the rows of a result."""
        self.found["rows"] += len(batch)
        self.found["error"] += len(batch) - batch["error"].null_count
        for name in ("is_novel", "abstain"):
            self.found[name] += pc.sum(batch[name], min_count=0).as_py()


def format_counts(counts: dict[str, int]) -> str:
    """Return what :class:`Counts` found as a sentence."""
    return (
        f"{counts['rows']:,} rows, {counts['error']:,} with an error; {counts['abstain']:,} are left to a person, of which "
        f"{counts['is_novel']:,} are unlike the training galaxies."
    )


def make_safe(value: object) -> str:
    """Return a CSV cell that no spreadsheet takes for a formula: such text gets an apostrophe in front.

    A list becomes its elements with ``|`` between them, a truth value ``true`` or ``false``, and what is unknown is empty.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    text = "|".join(value) if isinstance(value, list) else str(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def require_result_name(out: Path) -> None:
    """Raise InputError unless the ending of ``out`` names a format."""
    if out.suffix.lower() not in RESULT_SUFFIXES:
        raise InputError(f"--out: found the ending {out.suffix or 'none'} in {out}, expected {' or '.join(RESULT_SUFFIXES)}.")


def require_result_place(option: str, path: Path, source: str) -> None:
    """Raise InputError unless a file can stand at ``path``, where the input does not: found out before hours of work."""
    if path.is_dir():
        raise InputError(f"{option}: {path} is a folder; give the name of a file.")
    if path.exists() and Path(source).exists() and path.samefile(source):
        raise InputError(f"{option}: {path} is the input itself, which it would replace; give another name.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{option}: the folder {path.parent} cannot be made ({error.strerror}).") from error
