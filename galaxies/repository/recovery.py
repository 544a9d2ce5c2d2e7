"""Put right what a killed DVC or Git leaves behind and stumbles over the next time (seen with DVC 3.67)."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil

from galaxies.errors import InputError


def recover(root: Path) -> Iterator[str]:
    """Delete broken locks of the repository at ``root``, and yield a line for each thing that was put right or must be.

    DVC writes its list of readers and writers in place, so a kill at that moment leaves half of it, and Git's locks are files,
    which outlive the process. Raises InputError where something seems broken while DVC or Git is at work: they may hold it.
    """
    broken = list(_find_broken(root))
    if broken:
        _require_quiet(root)
    for path, reason in broken:
        path.unlink(missing_ok=True)
        yield f"{path.relative_to(root)} {reason}; deleted"
    command = ("git", "-C", str(root), "symbolic-ref", "--quiet", "HEAD")
    if (root / ".git").is_dir() and subprocess.run(command, check=False, capture_output=True).returncode:
        yield "Git stands on no branch; if a `dvc exp run` was killed, `git checkout main` goes back"


def _find_broken(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield files that should not be there, or not so, and why."""
    readers = root / ".dvc" / "tmp" / "rwlock"
    if readers.is_file() and not _is_json(readers):
        yield readers, "was cut off in the middle"
    # A Git worktree or submodule has a file there, and its locks are the main repository's.
    git = root / ".git"
    for lock in [*git.glob("*.lock"), *git.glob("refs/**/*.lock")]:
        yield lock, "was left by a process that is gone"


def _require_quiet(root: Path) -> None:
    """Raise InputError where a process of DVC or Git works in the repository."""
    for process in psutil.process_iter(["pid", "name", "cmdline", "cwd"]):
        folder, words = process.info["cwd"], process.info["cmdline"] or []
        if not folder or not Path(folder).is_relative_to(root.resolve()):
            continue
        if process.info["name"] == "git" or any(Path(word).name == "dvc" for word in words[:3]):
            raise InputError(
                f"process {process.info['pid']} ({' '.join(words[:4])}) works in {root.resolve()}; wait until it has ended, or "
                "kill it, and run `galaxies recover` again."
            )


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True
