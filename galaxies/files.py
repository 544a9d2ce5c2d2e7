"""Files that are whole or absent: temporary names, digests, free space."""

import errno
import glob
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from galaxies.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_DIGEST_BLOCK_BYTES = 1 << 20
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_DISK_ADVICE = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room in your quota",
    errno.EFBIG: "raise the limit on the size of a file (`ulimit -f`)",
    errno.EACCES: "make it readable and writable for you",
    errno.EPERM: "make it readable and writable for you",
    errno.EROFS: "make its file system writable",
}
"""What to do when the disk or its permissions refuse, by the number of the error."""

_logger = logging.getLogger(__name__)


@contextmanager
def explain_disk_errors(where: Path | str, *, kept: str = "") -> Iterator[None]:
    """Turn an OSError that a full disk or a missing permission raises into an InputError; others pass.

    Args:
        where: what the message names when the error does not name a file: a failed write does not.
        kept: what is not lost, as in ``; finished shards are kept``.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_ADVICE:
            raise
        raise InputError(
            f"{error.filename or where}: {error.strerror}; {_DISK_ADVICE[error.errno]} and run the same command again{kept}."
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name in the folder of ``path``; when the block ends well, move it over ``path`` in one step.

    A reader of ``path`` sees the old file or the new one, never a part of it. After an exception the temporary file is
    removed; what a killed process left is removed by the next one that writes ``path``. Writing over ``path`` itself would
    be wrong twice: DVC makes outs read-only, and a hard-linked out shares its bytes with DVC's cache.

    Raises InputError when the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    # The process's id in the name tells a file in the making from the leftover of a kill.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.{os.getpid()}.", suffix=".tmp", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private to their owner; a result should be as readable as any other file.
        temporary.chmod(0o666 & ~_umask())
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        raise InputError(
            f"{path} cannot be written: {os.strerror(error.errno)}; make room and run the same command again."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` in one step, its newlines as they are."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_json(path: Path, values: Mapping[str, object]) -> None:
    """Write JSON values to ``path`` in one step, as people can read them."""
    write_text(path, json.dumps(values, indent=2) + "\n")


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write a table to ``path`` in one step: a header, a line a row, the same bytes on every system."""
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, which must be free: a hard link, no bytes, or else a copy."""
    try:
        os.link(source, target)
    except OSError:  # Another file system, or one without hard links.
        shutil.copyfile(source, target)


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with (
        path.open("rb") as file,
        tqdm(total=path.stat().st_size, desc=f"digest {path.name}", unit="B", unit_scale=True, delay=2) as progress,
    ):
        while block := file.read(_DIGEST_BLOCK_BYTES):
            digest.update(block)
            progress.update(len(block))
    return digest.hexdigest()


def hash_json(values: Mapping[str, object]) -> str:
    """Return the sha256 of plain JSON values, whatever the order of their keys: 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def require_digest(actual: str, wanted: str | None, *, key: str, what: str) -> None:
    """Hold a local input against the digest in its parameter ``key``: DVC cannot see the file, only the parameter.

    Raises InputError, with the value to set, when ``wanted`` is None or another digest; ``any`` passes with a warning.
    """
    if wanted == "any":
        _logger.warning("%s: `any` means that a change of %s goes unnoticed and old results are kept.", key, what)
    elif wanted is None or wanted.lower() != actual:
        found = "no digest is set" if wanted is None else f"the digest set is {wanted}"
        raise InputError(
            f"{key}: {found}, but {what} has {actual}. If this is the input you mean, use `-S {key}={actual}`; `any` opts "
            "out of the check, and then a changed input is not noticed."
        )


def require_free_disk(folder: Path, num_bytes: int, purpose: str) -> None:
    """Raise InputError unless the file system of ``folder`` has room for ``num_bytes`` more."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise InputError(
            f"{purpose} needs {format_bytes(num_bytes)} in {folder}, but only {format_bytes(free)} are free; make room and "
            "run the same command again."
        )


def format_bytes(num_bytes: float) -> str:
    """Return a size for people: ``1.5 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if num_bytes < 1024:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:.1f} TiB"


def _sweep(path: Path) -> None:
    """Remove the temporary files of ``path`` whose process is gone: after a kill they may be gigabytes."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        process = leftover.name.removeprefix(f".{path.name}.").split(".")[0]
        if process.isdecimal() and not _is_running(int(process)):
            leftover.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    # Needed after a kill only. os.kill(process, 0) asks too, but on Windows it would end the process.
    import psutil

    try:
        return psutil.pid_exists(process)
    except OverflowError:
        return True


def _umask() -> int:
    """Return the process's umask; reading it means setting it for a moment."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
