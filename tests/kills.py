"""Random kills of a whole pipeline: who is killed, by what, when; and what must be true after the next run.

Used by ``python -m benchmarks.kills`` and test_kills.py.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from ruamel.yaml import YAML

from galaxies.backbones.onnx_network import kept_graphs
from galaxies.features.unfinished import UnfinishedStore
from galaxies.runtime import Library
from tests.pipelines import Pipeline, make_pipeline
from tests.toys import toy_images, write_toy_galaxies

COMMANDS = ("repro", "exp run", "exp run --temp", "queue")
TARGETS = ("stage", "dvc", "group")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
MOMENTS = ("starting", "writing", "publishing", "recording")

NUM_GALAXIES = 2100
"""Five shards of 512 rows, the last one short."""

_LAYER = "layer1"
_TIMEOUT_SECONDS = 300


@dataclass(frozen=True)
class Kill:
    """One kill."""

    command: str  # how the pipeline is run
    target: str  # stage: its process alone; dvc: its process alone, the stage lives on; group: all of them
    signal: signal.Signals
    moment: str  # after what the delay counts: the start, a shard, the last shard, the store has its final name
    num_shards: int  # writing: how many shards are finished first
    delay: float  # s


@dataclass(frozen=True)
class Outcome:
    """What one kill came to, after the same command was run again."""

    struck: bool  # the target was still there
    num_recorded: int  # shards on record when the kill struck
    num_lost: int  # shards that the second run computed again although they had been written
    same_bytes: bool  # the digest that DVC recorded is that of an uninterrupted run
    leftovers: tuple[str, ...]  # what should not be there


def draw_kill(generator: np.random.Generator) -> Kill:
    """Draw a kill. A queued run takes three times as long as the others, so it is drawn less often."""
    moment = str(generator.choice(MOMENTS))
    return Kill(
        command=str(generator.choice(COMMANDS, p=[0.3, 0.3, 0.3, 0.1])),
        target=str(generator.choice(TARGETS)),
        signal=SIGNALS[generator.integers(len(SIGNALS))],
        moment=moment,
        num_shards=int(generator.integers(1, 5)),
        # DVC takes a second to start and half of one to hash, move and record a small store.
        delay=float(generator.uniform(0, {"starting": 4.0, "writing": 0.1, "publishing": 0.1, "recording": 1.0}[moment])),
    )


def make_fresh_pipeline(folder: Path, *, library: Library) -> Pipeline:
    """Return a repository in which everything before ``extract`` has run, committed."""
    write_toy_galaxies(folder / "toy.h5", toy_images(NUM_GALAXIES))
    pipeline = make_pipeline(folder, extract={"layers": [_LAYER]}, runtime={"forward": library})
    pipeline.run("dvc", "repro", "split")
    _commit(pipeline)
    return pipeline


def expected_digest(fresh: Pipeline, folder: Path) -> str:
    """Return the digest that DVC records for the store of an uninterrupted run in a copy of ``fresh``."""
    pipeline = fresh.copy(folder)
    pipeline.run("dvc", "repro", "extract")
    return _recorded_digest((pipeline.folder / "dvc.lock").read_text())


def survive(fresh: Pipeline, folder: Path, kill: Kill, digest: str) -> Outcome:
    """Run a copy of ``fresh``, kill it, run the same command again, and return what came of it.

    Raises AssertionError, with what was printed, when the second run fails.
    """
    pipeline = fresh.copy(folder)
    process = _start(pipeline, kill.command)
    # A run may end before its moment comes: when the out has its final name for an instant only.
    _wait_until(
        lambda: _is_time(pipeline, kill) or (process.poll() is not None and not _processes(pipeline, "all")),
        # A queued run is no child of this process: finding out whether it lives means looking at all processes.
        pause=0.05 if kill.command == "queue" else 0.002,
    )
    time.sleep(kill.delay)
    recorded, written = _shards(pipeline)
    struck = _strike(pipeline, kill)
    process.wait(_TIMEOUT_SECONDS)
    # Where only dvc was killed, its stage lives on and the next run meets it. A queue's worker outlives the stage that was
    # killed, and ends when it finds the queue empty.
    if kill.target != "dvc" or kill.command == "queue":
        _wait_until(lambda: not _processes(pipeline, "all"), pause=0.2)
    _run_again(pipeline, kill.command)
    _wait_until(lambda: not _processes(pipeline, "all"), pause=0.2)
    _, finished = _shards(pipeline)
    assert {name: finished[name] for name in recorded} == recorded, f"{kill}: a recorded shard was computed again"
    return Outcome(
        struck=struck,
        num_recorded=len(recorded),
        num_lost=sum(finished.get(name) != modified for name, modified in written.items()),
        same_bytes=_recorded_digest(_lock_file(pipeline, kill.command)) == digest,
        leftovers=tuple(_leftovers(pipeline)),
    )


def _start(pipeline: Pipeline, command: str) -> "subprocess.Popen[bytes]":
    if command == "queue":
        pipeline.run("dvc", "exp", "run", "--queue", "-n", "queued", "-f", "extract")
        return pipeline.start("dvc", "queue", "start")
    return pipeline.start("dvc", *command.split(), "extract")


def _run_again(pipeline: Pipeline, command: str) -> None:
    pipeline.run(sys.executable, "-m", "galaxies", "recover")
    pipeline.run("git", "checkout", "-qf", "main")
    if command != "queue":
        pipeline.run("dvc", *command.split(), "extract")
        return
    # DVC keeps a killed task as running, and then as failed; the user queues it again.
    pipeline.run("dvc", "queue", "remove", "--all", check=False)
    pipeline.run("dvc", "exp", "run", "--queue", "-n", "queued", "-f", "extract")
    pipeline.run_queue()


def _is_time(pipeline: Pipeline, kill: Kill) -> bool:
    if kill.moment == "starting":
        return True
    if kill.moment == "writing":
        return pipeline.scratch_shards() >= kill.num_shards
    if kill.moment == "publishing":
        return pipeline.scratch_shards() >= -(-NUM_GALAXIES // 512)
    return any(path.is_dir() for path in _places(pipeline, f"features/{_LAYER}.zarr"))


def _strike(pipeline: Pipeline, kill: Kill) -> bool:
    """Send the signal to the target; tell whether there was one."""
    targets = _processes(pipeline, "all" if kill.target == "group" else kill.target)
    for process in targets:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(kill.signal)
    if kill.target == "group" and kill.signal != signal.SIGKILL:
        # DVC ignores SIGINT while a stage runs, and a queue's worker takes a SIGTERM for "after this one".
        with suppress(TimeoutError):
            _wait_until(lambda: not _processes(pipeline, "all"), pause=0.2, seconds=10)
        pipeline.kill_strays()
    return bool(targets)


def _processes(pipeline: Pipeline, kind: str) -> list[psutil.Process]:
    """Return the live processes that work in the pipeline's folder: the stage's, those of dvc, or all."""
    found = pipeline.processes()
    if kind == "all":
        return found
    return [
        process for process in found if (kind == "stage") == any("stages." in word for word in process.info["cmdline"] or [])
    ]


def _shards(pipeline: Pipeline) -> tuple[dict[str, int], dict[str, int]]:
    """Return the shards in the work folder with their times of writing: those on record, and all that are there."""
    recorded: dict[str, int] = {}
    written: dict[str, int] = {}
    for folder in (pipeline.folder / ".dvc" / "tmp" / "extract").glob("*"):
        with suppress(FileNotFoundError):
            for path in (folder / f"{_LAYER}.zarr" / "activations").glob("c.*.0.0"):
                written[path.name] = path.stat().st_mtime_ns
                if (folder / f"{_LAYER}.shards" / path.name).exists():
                    recorded[path.name] = written[path.name]
    return recorded, written


def _lock_file(pipeline: Pipeline, command: str) -> str:
    """Return dvc.lock as the run left it: in the workspace, or in the commit of the experiment."""
    if command in ("repro", "exp run"):
        return (pipeline.folder / "dvc.lock").read_text()
    newest = pipeline.run("git", "for-each-ref", "--sort=-creatordate", "--format=%(refname)", "refs/exps/").split()
    names = [name for name in newest if "/exec/" not in name and "/celery/" not in name]
    return pipeline.run("git", "show", f"{names[0]}:dvc.lock")


def _recorded_digest(lock_file: str) -> str:
    """Return the digest of the store in a dvc.lock: over the names and digests of all its files."""
    outs = YAML(typ="safe").load(lock_file)["stages"][f"extract@{_LAYER}"]["outs"]
    return str(outs[0]["md5"])


def _leftovers(pipeline: Pipeline) -> Iterator[str]:
    """Yield what should not be there once a run has ended well: in the places of the outs, and in the work folder."""
    for path in pipeline.folder.glob("features/*"):
        if path.name not in (".gitkeep", f"{_LAYER}.zarr"):
            yield str(path.relative_to(pipeline.folder))
    for path in (pipeline.folder / ".dvc" / "tmp" / "extract").glob("*/*"):
        names = ("conditions.json", *UnfinishedStore(path.parent, _LAYER).names, *kept_graphs(path.parent))
        if path.name not in names:
            yield str(path.relative_to(pipeline.folder))


def _places(pipeline: Pipeline, name: str) -> Iterator[Path]:
    """Yield where ``name`` would be in the workspace and in DVC's temporary ones."""
    yield pipeline.folder / name
    for folder in (pipeline.folder / ".dvc" / "tmp" / "exps").glob("*/*"):
        yield folder / name


def _wait_until(condition: Callable[[], bool], *, pause: float, seconds: float = _TIMEOUT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(pause)


def _commit(pipeline: Pipeline) -> None:
    pipeline.run("git", "add", "-A")
    pipeline.run("git", "commit", "-qm", "split")
