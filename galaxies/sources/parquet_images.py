"""Galaxies whose encoded images stand in Parquet files: their columns are taken over, the images stay where they are.

Legend: M galaxies, F files, G row groups, K classes.
"""

import io
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tqdm import tqdm

from galaxies.data.galaxy_schema import POSITION_COLUMNS, id_complaints
from galaxies.data.image_files import DAMAGE_ERRORS, read_image, say_damage
from galaxies.data.image_listing import ImageListing, list_file
from galaxies.data.labels import judge_labels, order_classes
from galaxies.data.listing_writer import GalaxyColumns, write_listed
from galaxies.data.parquet_images import unnest
from galaxies.data.splits import UNLABELLED
from galaxies.errors import InputError
from galaxies.files import format_bytes, require_digest
from galaxies.sources.image_catalogue import list_complaints, refuse_complaints
from galaxies.sources.parquet_tables import TableColumns, find_columns, find_tables, read_schema, require_columns
from galaxies.tables.cells import clean, read_label, read_position, read_positions

# A reader holds whole groups. Hugging Face's own writer makes groups of 100 or 1,000 images.
_LARGEST_GROUP = 512 << 20

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ParquetSet:
    """Some files, as they are found."""

    listing: ImageListing
    columns: TableColumns
    tables: Sequence[Path]  # F


def open_set(path: Path, image: str | None = None) -> ParquetSet:
    """Look at the footers of the files that ``path`` means, and at the first image.

    Args:
        path: as :func:`galaxies.sources.parquet_tables.find_tables` takes it.
        image: the column of images; None: found out.

    Raises:
        InputError: a file is no Parquet file, lacks a column or has too large row groups; or the first image cannot be used.
    """
    tables = [table.absolute() for table in find_tables(path)]  # Not resolved: caches hold links to nameless files.
    columns = find_columns(tables, image)
    folder = Path(os.path.commonpath([table.parent for table in tables]))
    files, groups = [], []
    for number, table in enumerate(tqdm(tables, "list", unit="file", delay=2)):
        require_columns(table, read_schema(table), columns)
        files.append(list_file(table, folder))
        groups += [[number, *group] for group in _list_groups(table, columns.image)]
    if not groups:
        raise InputError(f"{path}: none of {len(tables)} files has a row.")
    listing = ImageListing(
        folder, columns.image, _measure_first(tables, groups[0], columns.image), tuple(files), np.array(groups)
    )
    return ParquetSet(listing, columns, tables)


def import_parquet(
    out: Path, *, path: Path, image: str | None, sha256: str | None, unlabelled_value: int | None = None
) -> None:
    """Write what Parquet files say of their galaxies, and where each image is, into ``out``.

    Args:
        out: the file of galaxies.
        path: as of :func:`open_set`, as is ``image``.
        image: the column of images.
        sha256: digest of the listing, or ``any``.
        unlabelled_value: a label that is none.

    Raises:
        InputError: everything that is wrong with files and columns; images are looked at by `split`.
    """
    found = open_set(path, image)
    require_digest(found.listing.sha256, sha256, key="download.sha256", what=str(path))
    write_listed(out, found.listing, read_columns(found, unlabelled_value))


def read_columns(found: ParquetSet, unlabelled_value: int | None = None) -> GalaxyColumns:
    """Return what the files say of all galaxies. Raises InputError for ids and labels that can be none."""
    known = found.columns.known
    texts: dict[str, list[Any]] = {"id": [], "label": []}
    numbers: dict[str, list[NDArray[np.float64]]] = {name: [] for name in POSITION_COLUMNS if name in known}
    for table in tqdm(found.tables, "columns", unit="file", delay=2):
        content = pq.read_table(table, columns=list(known.values()), partitioning=None)
        for name, parts in texts.items():
            if name in known:
                parts.append(_to_text(content[known[name]], table, known[name], is_label=name == "label"))
        for name, columns in numbers.items():
            columns.append(_to_numbers(content[known[name]], table, known[name], key=name))
    ids = pa.chunked_array(texts["id"]).combine_chunks() if texts["id"] else None
    if ids is not None:
        refuse_complaints(found.tables[0].parent, list(id_complaints(ids)))
    count = found.listing.num_galaxies
    labels, class_names = np.full(count, UNLABELLED), tuple[str, ...]()
    if texts["label"]:
        labels, class_names = _number_labels(found, pa.chunked_array(texts["label"]), unlabelled_value)
    positions = {
        name: np.concatenate(numbers[name]) if name in numbers else np.full(count, np.nan) for name in POSITION_COLUMNS
    }
    _note_half_positions(found.listing.folder, positions)
    return GalaxyColumns(ids, labels, class_names, positions)


def _list_groups(table: Path, image: str) -> list[list[int]]:
    """Return number, rows and bytes of the images of each row group of a file that has rows."""
    metadata, found = pq.read_metadata(table), []
    names = [metadata.schema.column(place).path for place in range(metadata.num_columns)]
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        num_bytes = group.column(names.index(image)).total_uncompressed_size
        if num_bytes > _LARGEST_GROUP:
            raise InputError(
                f"{table}: row group {number} holds {format_bytes(num_bytes)} of images, at most "
                f"{format_bytes(_LARGEST_GROUP)} are read at once. Write the file anew in smaller groups, as by "
                "`pyarrow.parquet.write_table(table, path, row_group_size=1000)`."
            )
        found += [[number, group.num_rows, num_bytes]] if group.num_rows else []
    return found


def _measure_first(tables: Sequence[Path], group: Sequence[int], image: str) -> int:
    """Return the size of the first image, px; the others must have it too, which `split` finds out."""
    with pq.ParquetFile(tables[group[0]]) as file:
        batch = next(file.iter_batches(1, row_groups=[group[1]], columns=[image]))
    content = unnest(pa.chunked_array([batch.column(0)]))[0]
    where = f"{tables[group[0]]}, the first row"
    if not content.is_valid:
        raise InputError(f"{where}: the column {image} is empty there; the images must stand in the files, not beside them.")
    try:
        height, width, _ = read_image(io.BytesIO(content.as_buffer())).shape
    except DAMAGE_ERRORS as error:
        raise InputError(f"{where}: {image} is no image that can be decoded ({say_damage(error)}).") from error
    if height != width:
        raise InputError(
            f"{where}: the image is {width} x {height} px, expected is a square; cut the images, or take them as files."
        )
    return int(height)


def _to_text(column: Any, table: Path, name: str, *, is_label: bool) -> Any:
    """Return a column as texts."""
    column = _decode(column)
    if pa.types.is_floating(column.type) and not is_label:
        raise InputError(
            f"{table}: the ids in the column {name} are {column.type}, which loses last digits; write whole numbers or text."
        )
    try:
        text = column.cast(pa.string()).combine_chunks()
    except pa.ArrowException as error:
        raise InputError(f"{table}: the column {name} holds {column.type}, expected text or numbers ({error}).") from error
    if not is_label and text.null_count:
        raise InputError(f"{table}: {text.null_count} rows have no id in the column {name}; every galaxy needs one.")
    return text


def _to_numbers(column: Any, table: Path, name: str, *, key: str) -> NDArray[np.float64]:
    """Return a column as numbers; ``ra`` and ``dec`` by the rules of catalogues, and also of texts."""
    column, is_position = _decode(column), key in ("ra", "dec")
    try:
        if is_position and (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            return np.array([_read_cell(text, key, row) for row, text in enumerate(column.to_pylist(), start=1)], np.float64)
        numbers: NDArray[np.float64] = pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy()
    except (pa.ArrowException, ValueError) as error:
        raise InputError(f"{table}: the column {name} holds {column.type}, expected numbers ({error}).") from error
    try:
        return read_positions(numbers, key) if is_position else numbers
    except ValueError as error:
        raise InputError(f"{table}: the column {name}, {error}; a position that is unknown is left empty.") from None


def _read_cell(text: str | None, key: str, row: int) -> float:
    """Return a position as it stands in a catalogue; NaN where it is unknown."""
    cell = clean(text or "")
    try:
        return read_position(cell, key) if cell else np.nan
    except ValueError as error:
        raise ValueError(f"row {row}: {error}") from None


def _decode(column: Any) -> Any:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _note_half_positions(folder: Path, positions: Mapping[str, NDArray[np.float64]]) -> None:
    half = np.flatnonzero(np.isnan(positions["ra"]) != np.isnan(positions["dec"]))
    if len(half):
        _logger.warning(
            "%s: of %d galaxies one of ra and dec is known and the other is not (first: galaxy %d, counted from 0); they count "
            "as galaxies without a position",
            *(folder, len(half), half[0]),
        )


def _number_labels(found: ParquetSet, texts: Any, unlabelled_value: int | None) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return labels, (M,), and what they mean; only the different texts are looked at one by one."""
    encoded = texts.combine_chunks().dictionary_encode()
    names = [read_label(clean(text)) for text in encoded.dictionary.to_pylist()]
    names = ["" if name == str(unlabelled_value) else name for name in names]
    given = found.columns.class_names
    if given is not None:
        # -1 is what the Hugging Face library writes where a class number is unknown.
        names = [
            given[int(name)] if name.isdecimal() and int(name) < len(given) else "" if name == "-1" else name for name in names
        ]
        # The name of what is no label is no class, unless labels are texts and some say it.
        given = tuple(name for number, name in enumerate(given) if number != unlabelled_value or name in names)
    counts = np.bincount(encoded.indices.fill_null(len(names)).to_numpy(), minlength=len(names) + 1)
    by_class: Counter[str] = Counter()
    for name, count in zip(names, counts.tolist(), strict=False):
        by_class.update({name: count} if name else {})
    report = judge_labels(by_class)
    complaints = [report.summary, *report.complaints] if report.complaints else []
    complaints += [f"the label {name!r} is none of {list(given)}" for name in by_class if given and name not in given]
    refuse_complaints(found.listing.folder, complaints)
    if report.doubts and by_class:
        _logger.warning("%s: %s.\n%s", found.listing.folder, report.summary, list_complaints(report.doubts))
    class_names = given or order_classes(by_class)
    numbers = [class_names.index(name) if name else UNLABELLED for name in names]
    indices = encoded.indices.fill_null(len(names)).to_numpy()
    return np.array([*numbers, UNLABELLED], np.int64)[indices], class_names
