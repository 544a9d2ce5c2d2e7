"""The table that ``predict`` writes: its columns, the same for every run of a head, in Parquet or CSV.

Legend: K classes.
"""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from galaxies.errors import InputError
from galaxies.evaluation.predictions import PROBABILITY_PREFIX
from galaxies.files import replacing
from galaxies.prediction.model import Predictions
from galaxies.sources.decoding import Decoded, batched

SCHEMA_VERSION = 2
"""Raised when a column changes its name, type or meaning."""

RESULT_SUFFIXES = (".parquet", ".csv")

_PROBABILITIES = f"{PROBABILITY_PREFIX}<class>"
COLUMNS: Mapping[str, tuple[pa.DataType, str]] = {
    "id": (pa.string(), "the catalogue's id, or the path without its ending"),
    "path": (pa.string(), "the file; of three bands that of g"),
    "ra": (pa.float64(), "right ascension in deg, where the input gives it"),
    "dec": (pa.float64(), "declination in deg, where the input gives it"),
    "pxscale": (pa.float64(), "pixel scale in arcsec/px of the catalogue or the FITS header"),
    "label": (pa.string(), "the true class, where the input gives it"),
    "predicted": (pa.string(), "the most probable class"),
    _PROBABILITIES: (pa.float64(), "the calibrated probability of a class, a column each"),
    "confidence": (pa.float64(), "the probability of the predicted class"),
    "margin": (pa.float64(), "how much more probable it is than the second"),
    "conformal_set": (pa.list_(pa.string()), "the classes it may well be; of each class, 9 in 10 galaxies have theirs in it"),
    "abstain": (
        pa.bool_(),
        "a person should look: right less than 9 times in 10 at that confidence, a novel or doubtful image, or an error",
    ),
    "novelty": (pa.float64(), "distance from the training galaxies in feature space, near 1 for these"),
    "is_novel": (pa.bool_(), "farther than 19 in 20 galaxies like those of training: no probability means much"),
    "notes": (pa.string(), "what was assumed or done to the image"),
    "error": (pa.string(), "why there is no prediction"),
}
"""Name, type and meaning of each column, in order."""

# So many parts are a group of rows of the Parquet file: 65,536 rows, 17 MB of ten classes. Of groups as small as the parts a
# reader needs twice the time.
_GROUP_PARTS = 64

# Spreadsheets run a cell that begins with one of these as a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def make_schema(class_names: Sequence[str], about: Mapping[str, Any]) -> pa.Schema:
    """Return the schema for a head's classes; ``about`` goes into the file's metadata as JSON, with the schema's version."""
    fields = []
    for name, (kind, meaning) in COLUMNS.items():
        names = [f"{PROBABILITY_PREFIX}{class_name}" for class_name in class_names] if name == _PROBABILITIES else [name]
        fields += [pa.field(each, kind, metadata={"description": meaning}) for each in names]
    metadata = {"galaxies": json.dumps({"schema_version": SCHEMA_VERSION, **about}, sort_keys=True)}
    return pa.schema(fields, metadata=metadata)


def make_rows(decoded: Sequence[Decoded], predictions: Predictions, notes: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Return a row an input; ``predictions`` are of those that have an image, in order.

    Args:
        decoded: the inputs.
        predictions: of the inputs without an error.
        notes: for each input, what to say beside its own notes.
    """
    rows = []
    position = 0
    for one, more in zip(decoded, notes, strict=True):
        entry = one.entry
        row: dict[str, Any] = {
            "id": _clean(entry.id),
            "path": _clean(str(entry.files[0])) if entry.files else "",
            **{name: _known(getattr(entry, name)) for name in ("ra", "dec", "pxscale")},
            "label": entry.label and _clean(entry.label),
            "abstain": True,
            "notes": _clean("; ".join((*one.notes, *more))) or None,
            "error": one.error and _clean(one.error),
        }
        if one.image is not None:
            row |= _describe(predictions, position)
            row["abstain"] |= one.is_doubtful
            position += 1
        rows.append(row)
    return rows


def _describe(predictions: Predictions, position: int) -> dict[str, Any]:
    names, probabilities = predictions.class_names, predictions.probabilities[position]
    novelty = _known(float(predictions.novelty[position]))
    return {
        "predicted": predictions.predicted[position],
        **{f"{PROBABILITY_PREFIX}{name}": float(p) for name, p in zip(names, probabilities, strict=True)},
        "confidence": float(predictions.confidence[position]),
        "margin": float(predictions.margin[position]),
        "conformal_set": [name for name, is_in in zip(names, predictions.sets[position], strict=True) if is_in],
        "abstain": bool(predictions.abstain[position]),
        "novelty": novelty,
        "is_novel": None if novelty is None else bool(predictions.is_novel[position]),
    }


def write_part(path: Path, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
    """Write some rows to a Parquet file of their own."""
    with replacing(path) as temporary:
        pq.write_table(pa.Table.from_pylist(list(rows), schema), temporary)


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
            counts[name] += table[name].to_pylist().count(True)
    return counts


def format_counts(counts: dict[str, int]) -> str:
    """Return what ``count_rows`` counted as a sentence."""
    return (
        f"{counts['rows']:,} rows, {counts['error']:,} with an error; {counts['abstain']:,} are left to a person, of which "
        f"{counts['is_novel']:,} are unlike the training galaxies."
    )


def make_safe(value: Any) -> str:
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


def _known(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _clean(text: str) -> str:
    """Return text that UTF-8 can hold: a name may have any bytes. What is not UTF-8 is taken for Latin-1."""
    content = text.encode("utf-8", "surrogateescape")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")
