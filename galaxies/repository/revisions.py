"""What Git and DVC keep of earlier runs: files at a revision, or of an experiment."""

import subprocess
from pathlib import Path

from galaxies.errors import InputError
from galaxies.evaluation.predictions import SavedPredictions, parse_predictions
from galaxies.paths import PREDICTIONS

WORKSPACE = "workspace"
"""DVC's word for the files as they are now."""


def read_predictions(repository: Path, revision: str) -> SavedPredictions:
    """Return what the head of a revision, as in :func:`read_text`, said of its test galaxies."""
    return parse_predictions(read_text(repository, revision, PREDICTIONS), revision)


def read_text(repository: Path, revision: str, path: Path) -> str:
    """Return a text file of the repository as it is at a Git revision, at a DVC experiment, or in the workspace.

    Raises InputError when there is no such revision, more than one experiment of that name, or no such file there.
    """
    if revision == WORKSPACE:
        path = repository / path
        if not path.is_file():
            raise InputError(f"There is no {path.resolve()}; `dvc repro` makes it.")
        return path.read_text(encoding="utf-8")
    commit = _find_commit(repository, revision)
    shown = _git(repository, "show", f"{commit}:./{path.as_posix()}")
    if shown.returncode != 0:
        raise InputError(f"There is no {path} in {repository.resolve()} at {revision}; commit it after `dvc repro`.")
    return shown.stdout


def _find_commit(repository: Path, revision: str) -> str:
    """Return the commit of a Git revision, or else of the DVC experiment of that name."""
    parsed = _git(repository, "rev-parse", "--quiet", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    if parsed.returncode == 0:
        return parsed.stdout.strip()
    # DVC keeps an experiment as refs/exps/<2 digits>/<38 digits of the commit it started from>/<name>.
    listed = _git(repository, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps")
    found = [line.split(" ") for line in listed.stdout.splitlines()]
    matching = [commit for commit, reference in found if reference.count("/") == 4 and reference.endswith(f"/{revision}")]
    if len(matching) != 1:
        reason = f"{len(matching)} experiments have that name: name the commit" if matching else "`dvc exp list` lists those"
        raise InputError(f"There is no single revision or experiment {revision} in {repository.resolve()}; {reason}.")
    return matching[0]


def _git(repository: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(("git", *arguments), cwd=repository, capture_output=True, text=True, encoding="utf-8", check=False)
