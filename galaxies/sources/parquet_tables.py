"""Parquet files that hold encoded images: which files are meant, and which of their columns say what.

The names are those of the galaxy sets on the Hugging Face Hub and of survey catalogues; case does not matter.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from galaxies.errors import InputError
from galaxies.tables.position_names import find_positions

PARQUET_SUFFIXES = (".parquet", ".pq")
LIST_SUFFIX = ".txt"

_IMAGES = ("image", "img", "image_bytes", "jpg", "jpeg", "png", "webp", "picture", "cutout", "thumbnail")
_NAMES = {
    "id": ("id", "id_str", "iauname", "object_id", "objid", "dr8_id", "galaxy_id", "source_id", "targetid", "name"),
    "label": ("label", "labels", "class_name", "class", "morphology", "summary"),
    "redshift": ("redshift",),
    "pxscale": ("pxscale", "pixel_scale", "pixelscale"),
}
_BYTES = "bytes"
_MOST_SHOWN = 20


@dataclass(frozen=True)
class TableColumns:
    """The columns of a set of files, by their names there."""

    image: str  # as Parquet names it: `image`, or `image.bytes` of a struct
    known: dict[str, str]  # of id, label, ra, dec, redshift and pxscale those that there are
    class_names: tuple[str, ...] | None  # what the numbers of the label mean, where the file says so


def find_tables(path: Path) -> list[Path]:
    """Return the Parquet files that ``path`` means, in order: a folder, a pattern with ``*``, a list in a text file, or one.

    Of a folder these are the files in it, or, where it has none, in the folders below.

    Raises:
        InputError: there are none.
    """
    if path.is_dir():
        found = _visible(path.iterdir()) or _visible(path.rglob("*"))
    elif path.suffix.lower() == LIST_SUFFIX and path.is_file():
        lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
        found = [path.parent / line for line in lines if line]
    elif path.is_file():
        found = [path]
    else:
        found = _visible(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor))))
    if not found:
        raise InputError(
            f"{path}: there are no Parquet files ({', '.join(PARQUET_SUFFIXES)}); expected is a folder of them, a pattern such "
            "as 'data/train-*.parquet', a text file with a path a line, or one file."
        )
    return found


def holds_images(path: Path) -> bool:
    """Tell whether ``path`` means Parquet files with a column of encoded images."""
    if path.is_file() and path.suffix.lower() not in PARQUET_SUFFIXES:
        return False
    try:
        find_columns(find_tables(path))
    except InputError:
        return False
    return True


def find_columns(tables: Sequence[Path], image: str | None = None) -> TableColumns:
    """Return the columns of some files, as the first of them has them.

    Args:
        tables: at least one.
        image: the column with the images; None: found out.

    Raises:
        InputError: there is no column of images, or it is not certain which is meant.
    """
    schema = read_schema(tables[0])
    candidates = dict(_list_image_columns(schema))
    chosen = [image] if image is not None else [name for name in candidates if name.lower() in _IMAGES] or list(candidates)
    if len(chosen) != 1 or chosen[0] not in candidates:
        fields = [f"{field.name} ({field.type})" for field in schema][:_MOST_SHOWN]
        which = f"no column {image} of images" if image is not None else f"{len(candidates)} columns that may be images"
        raise InputError(
            f"{tables[0]}: found {which} among {', '.join(fields)}; expected is a column of bytes, or of structs with "
            f"the field {_BYTES}; name it by `-S download.columns=…`."
        )
    by_name = {field.name.strip().lower(): field.name for field in schema if field.name != chosen[0]}
    known = {key: by_name[name] for key, names in _NAMES.items() for name in reversed(names) if name in by_name}
    known |= {key: by_name[name] for key, name in zip(("ra", "dec"), find_positions([*by_name]) or (), strict=False)}
    return TableColumns(candidates[chosen[0]], known, _read_class_names(schema, known.get("label")))


def read_schema(table: Path) -> pa.Schema:
    """Return the schema of one file. Raises InputError when it is no Parquet file."""
    try:
        return pq.read_schema(table)
    except FileNotFoundError:
        raise InputError(f"download.path: there is no file {table}.") from None
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{table} is not a Parquet file, or damaged ({error}).") from error


def require_columns(table: Path, schema: pa.Schema, columns: TableColumns) -> None:
    """Raise InputError where a file lacks a column that the first one has, or its numbers mean other classes."""
    wanted = [columns.image.removesuffix(f".{_BYTES}"), *columns.known.values()]
    missing = [name for name in wanted if name not in schema.names]
    if missing or columns.image not in dict(_list_image_columns(schema)).values():
        raise InputError(
            f"{table}: the columns {', '.join(missing or wanted[:1])} of the first file are missing or of another kind here; "
            f"found are {', '.join(schema.names[:_MOST_SHOWN])}. All files of one set have the same columns."
        )
    class_names = _read_class_names(schema, columns.known.get("label"))
    if class_names != columns.class_names:
        found, expected = (", ".join((names or ("no names",))[:_MOST_SHOWN]) for names in (class_names, columns.class_names))
        raise InputError(
            f"{table}: the class numbers mean {found} here, and {expected} in the first file. All files of one set name the "
            "same classes in the same order: import them apart, or write one of them anew."
        )


def _visible(paths: Iterator[Path]) -> list[Path]:
    return sorted(path for path in paths if path.suffix.lower() in PARQUET_SUFFIXES and not path.name.startswith("."))


def _list_image_columns(schema: pa.Schema) -> Iterator[tuple[str, str]]:
    """Yield the name of each column that may hold images, and what Parquet calls the bytes in it."""
    for field in schema:
        if _is_binary(field.type):
            yield field.name, field.name
        elif pa.types.is_struct(field.type):
            places = [field.type.field(place) for place in range(field.type.num_fields)]
            if any(inner.name == _BYTES and _is_binary(inner.type) for inner in places):
                yield field.name, f"{field.name}.{_BYTES}"


def _is_binary(type_: pa.DataType) -> bool:
    return bool(pa.types.is_binary(type_) or pa.types.is_large_binary(type_))


def _read_class_names(schema: pa.Schema, label: str | None) -> tuple[str, ...] | None:
    """Return the names that the Hugging Face library writes into the metadata of a file for a column of class numbers."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return tuple(map(str, features[label]["names"]))
    except (KeyError, TypeError, ValueError):
        return None
