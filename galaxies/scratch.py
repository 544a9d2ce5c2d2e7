"""Where unfinished stores live until they are whole, and how they reach their final name.

DVC deletes or rolls back an unfinished out, so work in progress stands in a folder of its own, named by everything that
determines its numbers, in DVC's temporary folder of the *main* repository: every way to run the pipeline finds it there.
One such folder serves the layers of one forward pass:

    .dvc/tmp/extract/<key of the identity without the layer>/
        lock               held by the process that writes
        record.json        which files are finished, with their digests; replaced in one step after each shard
        <layer>.zarr       a store in the making; it stays until a later stage has opened the published one
"""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from galaxies.errors import InputError
from galaxies.files import explain_disk_errors, file_sha256, locked, write_text
from galaxies.identity import Identity, identity_key, pass_key
from galaxies.store import Layout, create_store, shard_path

SCRATCH_FOLDER = Path(".dvc", "tmp", "extract")

_logger = logging.getLogger(__name__)


class Scratch:
    """The unfinished stores of one forward pass, held under a lock. Made by :func:`open_scratch`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._intact: set[Path] = set()  # Files this process has written or checked: hashed once, not again to publish.
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

    def open_layer(self, layer: str, *, num_rows: int, layout: Layout, identity: Identity) -> "LayerScratch":
        """Return the store in the making of ``layer``: continued where its files are what the record says, else a new one."""
        entry = self._record["layers"].get(layer)
        path = self.store_path(layer)
        if entry is not None:
            self._drop_damaged(layer)
            self._sweep(layer)
        if entry is None or "zarr.json" not in entry["files"] or entry["key"] != identity_key(identity):
            self._forget(layer)
            create_store(path, num_rows=num_rows, layout=layout, identity=identity)
            files = {str(file.relative_to(path)): file_sha256(file) for file in path.rglob("zarr.json")}
            num_shards = -(-num_rows // layout.shard_rows)
            self._record["layers"][layer] = {"key": identity_key(identity), "num_shards": num_shards, "files": files}
            self._save()
        return LayerScratch(self, layer, num_axes=1 + len(layout.row_shape))

    def store_path(self, layer: str) -> Path:
        """Return where the store in the making of ``layer`` stands."""
        return self.folder / f"{layer}.zarr"

    def is_complete(self, layer: str) -> bool:
        """Tell whether every file of the store of ``layer`` is recorded."""
        entry = self._record["layers"].get(layer)
        # The group's and the array's metadata are files too.
        return entry is not None and len(entry["files"]) == entry["num_shards"] + 2

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

    def _link_files(self, layer: str, target: Path) -> None:
        """Link, or copy, exactly the recorded files: a kill leaves others (Zarr's *.partial), which DVC would hash too."""
        source = self.store_path(layer)
        for name in self._record["layers"][layer]["files"]:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source / name, target / name)
            except OSError:  # Another file system, or one without hard links.
                shutil.copyfile(source / name, target / name)

    def discard(self, layer: str) -> None:
        """Throw the scratch copy of ``layer`` away, and the whole folder with the last one."""
        self._forget(layer)
        self._save()
        if not self._record["layers"]:
            shutil.rmtree(self.folder)

    def _drop_damaged(self, layer: str) -> None:
        """Take files off the record that are gone or changed: a damaged shard is computed again, never read."""
        path, files = self.store_path(layer), self._record["layers"][layer]["files"]
        damaged = [name for name, digest in files.items() if not self._is_intact(path / name, digest)]
        if not damaged:
            return
        _logger.warning("%s: %d files are damaged (%s …) and are made again", path, len(damaged), damaged[0])
        if any(name.endswith("zarr.json") for name in damaged):
            files.clear()
        for name in damaged:
            files.pop(name, None)
        self._save()

    def _sweep(self, layer: str) -> None:
        """Delete what is not on record: zarr-python reads a shard before it writes it, and stumbles over a damaged one."""
        path, files = self.store_path(layer), self._record["layers"][layer]["files"]
        for file in path.rglob("*"):
            if file.is_file() and str(file.relative_to(path)) not in files:
                file.unlink()

    def _is_intact(self, path: Path, digest: str) -> bool:
        if path not in self._intact and path.is_file() and file_sha256(path) == digest:
            self._intact.add(path)
        return path in self._intact

    def _forget(self, layer: str) -> None:
        # First off the record, then off the disk: a kill between the two must not leave a record of what is gone.
        if self._record["layers"].pop(layer, None) is not None:
            self._save()
        shutil.rmtree(self.store_path(layer), ignore_errors=True)

    def _save(self) -> None:
        write_text(self.folder / "record.json", json.dumps(self._record, indent=1, sort_keys=True))


class LayerScratch:
    """One store in the making, written shard by shard."""

    def __init__(self, scratch: Scratch, layer: str, *, num_axes: int) -> None:
        self._scratch, self._num_axes = scratch, num_axes
        self._entry: dict[str, Any] = scratch._record["layers"][layer]
        self.path = scratch.store_path(layer)

    def _shard_name(self, shard: int) -> str:
        return str(shard_path(self.path, shard, self._num_axes).relative_to(self.path))

    def has_shard(self, shard: int) -> bool:
        """Tell whether a shard is finished."""
        return self._shard_name(shard) in self._entry["files"]

    def finish_shard(self, shard: int) -> None:
        """Record a shard whose file is whole: from now on a kill cannot cost it."""
        name = self._shard_name(shard)
        self._entry["files"][name] = file_sha256(self.path / name)
        self._scratch._intact.add(self.path / name)
        self._scratch._save()


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
    folder = root / SCRATCH_FOLDER / pass_key(identity)[:32]
    if not folder.is_dir():
        return
    with suppress(BlockingIOError), locked(folder, wait=False):
        Scratch(folder).discard(str(identity["layer"]))


def read_progress(folder: Path) -> dict[str, tuple[int, int]]:
    """Return for each layer in one scratch folder how many shards are finished, and how many there will be."""
    layers: dict[str, dict[str, Any]] = _read_record(folder / "record.json")["layers"]
    return {
        layer: (sum(not name.endswith("zarr.json") for name in entry["files"]), entry["num_shards"])
        for layer, entry in layers.items()
    }


def _read_record(path: Path) -> dict[str, Any]:
    """Return the record, or an empty one where it is missing or not one of ours: then the work starts anew."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(record["conditions"], dict) and isinstance(record["layers"], dict):
            return dict(record)
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError):
        _logger.warning("%s is damaged; the work starts anew", path)
    return {"conditions": {}, "layers": {}}
