"""Tables that one stage hands to another: Parquet, written as a stream and read by slice.

What people want to look at is CSV in metrics/. A group of rows is the unit of writing and of reading. It has 65,536 rows, a
multiple of the rows of every store's shard: whoever fills a shard reads one group of the catalog, 3 MB, and nothing else.

Legend: B rows that are asked for.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from galaxies.errors import InputError
from galaxies.files import replacing

GROUP_ROWS = 1 << 16

DICTIONARY = "DICTIONARY"
"""An encoding for columns of few different values; the others are Parquet's own names."""

_METADATA_KEY = "galaxies"


def slice_groups(num_rows: int) -> Iterator[slice]:
    """Yield the rows of each group of a table."""
    return (slice(start, min(start + GROUP_ROWS, num_rows)) for start in range(0, num_rows, GROUP_ROWS))


def write_table(
    path: Path,
    schema: pa.Schema,
    groups: Iterable[pa.Table],
    *,
    encodings: Mapping[str, str],
    about: Mapping[str, object],
) -> None:
    """Write a table; memory does not grow with its length.

    The same rows give the same bytes, as long as pyarrow lays them out in the same way: versions 24 and 26 do, and differ in
    the name that they give themselves in the file; version 21 makes other pages.

    Args:
        path: of the file.
        schema: names and types of the columns.
        groups: the rows in order; all but the last group have GROUP_ROWS.
        encodings: how the file holds a column, by name; PLAIN where nothing is said.
        about: what stands in the file's metadata beside the number of rows, as JSON.
    """
    num_rows = 0
    with replacing(path) as temporary:
        writer = pq.ParquetWriter(
            temporary,
            schema,
            compression="none",  # Digests cannot be compressed, and encodings leave little of the rest.
            use_dictionary=[name for name, encoding in encodings.items() if encoding == DICTIONARY],
            column_encoding={name: encoding for name, encoding in encodings.items() if encoding != DICTIONARY},
            write_statistics=False,
            store_schema=False,
            write_page_checksum=True,
        )
        with writer:
            for group in groups:
                writer.write_table(group, row_group_size=GROUP_ROWS)
                num_rows += len(group)
            writer.add_key_value_metadata({_METADATA_KEY: json.dumps({"num_rows": num_rows, **about})})


class TableFile:
    """An open table: its footer is read, its rows when they are asked for.

    Attributes:
        path: of the file.
        about: what its writer said of it.
    """

    def __init__(self, path: Path, schema: pa.Schema, *, stage: str) -> None:
        """Open the table that ``stage`` wrote. Raises InputError when there is none, or another one."""
        self.path, self._schema = path, schema
        self._again = f"Do not edit it; `dvc repro --force {stage}` makes it again."
        try:
            # Few different names stay numbers while they are read.
            texts = [field.name for field in schema if pa.types.is_dictionary(field.type)]
            self._file = pq.ParquetFile(path, read_dictionary=texts, page_checksum_verification=True)
        except FileNotFoundError:
            raise InputError(f"There is no file {path}; `dvc repro {stage}` makes it.") from None
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path} is not a Parquet file, or damaged ({error}). {self._again}") from error
        if not self._file.schema_arrow.equals(schema):
            found, expected = (", ".join(map(str, fields)) for fields in (self._file.schema_arrow, schema))
            raise InputError(f"{path} has the columns {found}; expected are {expected}. {self._again}")
        self.about: dict[str, Any] = json.loads((self._file.metadata.metadata or {}).get(_METADATA_KEY.encode(), "{}"))
        if self.about.get("num_rows") != len(self):
            raise InputError(f"{path} has {len(self)} rows, but {self.about.get('num_rows')} were written. {self._again}")
        sizes = [self._file.metadata.row_group(number).num_rows for number in range(self._file.num_row_groups)]
        self._starts = np.cumsum([0, *sizes])  # (groups + 1,) the first row of each group, and the number of rows
        self._last: tuple[int, pa.Table] | None = None

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def groups(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield all rows, group by group; of the columns all, or those that are asked for."""
        return (self._read_group(number, columns) for number in range(self._file.num_row_groups))

    def read(self, start: int, stop: int) -> pa.Table:
        """Return the rows from ``start`` to ``stop``."""
        first, last = np.searchsorted(self._starts, [start, stop - 1], side="right") - 1
        parts = []
        for number in range(first, last + 1):
            begin, end = self._starts[number : number + 2].tolist()
            parts.append(self._group(number).slice(max(start - begin, 0), min(stop, end) - max(start, begin)))
        return pa.concat_tables([self._schema.empty_table(), *parts]).combine_chunks()

    def take(self, rows: NDArray[np.int64]) -> pa.Table:
        """Return the rows with the numbers ``rows``, (B,) in any order; groups without any of them are not read."""
        groups = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(groups, kind="stable")
        numbers, first = np.unique(groups[order], return_index=True)
        places = np.split((rows - self._starts[groups])[order], first[1:])  # in each group
        parts = [self._group(number).take(some) for number, some in zip(numbers.tolist(), places, strict=False)]
        taken = pa.concat_tables([self._schema.empty_table(), *parts]).combine_chunks()
        return taken.take(np.argsort(order, kind="stable"))

    def require_rows(self, table: pa.Table, rows: NDArray[np.int64]) -> None:
        """Raise InputError unless the column ``row`` of a part of a table that counts its rows holds ``rows``."""
        if not np.array_equal(table["row"].to_numpy(), rows):
            raise InputError(f"{self.path}: the column `row` must count from 0. {self._again}")

    def _group(self, number: int) -> pa.Table:
        """Return a whole group; the last one stays in memory, because the next rows mostly stand in it too."""
        last = self._last
        if last is None or last[0] != number:
            last = self._last = (number, self._read_group(number))
        return last[1]

    def _read_group(self, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        try:
            return self._file.read_row_group(number, columns=columns)
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"{self.path}: the rows from {self._starts[number]} on are damaged ({error}). {self._again}"
            ) from error
