"""Where unfinished stores live until they are whole, and how they reach their final name.

DVC deletes or rolls back an unfinished out, so work in progress stands in a folder of its own, named by everything that
determines its numbers, in DVC's temporary folder of the *main* repository: every way to run the pipeline finds it there.
One such folder serves the layers of one forward pass:

    .dvc/tmp/extract/<key of the identity without the layer>/
        lock               held by the process that plans and publishes
        record.json        which stores there are, and under which conditions they are made
        <layer>.zarr       a store in the making; it stays until a later stage has opened the published one
        <layer>.shards/    for each finished shard a file of its name that holds its digest

A shard and its file are written by whoever fills the block, so that any number of workers can fill blocks of one store without
another state between them.
"""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galaxies.errors import InputError
from galaxies.features.identity import Identity
from galaxies.features.store import ARRAY_NAME, Layout, create_store
from galaxies.files import explain_disk_errors, file_sha256, locked, write_text

SCRATCH_FOLDER = Path(".dvc", "tmp", "extract")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LayerScratch:
    """One store in the making, for whoever writes shards of it, in whatever process."""

    folder: Path  # of the forward pass
    layer: str

    @property
    def path(self) -> Path:
        """Of the store."""
        return self.folder / f"{self.layer}.zarr"

    @property
    def _digests(self) -> Path:
        return self.folder / f"{self.layer}.shards"

    def has_shard(self, name: str) -> bool:
        """Tell whether the shard in the file ``name`` is finished."""
        return (self._digests / name).is_file()

    def finish_shard(self, name: str) -> None:
        """Record a shard whose file is whole: from now on a kill cannot cost it."""
        write_text(self._digests / name, file_sha256(self.path / ARRAY_NAME / name))

    def forget_shard(self, name: str) -> None:
        """Take a shard off the record, so that it is computed again."""
        (self._digests / name).unlink(missing_ok=True)

    def finished_shards(self) -> dict[str, str]:
        """Return the digest of each shard on record."""
        return {file.name: file.read_text(encoding="utf-8") for file in self._digests.glob("c.*")}

    def delete(self) -> None:
        """Delete the store."""
        # First off the record, then off the disk: a kill between the two must not leave a record of what is gone.
        shutil.rmtree(self._digests, ignore_errors=True)
        shutil.rmtree(self.path, ignore_errors=True)


class Scratch:
    """The unfinished stores of one forward pass, held under a lock. Made by :func:`open_scratch`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._record: dict[str, Any] = _read_record(folder / "record.json")

    def begin(self, conditions: Mapping[str, Any]) -> None:
        """Start or continue a run under ``conditions``: what may change bits although it is in no identity.

        Unfinished layers of a run under others are thrown away: a store never mixes two devices or versions.
        """
        if self._record["conditions"] == conditions:
            return
        unfinished = [layer for layer in self._record["layers"] if not self.is_complete(layer)]
        if unfinished:
            _logger.warning(
                "unfinished activations of %s were made under %s; this run is under %s and starts anew",
                ", ".join(unfinished),
                self._record["conditions"],
                dict(conditions),
            )
        for layer in unfinished:
            self._forget(layer)
        self._record["conditions"] = dict(conditions)
        self._save()

    def open_layer(self, layer: str, *, num_rows: int, layout: Layout, identity: Identity) -> LayerScratch:
        """Return the store in the making of ``layer``: continued where its files are what the record says, else a new one."""
        if layer in self._record["layers"]:
            self._drop_damaged(layer)
        if self._record["layers"].get(layer, {}).get("key") != identity.key:
            self._forget(layer)
            path = self.store_path(layer)
            create_store(path, num_rows=num_rows, layout=layout, identity=identity)
            self._record["layers"][layer] = {
                "key": identity.key,
                "num_shards": -(-num_rows // layout.shard_rows),
                "metadata": {str(file.relative_to(path)): file_sha256(file) for file in path.rglob("zarr.json")},
            }
            self._save()
        return LayerScratch(self.folder, layer)

    def store_path(self, layer: str) -> Path:
        """Return where the store in the making of ``layer`` stands."""
        return LayerScratch(self.folder, layer).path

    def is_complete(self, layer: str) -> bool:
        """Tell whether every shard of the store of ``layer`` is on record."""
        entry = self._record["layers"].get(layer)
        return entry is not None and len(LayerScratch(self.folder, layer).finished_shards()) == entry["num_shards"]

    def publish(self, layer: str, out: Path) -> None:
        """Give a complete store its final name ``out`` in one step, and keep the scratch copy.

        DVC hashes an out for seconds after the stage has ended; a kill in that time makes it delete the out, and the next
        run publishes again without computing. The files are hard links (copies across file systems), so this is quick.
        """
        self._drop_damaged(layer)
        if not self.is_complete(layer):
            raise InputError(
                f"{self.store_path(layer)} was damaged after it was finished; the damaged part was thrown away. Run the same "
                "command again to compute it."
            )
        out.parent.mkdir(parents=True, exist_ok=True)
        for leftover in out.parent.glob(f".{out.name}.*"):
            shutil.rmtree(leftover)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        temporary.chmod(0o755)
        try:
            self._link_files(layer, temporary)
        except BaseException:
            # On a disk that is full, half a copy would be in the way of making room.
            shutil.rmtree(temporary)
            raise
        if out.exists():
            shutil.rmtree(out)
        temporary.rename(out)

    def discard(self, layer: str) -> None:
        """Throw the scratch copy of ``layer`` away, and the whole folder with the last one."""
        self._forget(layer)
        self._save()
        if not self._record["layers"]:
            shutil.rmtree(self.folder)

    def _files(self, layer: str) -> dict[str, str]:
        """Return the digest of each file of a store that is on record, by its name in the store."""
        metadata: dict[str, str] = self._record["layers"][layer]["metadata"]
        shards = LayerScratch(self.folder, layer).finished_shards()
        return metadata | {f"{ARRAY_NAME}/{name}": digest for name, digest in shards.items()}

    def _link_files(self, layer: str, target: Path) -> None:
        """Link, or copy, exactly the recorded files: a kill leaves others (Zarr's *.partial), which DVC would hash too."""
        source = self.store_path(layer)
        for name in self._files(layer):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source / name, target / name)
            except OSError:  # Another file system, or one without hard links.
                shutil.copyfile(source / name, target / name)

    def _drop_damaged(self, layer: str) -> None:
        """Take shards off the record whose file is gone or changed: they are computed again, never read.

        What is not on record is deleted too: zarr-python reads a shard before it writes it, and stumbles over a damaged one.
        """
        store, files = LayerScratch(self.folder, layer), self._files(layer)
        damaged = [name for name, digest in files.items() if not _has_digest(store.path / name, digest)]
        if damaged:
            _logger.warning("%s: %d files are damaged (%s …) and are made again", store.path, len(damaged), damaged[0])
        if any(name in self._record["layers"][layer]["metadata"] for name in damaged):
            self._forget(layer)
            return
        for name in damaged:
            store.forget_shard(Path(name).name)
            del files[name]
        for file in store.path.rglob("*"):
            if file.is_file() and str(file.relative_to(store.path)) not in files:
                file.unlink()

    def _forget(self, layer: str) -> None:
        if self._record["layers"].pop(layer, None) is not None:
            self._save()
        LayerScratch(self.folder, layer).delete()

    def _save(self) -> None:
        write_text(self.folder / "record.json", json.dumps(self._record, indent=1, sort_keys=True))


@contextmanager
def open_scratch(root: Path, pass_key: str) -> Iterator[Scratch]:
    """Hold the scratch folder ``root / SCRATCH_FOLDER / pass_key`` while the block runs.

    A second process, as when only ``dvc`` was killed and its stage lives on, waits here until the first has ended. A full
    disk or a missing permission in the block becomes an InputError.
    """
    folder = root / SCRATCH_FOLDER / pass_key[:32]
    with explain_disk_errors(folder, kept="; finished shards are kept"), locked(folder):
        yield Scratch(folder)


def discard_scratch(root: Path, identity: Identity) -> None:
    """Throw away the scratch copy of a published store that a later stage has opened. A folder in use is left alone."""
    folder = root / SCRATCH_FOLDER / identity.pass_key[:32]
    if not folder.is_dir():
        return
    with suppress(BlockingIOError), locked(folder, wait=False):
        Scratch(folder).discard(identity.layer)


def read_progress(folder: Path) -> dict[str, tuple[int, int]]:
    """Return for each layer in one scratch folder how many shards are finished, and how many there will be."""
    layers: dict[str, dict[str, Any]] = _read_record(folder / "record.json")["layers"]
    return {layer: (len(LayerScratch(folder, layer).finished_shards()), entry["num_shards"]) for layer, entry in layers.items()}


def _has_digest(path: Path, digest: str) -> bool:
    return path.is_file() and file_sha256(path) == digest


def _read_record(path: Path) -> dict[str, Any]:
    """Return the record, or an empty one where it is missing or not one of ours: then the work starts anew."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(record["conditions"], dict) and all(entry["metadata"] for entry in record["layers"].values()):
            return dict(record)
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError, AttributeError):
        _logger.warning("%s is damaged; the work starts anew", path)
    return {"conditions": {}, "layers": {}}
