"""Parts of a plan, filled by several processes: the store is the one that the stage alone would make."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from galaxies.errors import InputError
from galaxies.features.passes import count_workers, format_progress, join_pass, open_unfinished
from galaxies.features.store import Store
from galaxies.work_folder import find_work
from stages import extract, split
from tests.pipelines import REPOSITORY
from tests.toys import EXTRACT, toy_images, tree_bytes, write_toy_galaxies

NUM_GALAXIES = 2100
"""Five shards of 512 rows, the last one short."""
LAYER = "layer1"
STORE = Path("features", f"{LAYER}.zarr")


def write_params(**runtime: Any) -> None:
    params: dict[str, Any] = YAML(typ="safe").load((REPOSITORY / "params.yaml").read_text())
    params["extract"] = {name: list(value) if isinstance(value, tuple) else value for name, value in EXTRACT.items()}
    params["extract"]["layers"] = [LAYER]
    params["runtime"] = {"device": "cpu", "batch_size": 64, "num_workers": 1, **runtime}
    with Path("params.yaml").open("w") as file:
        YAML().dump(params, file)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return what the stage alone makes."""
    with pytest.MonkeyPatch.context() as patch:
        prepare(tmp_path_factory.mktemp("whole"), patch)
        run(patch)
        return tree_bytes(STORE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    prepare(tmp_path, monkeypatch)
    return tmp_path


def prepare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    write_toy_galaxies(folder / "data/galaxies.h5", toy_images(NUM_GALAXIES))
    write_params()
    split.main()


def run(monkeypatch: pytest.MonkeyPatch, *options: str, layer: str = LAYER) -> None:
    monkeypatch.setattr(sys, "argv", ["extract", layer, *options])
    extract.main()


def start(part: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "galaxies", "fill", "--part", part]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TQDM_DISABLE": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def status() -> str:
    return "\n".join(format_progress(Path(), now=time.time()))


@pytest.mark.parametrize("parts", [("1/2", "2/2"), ("3/3", "1/3", "2/3"), ("7/7", "any")])
def test_parts_in_any_order_make_the_store_of_the_stage(
    parts: tuple[str, ...], folder: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, "--plan")
    assert "layer1 0/5 shards, 0 at work" in status()
    for part in parts:
        run(monkeypatch, "--part", part)
    assert "layer1 5/5 shards, 0 at work" in status()
    assert not STORE.exists()
    run(monkeypatch)
    assert tree_bytes(STORE) == whole


def test_a_part_fills_its_own_blocks_and_again_none(
    folder: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, "--plan")
    run(monkeypatch, "--part", "2/2")
    (work,) = [path for kind, path in find_work(Path()) if kind == "extract"]
    shards = {path.name: path.stat().st_mtime_ns for path in (work / f"{LAYER}.zarr" / "activations").glob("c.*")}
    assert sorted(shards) == ["c.1.0.0", "c.3.0.0"]
    run(monkeypatch, "--part", "2/2")
    run(monkeypatch, "--plan")
    assert {path.name: path.stat().st_mtime_ns for path in (work / f"{LAYER}.zarr" / "activations").glob("c.*")} == shards
    assert "shards/min" in status()
    run(monkeypatch)  # The stage alone does the rest.
    assert tree_bytes(STORE) == whole


def test_processes_at_the_same_time_and_one_that_is_killed(
    folder: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, "--plan")
    (work,) = [path for kind, path in find_work(Path()) if kind == "extract"]
    killed = start("1/2")
    while not count_workers(work):
        assert killed.poll() is None, killed.communicate()[1]
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    assert count_workers(work) == 0
    workers = [start("1/2"), start("2/2"), start("any")]
    for worker in workers:
        said = worker.communicate(timeout=120)[1]
        assert worker.returncode == 0, said
    assert "layer1 5/5 shards, 0 at work" in status()
    run(monkeypatch)
    assert tree_bytes(STORE) == whole


def test_the_stage_waits_for_workers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch)
    identity = Store(STORE).identity
    entered = threading.Event()

    def stage() -> None:
        with open_unfinished(Path(), identity):
            entered.set()

    thread = threading.Thread(target=stage)
    with join_pass(Path(), identity):
        thread.start()
        assert not entered.wait(0.3)
    thread.join(10)
    assert entered.is_set()


def test_a_part_without_a_plan_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"holds no plan of these activations; `galaxies fill --plan` writes it"):
        run(monkeypatch, "--part", "1/2")
    assert find_work(Path()) == []
    assert status() == "No plan; `galaxies fill --plan` writes one."


def test_a_worker_under_other_conditions_names_the_difference(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, "--plan")
    write_params(batch_size=32)
    with pytest.raises(InputError, match=r"the plan was made under other conditions: batch_rows was 64, is 32"):
        run(monkeypatch, "--part", "1/2")
    assert "layer1 0/5 shards" in status()


@pytest.mark.parametrize("part", ["0/3", "4/3", "1", "1/0", "all", ""])
def test_a_part_that_is_none_is_refused(part: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=rf"--part: found {part!r}, expected I/N with I from 1 to N"):
        run(monkeypatch, "--part", part)


def test_an_unknown_layer_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"found the layer layer9, expected one of layer1"):
        run(monkeypatch, "--plan", layer="layer9")
