"""Work folders: where unfinished work stands, so that a kill at any moment costs little and two runs never mix.

DVC deletes or rolls back an unfinished out. So work in progress stands in a folder of its own, named by everything that
determines its result, in DVC's temporary folder of the *main* repository: every way to run a stage finds it there.

    .dvc/tmp/<kind>/
        <key>.lock             held by the process at work; the kernel frees it with the process, however that ends
        <key>/
            conditions.json    under which the work is made: what may change a result's last bits and does not name it
            finished           the work has ended well
            ...                what the kind of work keeps

Work of another result than a stage's stands beside that, in ``.<name of the result>.parts``.

A folder stays when its work is done: DVC hashes an out for seconds after a stage has ended, and a kill in that time makes it
delete the out. The next run finds the work and publishes it again; a later stage, which has opened the recorded out, discards
it.
"""

import errno
import json
import logging
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from filelock import FileLock, Timeout

from galaxies.errors import InputError
from galaxies.files import explain_disk_errors, hash_json, write_json

Kind = Literal["extract", "train", "download", "cutouts"]
"""Of work whose folder stands in the repository."""

_PLACE = Path(".dvc", "tmp")
_CONDITIONS = "conditions.json"
_FINISHED = "finished"

_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
"""What a file system answers that knows no locks."""

_logger = logging.getLogger(__name__)


def work_path(root: Path, kind: Kind, identity: Mapping[str, object]) -> Path:
    """Return the folder for work of a kind in the repository at ``root``.

    Args:
        root: the main repository.
        kind: of the work.
        identity: JSON values: everything that determines the result.
    """
    return root / _PLACE / kind / hash_json(identity)[:32]


def find_work(root: Path) -> list[tuple[Kind, Path]]:
    """Return the kind and the folder of all work in the repository at ``root``."""
    kinds: tuple[Kind, ...] = get_args(Kind)
    return [(kind, path) for kind in kinds for path in (root / _PLACE / kind).glob("*/")]


def work_path_beside(result: Path) -> Path:
    """Return the folder for work whose result is a file that no stage makes."""
    return result.with_name(f".{result.name}.parts")


def find_results(folder: Path) -> list[Path]:
    """Return the results in a folder that are in the making; the work stands where :func:`work_path_beside` says."""
    return [folder / path.name.removeprefix(".").removesuffix(".parts") for path in folder.glob(".*.parts/")]


@dataclass(frozen=True)
class WorkFolder:
    """The folder of some work; who changes it holds its lock, as :func:`open_work_folder` does."""

    path: Path

    def begin(self, conditions: Mapping[str, object], *, keep: Collection[str] = ()) -> None:
        """Start, or continue what was made under the same conditions; throw away what was made under others, saying so.

        Args:
            conditions: JSON values, such as the device and the number of threads.
            keep: names in the folder of what is whole already, under whatever conditions.
        """
        record, wanted = self.path / _CONDITIONS, dict(conditions)
        found = _read_json(record)
        if found == wanted:
            return
        others = [path for path in self.path.iterdir() if path.name not in keep and path != record]
        if others:
            _logger.warning("%s: unfinished work is thrown away, and starts anew: %s", self.path, _say_why(found, wanted))
        # First off the record, then off the disk: after a kill between the two nothing passes for what it is not.
        record.unlink(missing_ok=True)
        for path in others:
            _delete(path)
        write_json(record, wanted)

    def require_conditions(self, conditions: Mapping[str, object]) -> None:
        """Raise InputError unless the work was begun under these: what is made under others may differ in its last bits."""
        found, wanted = _read_json(self.path / _CONDITIONS), dict(conditions)
        if found != wanted:
            raise InputError(
                f"{self.path}: the plan was made under other conditions: {_say_why(found, wanted)}. Use the same here, or make "
                "a plan of these."
            )

    def finish(self) -> None:
        """Mark the work as ended well."""
        (self.path / _FINISHED).touch()

    @property
    def is_finished(self) -> bool:
        """Whether the work has ended well."""
        return (self.path / _FINISHED).exists()

    def discard(self) -> None:
        """Throw the folder away."""
        _delete(self.path)


@contextmanager
def open_work_folder(path: Path) -> Iterator[WorkFolder]:
    """Hold the folder at ``path``, made if need be, while the block runs; one that is left empty is removed.

    A second process, as when only ``dvc`` was killed and its stage lives on, waits here until the first has ended. A full
    disk or a missing permission in the block becomes an InputError.
    """
    with explain_disk_errors(path, kept="; what is finished is kept"), locked(path):
        path.mkdir(exist_ok=True)
        try:
            yield WorkFolder(path)
        finally:
            with suppress(OSError):  # Not empty, as a rule.
                path.rmdir()


def discard_work(path: Path) -> bool:
    """Throw away the folder at ``path``, where there is one; return False where a process is at work in it."""
    if not path.is_dir():
        return True
    try:
        with locked(path, wait=False):
            _delete(path)
    except BlockingIOError:
        return False
    return True


def is_in_use(path: Path) -> bool:
    """Tell whether a process is at work in the folder at ``path``."""
    try:
        with locked(path, wait=False):
            return False
    except BlockingIOError:
        return True


def discard_finished_work(but: Path) -> None:
    """Throw away the other work of the kind of the folder ``but`` that has ended and that no process uses."""
    for other in but.parent.iterdir():
        if other != but and WorkFolder(other).is_finished:
            discard_work(other)


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of ``path``, a file of its name with ``.lock`` beside it; it goes with what it guards.

    With ``wait``, a second process waits; otherwise BlockingIOError is raised. The holder may delete ``path``.

    Raises InputError where the file system knows no locks: two processes in one folder could spoil each other's work.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    place = path.with_name(f"{path.name}.lock")
    # Without the kernel's lock a file that says so would do as one, which outlives its process: a kill would lock for ever.
    lock = FileLock(place, fallback_to_soft=False)
    _acquire(lock, wait=wait)
    try:
        yield
    finally:
        if not path.exists():
            # Who waits for the lock sees that its file is gone and takes a new one. Windows deletes no open file.
            with suppress(PermissionError):
                place.unlink(missing_ok=True)
        lock.release()


def _acquire(lock: FileLock, *, wait: bool) -> None:
    try:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if not wait:
                raise BlockingIOError(errno.EAGAIN, "another process is at work there", lock.lock_file) from None
            _logger.warning("another process does the same work; waiting for it (%s)", lock.lock_file)
            lock.acquire()
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise InputError(
            f"{lock.lock_file}: the file system there knows no locks ({error.strerror}), and without them two processes could "
            "spoil each other's work. Work in a folder of another one, such as a local disk, or have it mounted with locks "
            "(Lustre: `-o flock`)."
        ) from error


def _read_json(path: Path) -> object:
    """Return the JSON values in a file, or None where there is none that can be read."""
    try:
        values: object = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return values


def _say_why(found: object, wanted: Mapping[str, object]) -> str:
    if not isinstance(found, dict):
        return "under which conditions it was made is not on record"
    changed = [name for name in sorted({*found, *wanted}) if found.get(name) != wanted.get(name)]
    return "; ".join(f"{name} was {found.get(name)!r}, is {wanted.get(name)!r}" for name in changed)


def _delete(path: Path) -> None:
    """Delete a file or a folder; of a work folder first what says that its content can be used."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for name in (_FINISHED, _CONDITIONS):
        (path / name).unlink(missing_ok=True)
    shutil.rmtree(path)
