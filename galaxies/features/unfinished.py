"""Unfinished stores: where they stand until they are whole, and how they reach their final name.

The layers of one forward pass share a work folder, named by their identity without the layer:

    .dvc/tmp/extract/<key>/
        <key>.onnx         the network as ONNX Runtime takes it, where that runs it
        <layer>.record     which store this is, and the digests of its metadata
        <layer>.zarr       a store in the making; it stays until a later stage has opened the published one
        <layer>.shards/    for each finished shard a file of its name that holds its digest

A shard and its file are written by whoever fills the block, so that any number of workers can fill blocks of one store without
another state between them.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from galaxies.errors import InputError
from galaxies.features.identity import Identity
from galaxies.features.publishing import publish_files
from galaxies.features.store import ARRAY_NAME, Layout, create_store, holds_store
from galaxies.files import file_sha256, link_or_copy, write_json, write_text
from galaxies.work_folder import WorkFolder, locked, open_work_folder, work_path

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Record:
    """What a store in the making is, once its metadata is written."""

    key: str  # of its identity
    num_rows: int
    num_shards: int
    metadata: dict[str, str]  # the digest of each file that is no shard, by its name in the store; empty while they are made


@dataclass(frozen=True)
class UnfinishedStore:
    """The store of one layer in the making, for whoever writes shards of it, in whatever process."""

    folder: Path  # of the forward pass
    layer: str

    @property
    def path(self) -> Path:
        """Of the store."""
        return self.folder / f"{self.layer}.zarr"

    @property
    def is_complete(self) -> bool:
        """Whether every shard is on record."""
        done, all_ = self.count_shards()
        return 0 < all_ == done

    def count_shards(self) -> tuple[int, int]:
        """Return how many shards are finished and how many there will be; 0 where nothing is on record."""
        record = self._read_record()
        return sum(1 for _ in self._digests.glob("c.*")), record.num_shards if record else 0

    def has_shard(self, name: str) -> bool:
        """Tell whether the shard in the file ``name`` is finished."""
        return (self._digests / name).is_file()

    def list_shards(self) -> dict[str, str]:
        """Return the digest of each finished shard, by the name of its file."""
        return self._read_digests()

    def write_shard(self, name: str, content: Iterable[bytes], then: Callable[[str], None] | None = None) -> None:
        """Write a shard, call ``then`` with its digest, and put that on record: from now on a kill cannot cost it."""
        path, digest = self.path / ARRAY_NAME / name, hashlib.sha256()
        temporary = path.with_name(f".{name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                for part in content:
                    digest.update(part)
                    file.write(part)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)  # On a disk that is full, half a shard would be in the way of making room.
        if then is not None:
            then(digest.hexdigest())
        write_text(self._digests / name, digest.hexdigest())

    def adopt_shard(self, name: str, source: Path, digest: str) -> bool:
        """Take a shard of another store, and put it on record; return False where ``source`` is not what its digest says."""
        if not _has_digest(source, digest):
            return False
        path = self.path / ARRAY_NAME / name
        path.unlink(missing_ok=True)
        link_or_copy(source, path)
        write_text(self._digests / name, digest)
        return True

    def forget_shard(self, name: str) -> None:
        """Take a shard off the record: it is made again."""
        (self._digests / name).unlink(missing_ok=True)

    def open(self, *, num_rows: int, layout: Layout, identity: Identity) -> None:
        """Continue the store where its files are what the record says, else make a new one.

        Of another number of rows, as a kept survey may have that grows, the shards stay: whoever knows what is in them says
        which are to be made again.
        """
        self._drop_damaged()
        record = self._read_record()
        if record and record.key == identity.key:
            if record.num_rows == num_rows and record.metadata:
                return
            write_json(self._record, asdict(_Record(identity.key, num_rows, 0, {})))
            self._drop_damaged()  # What says how many rows there are is on record no more.
        else:
            self.delete()
        create_store(self.path, num_rows=num_rows, layout=layout, identity=identity)
        metadata = {str(file.relative_to(self.path)): file_sha256(file) for file in self.path.rglob("zarr.json")}
        record = _Record(identity.key, num_rows, -(-num_rows // layout.shard_rows), metadata)
        write_json(self._record, asdict(record))

    def publish(self, out: Path) -> None:
        """Give the complete store its final name ``out`` in one step, and keep it here.

        DVC hashes an out for seconds after the stage has ended; a kill in that time makes it delete the out, and the next
        run publishes again without computing.
        """
        self._drop_damaged()
        record = self._read_record()
        if record is None or not self.is_complete:
            raise InputError(
                f"{self.path} was damaged after it was finished; the damaged part was thrown away. Run the same command again "
                "to compute it."
            )
        # Exactly the recorded files: a kill leaves others (Zarr's *.partial), which DVC would hash too.
        publish_files(self.path, self._files(record), out)

    def delete(self) -> None:
        """Delete the store."""
        # First off the record, then off the disk: a kill between the two must not leave a record of what is gone.
        self._record.unlink(missing_ok=True)
        shutil.rmtree(self._digests, ignore_errors=True)
        shutil.rmtree(self.path, ignore_errors=True)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all that it has in the folder."""
        return self._record.name, self._digests.name, self.path.name

    @property
    def _record(self) -> Path:
        return self.folder / f"{self.layer}.record"

    @property
    def _digests(self) -> Path:
        return self.folder / f"{self.layer}.shards"

    def _read_record(self) -> _Record | None:
        """Return the record, or None where it is missing or not one of ours: then the work starts anew."""
        try:
            record = _Record(**json.loads(self._record.read_text(encoding="utf-8")))
            if record.num_shards >= 0:
                return record
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            pass
        _logger.warning("%s is damaged; the work starts anew", self._record)
        return None

    def _read_digests(self) -> dict[str, str]:
        """Return the digest of each shard on record."""
        return {file.name: file.read_text(encoding="utf-8") for file in self._digests.glob("c.*")}

    def _files(self, record: _Record) -> dict[str, str]:
        """Return the digest of each file that is on record, by its name in the store."""
        return record.metadata | {f"{ARRAY_NAME}/{name}": digest for name, digest in self._read_digests().items()}

    def _drop_damaged(self) -> None:
        """Take shards off the record whose file is gone or changed: they are computed again, never read.

        What is not on record is deleted too: half a shard of a killed run.
        """
        record = self._read_record()
        if record is None:
            return
        files = self._files(record)
        damaged = [name for name, digest in files.items() if not _has_digest(self.path / name, digest)]
        if damaged:
            _logger.warning("%s: %d files are damaged (%s …) and are made again", self.path, len(damaged), damaged[0])
        if any(name in record.metadata for name in damaged):
            self.delete()
            return
        for name in damaged:
            (self._digests / Path(name).name).unlink(missing_ok=True)
            del files[name]
        for file in self.path.rglob("*"):
            if file.is_file() and str(file.relative_to(self.path)) not in files:
                file.unlink()


@dataclass(frozen=True)
class UnfinishedStores:
    """The unfinished stores of one forward pass, held under a lock. Made by :func:`open_unfinished`."""

    work: WorkFolder

    def __getitem__(self, layer: str) -> UnfinishedStore:
        """Return the store of a layer, which need not be there yet."""
        return UnfinishedStore(self.work.path, layer)

    def begin(self, conditions: Mapping[str, object], *, keep: Collection[str] = ()) -> None:
        """Start or continue a run under ``conditions``: what may change bits although it is in no identity.

        Unfinished stores of a run under others are thrown away, for a store never mixes two devices or versions; a complete
        one stays, and what else in the folder ``keep`` names.
        """
        complete = [store for store in list_unfinished_stores(self.work.path) if store.is_complete]
        self.work.begin(conditions, keep=[*keep, *(name for store in complete for name in store.names)])

    def choose_layers(self, layer: str, identities: Mapping[str, Identity], places: Mapping[str, Path]) -> dict[str, Identity]:
        """Return what to fill in one forward pass: the layer, and others of the same pass that are nowhere yet.

        Args:
            layer: whose store is wanted now; nothing has to be filled where it is complete.
            identities: of all layers that are kept.
            places: where their stores will stand, by layer.
        """
        if self[layer].is_complete:
            return {}
        # Resized images need no forward pass, so `input` makes a pass, and has a key, of its own.
        together = {name: identity for name, identity in identities.items() if identity.pass_key == identities[layer].pass_key}
        return {
            name: identity
            for name, identity in together.items()
            if name == layer or not (self[name].is_complete or holds_store(places[name], identity))
        }


@contextmanager
def open_unfinished(root: Path, identity: Identity) -> Iterator[UnfinishedStores]:
    """Hold the work folder of the forward pass that ``identity`` is of while the block runs; a second process waits."""
    with open_work_folder(work_path(root, "extract", identity.pass_json())) as work:
        yield UnfinishedStores(work)


def discard_unfinished(root: Path, identity: Identity) -> None:
    """Throw away the work copy of a published store that a later stage has opened. A folder in use is left alone."""
    folder = work_path(root, "extract", identity.pass_json())
    if folder.is_dir():
        with suppress(BlockingIOError), locked(folder, wait=False):
            UnfinishedStore(folder, identity.layer).delete()
            if not list_unfinished_stores(folder):
                WorkFolder(folder).discard()


def list_unfinished_stores(folder: Path) -> list[UnfinishedStore]:
    """Return the stores of which a record stands in the folder of a forward pass."""
    return [UnfinishedStore(folder, file.stem) for file in sorted(folder.glob("*.record"))]


def _has_digest(path: Path, digest: str) -> bool:
    return path.is_file() and file_sha256(path) == digest


def describe_stores(folder: Path) -> str:
    """Say how far the stores in the folder of a forward pass are."""
    counts = ((store.layer, *store.count_shards()) for store in list_unfinished_stores(folder))
    return ", ".join(f"{layer} {done}/{all_} shards" for layer, done, all_ in counts) or "no shards"
