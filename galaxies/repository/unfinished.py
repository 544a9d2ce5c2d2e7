"""Unfinished work: what there is, how far, how old and how large, and how to be rid of it."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from galaxies.errors import InputError
from galaxies.files import format_bytes
from galaxies.work_folder import Kind, WorkFolder, discard_work, find_results, find_work, is_in_use, work_path_beside

_SECONDS_A_DAY = 86_400


@dataclass(frozen=True)
class Unfinished:
    """One work folder."""

    kind: Kind | Literal["predict"]
    path: Path
    key: str  # stands for all that determines the result; of predict the name of the result
    num_bytes: int
    age_days: float  # since something was written
    progress: str  # in words of the kind
    is_in_use: bool  # a process is at work in it
    is_finished: bool  # the work has ended, and is kept until a later stage has opened the result


def list_unfinished(root: Path) -> list[Unfinished]:
    """Return the work of the stages of the repository at ``root``, the oldest first."""
    return _describe_all([(kind, path, path.name) for kind, path in find_work(root)])


def list_unfinished_in(folder: Path) -> list[Unfinished]:
    """Return the predictions in the making of results in ``folder``, the oldest first."""
    return _describe_all([("predict", work_path_beside(result), result.name) for result in find_results(folder)])


def delete_unfinished(found: Sequence[Unfinished], *, keys: Sequence[str], older_than_days: float | None) -> Iterator[str]:
    """Delete what begins with one of ``keys`` or is older; yield a line for each. What is in use is never deleted.

    Raises InputError for a key that fits none or several.
    """
    chosen = [_find(key, found) for key in keys]
    if older_than_days is not None:
        chosen += [work for work in found if work.age_days > older_than_days]
    for work in dict.fromkeys(chosen):
        yield f"{work.key} deleted" if discard_work(work.path) else f"{work.key} is in use and was left alone"


def format_unfinished(found: Sequence[Unfinished]) -> Iterator[str]:
    """Yield a line for each, below a heading."""
    if not found:
        yield "No unfinished work."
        return
    width = max(len(work.key) for work in found)
    yield f"{'kind':<8}  {'key':<{width}}  {'age':>10} {'size':>10}  progress"
    for work in found:
        state = "  (at work)" if work.is_in_use else "  (finished)" if work.is_finished else ""
        age = f"{work.age_days:.1f} days"
        yield f"{work.kind:<8}  {work.key:<{width}}  {age:>10} {format_bytes(work.num_bytes):>10}  {work.progress}{state}"


def _find(key: str, found: Sequence[Unfinished]) -> Unfinished:
    fitting = [work for work in found if key and work.key.startswith(key)]
    if len(fitting) != 1:
        keys = ", ".join(work.key for work in fitting or found) or "none"
        raise InputError(f"--delete {key!r} fits {len(fitting)} keys of unfinished work, expected is 1; there are {keys}.")
    return fitting[0]


def _describe_all(found: Sequence[tuple[Kind | Literal["predict"], Path, str]]) -> list[Unfinished]:
    return sorted((_describe(kind, path, key) for kind, path, key in found), key=lambda work: -work.age_days)


def _describe(kind: Kind | Literal["predict"], path: Path, key: str) -> Unfinished:
    num_bytes, written = 0, 0.0
    for part in (path, *path.rglob("*")):
        try:
            status = part.stat()
        except FileNotFoundError:  # A process at work has just replaced it.
            continue
        num_bytes += status.st_size if part.is_file() else 0
        written = max(written, status.st_mtime)
    age_days = (time.time() - written) / _SECONDS_A_DAY
    progress, is_finished = _describe_progress(kind, path), WorkFolder(path).is_finished
    return Unfinished(kind, path, key, num_bytes, age_days, progress, is_in_use(path), is_finished)


def _describe_progress(kind: Kind | Literal["predict"], path: Path) -> str:
    """Say how far work is; PyTorch, Zarr and the like are imported only where there is such work."""
    if kind in ("extract", "predict"):
        from galaxies.features.passes import describe_stores

        return describe_stores(path)
    if kind == "train":
        from galaxies.heads.checkpoint import describe_checkpoint

        return describe_checkpoint(path)
    if kind == "download":
        from galaxies.sources.transfer import describe_download

        return describe_download(path)
    from galaxies.sources.cutouts import describe_cutouts

    return describe_cutouts(path)
