"""The table beside a kept survey, ``my_survey.table/``: what was read of each galaxy, a Parquet file a block, in row order.

    my_survey.table/
        000000.parquet   the rows of the first shard; its metadata holds the digests of shard, images and inputs
        _survey.json     under which conditions the numbers were made

A part is written after its shard, and then the block goes on record, so a part never speaks of numbers that are not there.
Legend: N rows, B rows of a batch.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from galaxies.errors import InputError
from galaxies.files import replacing
from galaxies.prediction.table import GALAXY_SCHEMA

CONDITIONS_NAME = "_survey.json"


@dataclass(frozen=True)
class BlockRecord:
    """What is on record of one block, in the metadata of its part."""

    key: str  # of the survey's identity
    shard_sha256: str
    images_sha256: str  # over the CRC32C of each image that the network saw, which finds a changed input
    inputs_sha256: str  # as Listing.digest gives it


@dataclass(frozen=True)
class Read:
    """What was read of the inputs of a batch."""

    galaxies: pa.RecordBatch  # (B,) in GALAXY_SCHEMA
    crc32c: tuple[int | None, ...]  # (B,) of the images, None where there is none


class TableWriter:
    """Writes the parts, while ``fill_blocks`` fills the shards."""

    def __init__(self, folder: Path, key: str, digest_inputs: Callable[[int, int], str]) -> None:
        """Take the folder of the parts, the key of the identity, and what stands for the inputs of a block's rows."""
        folder.mkdir(exist_ok=True)
        self._folder, self._key, self._digest_inputs = folder, key, digest_inputs
        self._start, self._read = 0, list[Read]()  # of the block that is collected

    def add(self, start: int, beside: Read, failures: Mapping[int, str]) -> None:
        """Take what was read of a batch, and why the network has no answer for some of its rows."""
        if not self._read:
            self._start = start
        if failures:
            galaxies = beside.galaxies
            errors = [failures.get(row, error) for row, error in enumerate(galaxies["error"].to_pylist())]
            place = GALAXY_SCHEMA.get_field_index("error")
            beside = Read(galaxies.set_column(place, GALAXY_SCHEMA.field(place), pa.array(errors, pa.string())), beside.crc32c)
        self._read.append(beside)

    def take(self, number: int) -> Callable[[str], None]:
        """Return what writes the part of block ``number``, given the digest of its shard."""
        galaxies = pa.Table.from_batches([read.galaxies for read in self._read], GALAXY_SCHEMA).combine_chunks()
        images = hashlib.sha256(repr([checksum for read in self._read for checksum in read.crc32c]).encode())
        inputs = self._digest_inputs(self._start, self._start + len(galaxies))
        self._read = []

        def write(shard_sha256: str) -> None:
            record = BlockRecord(self._key, shard_sha256, images.hexdigest(), inputs)
            with replacing(self._folder / part_name(number)) as temporary:
                about = {"galaxies": json.dumps(asdict(record), sort_keys=True)}
                pq.write_table(galaxies.replace_schema_metadata(about), temporary, write_page_checksum=True)

        return write


class KeptTable:
    """The finished table of a survey.

    Attributes:
        folder: of the parts.
    """

    def __init__(self, folder: Path, *, num_rows: int, block_rows: int, key: str) -> None:
        """Open it. Raises InputError unless there is a part for each block of the store: a kill leaves a store without."""
        self.folder, self._num_rows, self._block_rows = folder, num_rows, block_rows
        num_parts = -(-num_rows // block_rows)
        found = len(list(folder.glob("*.parquet")))
        record = read_record(folder / part_name(num_parts - 1))
        if found != num_parts or record is None or record.key != key:
            raise InputError(
                f"{folder}: found {found} parts, expected are the {num_parts} of the store beside it; the run that kept it did "
                "not end. Run the same command again: what is finished is not computed once more."
            )

    def __len__(self) -> int:
        return self._num_rows

    def read(self, start: int, stop: int, columns: list[str] | None = None) -> pa.RecordBatch:
        """Return some rows, in GALAXY_SCHEMA. Raises InputError where a part is damaged."""
        parts = []
        for number in range(start // self._block_rows, -(-stop // self._block_rows)):
            first = number * self._block_rows
            part = self._read_part(number, columns)
            parts.append(part.slice(max(start - first, 0), min(stop - first, len(part)) - max(start - first, 0)))
        schema = GALAXY_SCHEMA if columns is None else pa.schema([GALAXY_SCHEMA.field(name) for name in columns])
        table = pa.concat_tables([part.cast(schema) for part in parts]) if parts else schema.empty_table()
        arrays = [column.combine_chunks() for column in table.columns]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def read_groups(self, start: int, stop: int) -> pa.Int64Array:
        """Return the sky group of some rows: nobody has looked for it."""
        return pa.nulls(stop - start, pa.int64())

    def list_classes(self) -> list[str]:
        """Return the labels of the inputs, sorted."""
        found: set[str | None] = set()
        for start in range(0, self._num_rows, self._block_rows):
            labels = self.read(start, min(start + self._block_rows, self._num_rows), ["label"])["label"]
            found.update(labels.unique().to_pylist())
        return sorted(label for label in found if label is not None)

    def _read_part(self, number: int, columns: list[str] | None) -> pa.Table:
        path = self.folder / part_name(number)
        wanted = min(self._block_rows, self._num_rows - number * self._block_rows)
        try:
            part = pq.ParquetFile(path, page_checksum_verification=True).read(columns)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{path} cannot be read ({error}). {_AGAIN}") from error
        if len(part) != wanted:
            raise InputError(f"{path} has {len(part)} rows, expected are {wanted}. {_AGAIN}")
        return part


_AGAIN = "Delete the file and run the command that kept the survey again: it makes this block anew."


def part_name(number: int) -> str:
    """Return the name of the part of a block."""
    return f"{number:06d}.parquet"


def read_record(part: Path) -> BlockRecord | None:
    """Return what is on record of a block, or None where its part is missing or none of ours."""
    try:
        metadata = pq.read_schema(part).metadata or {}
        return BlockRecord(**json.loads(metadata[b"galaxies"]))
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError):
        return None


def list_parts(folder: Path) -> Iterator[str]:
    """Yield the names of the files of a finished table."""
    yield from sorted(path.name for path in folder.glob("[0-9]*.parquet"))
    yield CONDITIONS_NAME


def table_path(survey: Path) -> Path:
    """Return the folder of the table of the survey at ``survey``, ``my_survey.zarr``."""
    return survey.with_suffix(".table")
