"""The file that ``predict`` writes, in Parquet or CSV: joined from parts, a row an input."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from galaxies.errors import InputError
from galaxies.files import replacing
from galaxies.sources.decoding import batched

RESULT_SUFFIXES = (".parquet", ".csv")

# So many parts are a group of rows of the Parquet file: 65,536 rows, 17 MB of ten classes. Of groups as small as the parts a
# reader needs twice the time.
_GROUP_PARTS = 64

# Spreadsheets run a cell that begins with one of these as a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def write_part(path: Path, batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> None:
    """Write some rows to a Parquet file of their own."""
    with replacing(path) as temporary:
        pq.write_table(pa.Table.from_batches(batches, schema).combine_chunks(), temporary)


def join_parts(parts: Iterable[Path], out: Path, schema: pa.Schema) -> None:
    """Write the rows of all parts to ``out``, some parts in memory at a time."""
    with replacing(out) as temporary:
        if out.suffix.lower() == ".parquet":
            with pq.ParquetWriter(temporary, schema) as writer:
                for some in batched(parts, _GROUP_PARTS):
                    writer.write_table(pa.concat_tables(pq.read_table(part, schema=schema) for part in some))
            return
        with temporary.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(make_safe(name) for name in schema.names)
            for part in parts:
                columns = pq.read_table(part).to_pydict().values()
                rows.writerows([make_safe(value) for value in row] for row in zip(*columns, strict=True))


def count_rows(parts: Iterable[Path]) -> dict[str, int]:
    """Return how many rows the parts have, and how many of them have an error, are novel, and are left to a person."""
    counts = dict.fromkeys(("rows", "error", "is_novel", "abstain"), 0)
    for part in parts:
        table = pq.read_table(part, columns=["error", "is_novel", "abstain"])
        counts["rows"] += len(table)
        counts["error"] += len(table) - table["error"].null_count
        for name in ("is_novel", "abstain"):
            counts[name] += pc.sum(table[name], min_count=0).as_py()
    return counts


def format_counts(counts: dict[str, int]) -> str:
    """Return what ``count_rows`` counted as a sentence."""
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
