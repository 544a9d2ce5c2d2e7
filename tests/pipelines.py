"""A copy of this repository in a temporary folder, small parameters in it, and DVC run on it for real."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from ruamel.yaml import YAML

from tests.toys import write_toy_galaxies

REPOSITORY = Path(__file__).parents[1]

SMALL_PARAMS: dict[str, dict[str, Any]] = {
    "download": {"source": "hdf5", "path": "toy.h5", "sha256": "any"},
    "extract": {"image_size": 32, "layers": ["layer1"]},
    "train": {"layer": "layer1", "num_epochs": 3},
    "projection": {"method": "pca"},
    "runtime": {"device": "cpu", "batch_size": 16, "num_workers": 0},
}
"""Changes to params.yaml that make a run take seconds."""


class Pipeline:
    """A repository of its own, under Git and DVC, in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # The stages must be run by the Python of the tests, and `dvc` be the one beside it.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "GIT_AUTHOR_NAME": "test", "GIT_AUTHOR_EMAIL": "test@localhost"}
        self.environment |= {"GIT_COMMITTER_NAME": "test", "GIT_COMMITTER_EMAIL": "test@localhost"}
        self.environment |= {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(folder / ".site"), "TQDM_DISABLE": "1"}

    def run(self, *command: str, check: bool = True, seconds: float = 600) -> str:
        """Run a command to its end and return what it printed; with ``check``, a failure shows it.

        Its output goes to a file: the workers of DVC's queue inherit it and may outlive the command, and whoever reads a pipe
        waits for them too.
        """
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=output, stderr=output, start_new_session=True
            )
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill_strays()
                code = process.wait()
            output.seek(0)
            printed = output.read()
        if check and code != 0:
            raise AssertionError(f"{' '.join(command)} exited with {code}:\n{printed}")
        return printed

    def start(self, *command: str) -> "subprocess.Popen[bytes]":
        """Start a command in a process group of its own."""
        with (self.folder / ".log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def kill_when(self, command: tuple[str, ...], condition: Callable[[], bool], *, seconds: float = 120) -> None:
        """Start a command and SIGKILL it with all its children at once when ``condition`` comes true."""
        process = self.start(*command)
        deadline = time.monotonic() + seconds
        while not condition():
            if process.poll() is not None or time.monotonic() > deadline:
                log = (self.folder / ".log").read_text(errors="replace")
                raise AssertionError(f"{' '.join(command)} ended ({process.poll()}) before the kill:\n{log[-4000:]}")
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.kill_strays()

    def run_queue(self, *, seconds: float = 300) -> None:
        """Start the queue's worker and wait until it has ended, which it does ten seconds after its last task.

        `dvc exp run --run-all` would wait for a task whose process was killed, for ever (DVC 3.67).
        """
        self.start("dvc", "queue", "start").wait(60)
        self.wait_for_processes(seconds=seconds)

    def wait_for_processes(self, *, seconds: float = 300) -> None:
        """Wait until no process works in this folder."""
        deadline = time.monotonic() + seconds
        while processes := self.processes():
            assert time.monotonic() < deadline, f"{processes} do not end"
            time.sleep(0.2)

    def processes(self) -> list[psutil.Process]:
        """Return the live processes that work in this folder: DVC's queue workers have left their group."""
        return [
            process
            for process in psutil.process_iter(["cwd", "cmdline", "status"])
            if process.info["cwd"]
            and Path(process.info["cwd"]).is_relative_to(self.folder)
            and process.info["status"] != psutil.STATUS_ZOMBIE
        ]

    def kill_strays(self) -> None:
        """SIGKILL every process that works in this folder."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def copy(self, folder: Path) -> "Pipeline":
        """Return a copy with its own cache and workspace."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Pipeline(folder)

    def scratch_shards(self) -> int:
        """Return how many shards are finished in the work folder."""
        return sum(1 for _ in (self.folder / ".dvc" / "tmp" / "extract").glob("*/*.zarr/activations/c.*.0.0"))


def make_pipeline(folder: Path, **changes: dict[str, Any]) -> Pipeline:
    """Copy what Git tracks (and what is about to be tracked) into ``folder`` and commit it there."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    skipped = ("tests/", "dvc.lock", "metrics/", "docs/", "benchmarks/")
    for name in filter(None, listing.stdout.split("\0")):
        if not name.startswith(skipped) and (REPOSITORY / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, target)
    write_params(
        folder,
        **{section: {**SMALL_PARAMS.get(section, {}), **changes.get(section, {})} for section in {*SMALL_PARAMS, *changes}},
    )
    with (folder / ".gitignore").open("a") as file:
        file.write("/toy.h5\n/.site\n/.log\n")
    pipeline = Pipeline(folder)
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "start"]):
        pipeline.run("git", *command)
    return pipeline


def write_params(folder: Path, **changes: dict[str, Any]) -> None:
    """Change keys of the params.yaml in ``folder``."""
    yaml, path = YAML(), folder / "params.yaml"
    params = yaml.load(path.read_text())
    for section, values in changes.items():
        params[section].update(values)
    with path.open("w") as file:
        yaml.dump(params, file)


__all__ = ["REPOSITORY", "Pipeline", "make_pipeline", "write_params", "write_toy_galaxies"]
