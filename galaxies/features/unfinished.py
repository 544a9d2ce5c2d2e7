"""Unfinished extractions in the scratch folder: what there is, how old and how large, and how to be rid of it."""

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from galaxies.errors import InputError
from galaxies.features.scratch import SCRATCH_FOLDER, read_progress
from galaxies.files import format_bytes, locked

_SECONDS_A_DAY = 86_400


@dataclass(frozen=True)
class Unfinished:
    """The folder of one forward pass."""

    folder: Path
    num_bytes: int
    age_days: float  # since its last shard
    shards: dict[str, tuple[int, int]]  # layer -> how many are finished, how many there will be
    is_locked: bool  # a process is at work in it

    @property
    def key(self) -> str:
        """What stands for all that determines the numbers but the layer."""
        return self.folder.name


def list_unfinished(root: Path) -> list[Unfinished]:
    """Return what stands in the scratch folder of the repository at ``root``, the oldest first."""
    folders = [folder for folder in (root / SCRATCH_FOLDER).glob("*") if folder.is_dir()]
    return sorted((_describe(folder) for folder in folders), key=lambda unfinished: -unfinished.age_days)


def delete_unfinished(root: Path, *, keys: Sequence[str], older_than_days: float | None) -> Iterator[str]:
    """Delete what begins with one of ``keys`` or is older; yield a line for each. What is locked is never deleted.

    Raises InputError for a key that fits none or several.
    """
    found = list_unfinished(root)
    chosen = [_find(key, found) for key in keys]
    if older_than_days is not None:
        chosen += [unfinished for unfinished in found if unfinished.age_days > older_than_days]
    for unfinished in dict.fromkeys(entry.folder for entry in chosen):
        try:
            with locked(unfinished, wait=False):
                shutil.rmtree(unfinished)
        except BlockingIOError:
            yield f"{unfinished.name} is in use and was left alone"
        else:
            yield f"{unfinished.name} deleted"


def format_unfinished(found: Sequence[Unfinished]) -> Iterator[str]:
    """Yield a line for each, below a heading."""
    if not found:
        yield "No unfinished extraction."
        return
    yield f"{'key':<32}  {'age':>10} {'size':>10}  layers (shards finished / all)"
    for unfinished in found:
        layers = ", ".join(f"{layer} {done}/{all_}" for layer, (done, all_) in sorted(unfinished.shards.items()))
        state = "  (at work)" if unfinished.is_locked else ""
        age = f"{unfinished.age_days:.1f} days"
        yield f"{unfinished.key:<32}  {age:>10} {format_bytes(unfinished.num_bytes):>10}  {layers or 'none'}{state}"


def _find(key: str, found: Sequence[Unfinished]) -> Unfinished:
    fitting = [unfinished for unfinished in found if key and unfinished.key.startswith(key)]
    if len(fitting) != 1:
        keys = ", ".join(unfinished.key for unfinished in fitting or found) or "none"
        raise InputError(f"--delete {key!r} fits {len(fitting)} keys of unfinished work, expected is 1; there are {keys}.")
    return fitting[0]


def _describe(folder: Path) -> Unfinished:
    files = []
    for path in folder.rglob("*"):
        try:
            files.append(path.stat())
        except FileNotFoundError:  # Another process has just finished it.
            continue
    # Not of the lock, which is opened by whoever only looks.
    written = [path.stat().st_mtime for path in (folder / "record.json", *folder.glob("*.shards"), folder) if path.exists()]
    age_days = (time.time() - max(written, default=time.time())) / _SECONDS_A_DAY
    return Unfinished(folder, sum(file.st_size for file in files), age_days, read_progress(folder), _is_locked(folder))


def _is_locked(folder: Path) -> bool:
    try:
        with locked(folder, wait=False):
            return False
    except BlockingIOError:
        return True
