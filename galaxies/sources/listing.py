"""The inputs of a prediction, listed once and kept in a file: read by block, and known to be the same after a kill.

Beside each other stand ``inputs.arrow``, the inputs, and ``inputs.json``, which says of what and holds the digest of that. A
million inputs of a catalogue take 20 s to list, of which a resumed run is spared all but the look at each file: is it still of
this size and age? What changed is known by block.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from galaxies.files import file_sha256, replacing, write_json
from galaxies.sources.decoding import batched
from galaxies.sources.inputs import Input

LISTING_NAMES = ("inputs.arrow", "inputs.json")

# No block has more rows, and each begins where a batch of them does or within one.
_BATCH_ROWS = 512
_DIGEST_BYTES = 16
_GONE = -1

_SCHEMA = pa.schema(
    [
        pa.field("id", pa.binary()),
        pa.field("files", pa.list_(pa.binary())),
        pa.field("index", pa.int64()),
        pa.field("ra", pa.float64()),
        pa.field("dec", pa.float64()),
        pa.field("pxscale", pa.float64()),
        pa.field("label", pa.binary()),
        pa.field("error", pa.binary()),
        pa.field("notes", pa.list_(pa.binary())),
        pa.field("is_lost", pa.bool_()),
        pa.field("digest", pa.binary(_DIGEST_BYTES)),  # of all of these
        pa.field("states", pa.list_(pa.int64())),  # size and time of change of each file, in turn
    ]
)


class Listing:
    """The listed inputs, open for reading by one thread at a time. Use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        """Open what :func:`keep_listing` has written in a folder."""
        about = json.loads((folder / LISTING_NAMES[1]).read_text(encoding="utf-8"))
        self.is_labelled: bool = about["is_labelled"]
        self._num_inputs: int = about["num_inputs"]
        self._source = pa.OSFile(str(folder / LISTING_NAMES[0]))
        self._batches = pa.ipc.open_file(self._source)
        self._read: tuple[int, pa.RecordBatch | None] = (-1, None)

    def __len__(self) -> int:
        return self._num_inputs

    def read(self, start: int, stop: int) -> list[Input]:
        """Return the inputs of some rows of one block."""
        return [_to_input(row) for row in self._slice(start, stop).to_pylist()]

    def digest(self, start: int, stop: int) -> str:
        """Return what stands for the inputs of the rows of a block, and for the state of their files."""
        rows, digest = self._slice(start, stop), hashlib.sha256()
        digest.update(b"".join(rows["digest"].to_pylist()))
        digest.update(rows["states"].flatten().to_numpy().tobytes())
        return digest.hexdigest()

    def _slice(self, start: int, stop: int) -> pa.RecordBatch:
        number, first = divmod(start, _BATCH_ROWS)
        assert stop - start <= _BATCH_ROWS - first
        if self._read[0] != number:
            self._read = number, self._batches.get_batch(number)
        assert self._read[1] is not None
        return self._read[1].slice(first, stop - start)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()


def keep_listing(folder: Path, source: str, asked: Mapping[str, Any], list_all: Callable[[], Iterable[Input]]) -> bool:
    """Make the listing in a folder that of ``source``; return whether it had to be listed for that.

    Args:
        folder: to keep it in.
        source: a file, a folder or a pattern.
        asked: JSON values: what else determines the inputs.
        list_all: lists them. An unchanged catalogue, or a folder in which no file has come or gone, is not listed again;
            what a pattern finds always is.
    """
    wanted = {"source": source, "asked": dict(asked)}
    found = _read_about(folder)
    if found is not None and _is_current(folder, found, wanted):
        _refresh(folder, found)
        return False
    places = _state_of_source(Path(source))  # Before it is read: what changes meanwhile is found the next time.
    num_inputs, is_labelled = 0, False

    def tabulate() -> Iterator[pa.RecordBatch]:
        nonlocal num_inputs, is_labelled
        for inputs in batched(list_all(), _BATCH_ROWS):
            num_inputs += len(inputs)
            is_labelled = is_labelled or any(entry.label is not None for entry in inputs)
            yield _tabulate(inputs)

    _write(folder, tabulate())
    about = {**wanted, "places": places}
    digest = file_sha256(folder / LISTING_NAMES[0])
    write_json(folder / LISTING_NAMES[1], {**about, "num_inputs": num_inputs, "is_labelled": is_labelled, "sha256": digest})
    return True


def _read_about(folder: Path) -> dict[str, Any] | None:
    try:
        about: dict[str, Any] = json.loads((folder / LISTING_NAMES[1]).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return about if (folder / LISTING_NAMES[0]).is_file() else None


def _write(folder: Path, batches: Iterable[pa.RecordBatch]) -> None:
    (folder / LISTING_NAMES[1]).unlink(missing_ok=True)
    with replacing(folder / LISTING_NAMES[0]) as temporary, pa.ipc.new_file(str(temporary), _SCHEMA) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _refresh(folder: Path, about: dict[str, Any]) -> None:
    """Look at every file again, and write the listing anew where one has changed."""

    def refreshed() -> Iterator[pa.RecordBatch]:
        for batch in _read_batches(folder):
            yield batch.set_column(_SCHEMA.get_field_index("states"), _SCHEMA.field("states"), _find_states(batch["files"]))

    if all(batch["states"].equals(_find_states(batch["files"])) for batch in _read_batches(folder)):
        return
    _write(folder, refreshed())
    write_json(folder / LISTING_NAMES[1], {**about, "sha256": file_sha256(folder / LISTING_NAMES[0])})


def _read_batches(folder: Path) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(str(folder / LISTING_NAMES[0])) as source:
        batches = pa.ipc.open_file(source)
        yield from map(batches.get_batch, range(batches.num_record_batches))


def _state_of_source(source: Path) -> list[list[Any]] | None:
    """Return the places that say whether other inputs would be found, and when each changed; None where none do."""
    if source.is_dir():
        return [[folder, *_look(folder)] for folder, _, _ in os.walk(source)]
    return [[os.fspath(source), *_look(source)]] if source.is_file() else None


def _is_current(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Tell whether a listing is what was wanted, where no other inputs would be found, and whole."""
    if {name: found[name] for name in wanted} != dict(wanted) or found["places"] is None:
        return False
    is_same = all(_look(place) == tuple(state) for place, *state in found["places"])
    return is_same and bool(found["sha256"] == file_sha256(folder / LISTING_NAMES[0]))


def _look(file: str | bytes | Path) -> tuple[int, int]:
    """Return size and time of change of a file."""
    try:
        status = os.stat(file)  # noqa: PTH116 - a name may be bytes
    except (OSError, ValueError):  # ValueError: a zero byte in the name.
        return _GONE, _GONE
    return status.st_size, status.st_mtime_ns


def _find_states(files: pa.ListArray) -> pa.ListArray:
    """Return the states of files, a list for each of the lists."""
    names = files.flatten().to_pylist()
    known = {name: _look(name) for name in dict.fromkeys(names)}  # Many galaxies may be in one file.
    states: NDArray[np.int64] = np.array([state for name in names for state in known[name]], np.int64)
    return pa.ListArray.from_arrays(pa.array(2 * _offsets(files)), pa.array(states))


def _offsets(lists: pa.ListArray) -> NDArray[np.int32]:
    offsets: NDArray[np.int32] = lists.offsets.to_numpy()
    first: NDArray[np.int32] = offsets - offsets[0]
    return first


def _tabulate(inputs: list[Input]) -> pa.RecordBatch:
    files = pa.array([[os.fsencode(file) for file in entry.files] for entry in inputs], pa.list_(pa.binary()))
    columns = [
        pa.array([_encode(entry.id) for entry in inputs], pa.binary()),
        files,
        pa.array([entry.index for entry in inputs], pa.int64()),
        *(pa.array([getattr(entry, name) for entry in inputs], pa.float64()) for name in ("ra", "dec", "pxscale")),
        pa.array([_encode(entry.label) for entry in inputs], pa.binary()),
        pa.array([_encode(entry.error) for entry in inputs], pa.binary()),
        pa.array([[_encode(note) for note in entry.notes] for entry in inputs], pa.list_(pa.binary())),
        pa.array([entry.is_lost for entry in inputs], pa.bool_()),
        pa.array(
            [hashlib.blake2b(_say(entry), digest_size=_DIGEST_BYTES).digest() for entry in inputs], _SCHEMA.field("digest").type
        ),
        _find_states(files),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=_SCHEMA)


def _say(entry: Input) -> bytes:
    known = (entry.id, entry.index, entry.ra, entry.dec, entry.pxscale, entry.label, entry.error, entry.notes, entry.is_lost)
    return _encode(repr((known, [os.fspath(file) for file in entry.files]))) or b""


def _to_input(row: Mapping[str, Any]) -> Input:
    return Input(
        _decode(row["id"]) or "",
        tuple(Path(os.fsdecode(file)) for file in row["files"]),
        row["index"],
        row["ra"],
        row["dec"],
        row["pxscale"],
        _decode(row["label"]),
        _decode(row["error"]),
        tuple(_decode(note) or "" for note in row["notes"]),
        row["is_lost"],
    )


def _encode(text: str | None) -> bytes | None:
    # Names of files have any bytes, which Python keeps as halves of surrogates.
    return None if text is None else text.encode("utf-8", "surrogatepass")


def _decode(content: bytes | None) -> str | None:
    return None if content is None else content.decode("utf-8", "surrogatepass")
