"""An unfinished store: where it stands until it is whole, and how it reaches its final name.

In the work folder of its forward pass (``passes``), or of a prediction, stand:

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
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from galaxies.errors import InputError
from galaxies.features.identity import Identity
from galaxies.features.publishing import publish_files
from galaxies.features.store import ARRAY_NAME, Layout, create_store
from galaxies.files import file_sha256, link_or_copy, write_json, write_text

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

    def count_shards_since(self, moment: float) -> int:
        """Return how many shards were finished after a moment, in seconds since 1970."""
        return sum(file.stat().st_mtime >= moment for file in self._digests.glob("c.*"))

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


def _has_digest(path: Path, digest: str) -> bool:
    return path.is_file() and file_sha256(path) == digest
