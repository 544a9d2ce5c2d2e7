"""The whole pipeline under DVC: what re-runs after which change, and every way to be interrupted.

Each test works on a copy of this repository with a toy catalogue and small parameters, and runs `dvc` itself.
"""

import json
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from tests.pipelines import Pipeline, make_pipeline, write_params
from tests.toys import toy_images, tree_bytes, write_toy_galaxies

if TYPE_CHECKING:
    from tests.browser import Browser

pytestmark = pytest.mark.pipeline

# Three shards of 512 rows, the last one short.
NUM_GALAXIES = 1100


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """Make a repository in which `download` and `split` have run."""
    folder = tmp_path_factory.mktemp("pipeline") / "fresh"
    images = toy_images(NUM_GALAXIES)
    # Something to learn: a class is a brightness.
    for label in range(3):
        images[label * NUM_GALAXIES // 3 :] //= 2
    write_toy_galaxies(folder / "toy.h5", images)
    pipeline = make_pipeline(folder)
    pipeline.run("dvc", "repro", "split")
    pipeline.run("git", "add", "-A")
    pipeline.run("git", "commit", "-qm", "split")
    return pipeline


@pytest.fixture(scope="module")
def finished(fresh: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """Make a repository in which everything has run, and is committed."""
    pipeline = fresh.copy(tmp_path_factory.mktemp("pipeline") / "finished")
    pipeline.run("dvc", "repro")
    pipeline.run("git", "add", "-A")
    pipeline.run("git", "commit", "-qm", "run")
    return pipeline


def store_bytes(pipeline: Pipeline) -> dict[str, bytes]:
    return tree_bytes(pipeline.folder / "features" / "layer1.zarr")


def changed_stages(pipeline: Pipeline) -> set[str]:
    """Return the stages whose own parameters or inputs have changed."""
    return set(json.loads(pipeline.run("dvc", "status", "--json")))


def test_a_second_run_does_nothing_and_the_status_is_clean(finished: Pipeline) -> None:
    assert "Running stage" not in finished.run("dvc", "repro")
    assert "up to date" in finished.run("dvc", "status")
    assert finished.run("git", "status", "--porcelain") == ""


def test_no_scratch_is_left_after_a_run(finished: Pipeline) -> None:
    assert finished.scratch_shards() == 0
    assert [path.name for path in (finished.folder / "features").iterdir() if path.name != ".gitkeep"] == ["layer1.zarr"]


def test_the_metrics_are_there_under_their_names(finished: Pipeline) -> None:
    metrics = json.loads((finished.folder / "metrics" / "test.json").read_text())
    assert {"accuracy", "balanced_accuracy", "macro_f1", "nll"} <= set(metrics)
    header = (finished.folder / "metrics" / "predictions.csv").read_text().splitlines()[0].split(",")
    assert header[:7] == ["row", "galaxy", "id", "image_sha256", "group", "label", "predicted"]


@pytest.mark.parametrize(
    ("section", "change", "expected"),
    [
        pytest.param("split", {"seed": 1}, {"split"}, id="a-new-seed-of-the-split"),
        pytest.param("train", {"learning_rate": 1e-5}, {"train"}, id="a-learning-rate"),
        pytest.param("extract", {"seed": 1}, {"extract@layer1"}, id="other-weights"),
        pytest.param("runtime", {"batch_size": 17, "device": "auto", "num_workers": 1}, set(), id="what-changes-speed"),
    ],
)
def test_a_change_of_parameters_touches_its_own_stage(
    finished: Pipeline, tmp_path: Path, section: str, change: dict[str, object], expected: set[str]
) -> None:
    pipeline = finished.copy(tmp_path / "copy")
    write_params(pipeline.folder, **{section: change})
    assert changed_stages(pipeline) == expected


def test_a_new_split_costs_no_extraction(finished: Pipeline, tmp_path: Path) -> None:
    pipeline = finished.copy(tmp_path / "copy")
    write_params(pipeline.folder, split={"seed": 1})
    printed = pipeline.run("dvc", "repro")
    assert "Running stage 'split'" in printed
    assert "Running stage 'train'" in printed
    assert "Running stage 'extract@layer1'" not in printed


def test_another_layer_costs_only_its_own_extraction(finished: Pipeline, tmp_path: Path) -> None:
    pipeline = finished.copy(tmp_path / "copy")
    before = store_bytes(pipeline)
    write_params(pipeline.folder, extract={"layers": ["layer1", "layer2"]})
    printed = pipeline.run("dvc", "repro", "extract")
    assert "Running stage 'extract@layer2'" in printed
    assert "Running stage 'extract@layer1'" not in printed
    assert store_bytes(pipeline) == before


@pytest.mark.slow
def test_experiments_run_in_the_workspace_aside_and_from_the_queue(finished: Pipeline, tmp_path: Path) -> None:
    pipeline = finished.copy(tmp_path / "copy")
    pipeline.run("dvc", "exp", "run", "-n", "here", "-S", "train.learning_rate=1e-5")
    pipeline.run("dvc", "exp", "run", "--temp", "-n", "aside", "-S", "extract.seed=5")
    pipeline.run("dvc", "exp", "run", "--queue", "-n", "queued", "-S", "split.seed=7")
    pipeline.run("dvc", "exp", "run", "--run-all")
    shown = pipeline.run("dvc", "exp", "show", "--csv")
    assert all(name in shown for name in ("here", "aside", "queued"))
    assert "accuracy" in pipeline.run("dvc", "metrics", "diff", "HEAD", "aside")
    assert "split.seed" in pipeline.run("dvc", "params", "diff", "HEAD", "queued")
    assert pipeline.scratch_shards() == 0


@pytest.mark.slow
def test_a_sweep_in_one_process_finds_what_the_queue_finds(finished: Pipeline, tmp_path: Path) -> None:
    pipeline = finished.copy(tmp_path / "copy")
    lists, keys = ("0.1,0.0001", "0.1,5.0"), ["learning_rate", "weight_decay"]
    sweep = [f"train.sweep.{key}=[{values}]" for key, values in zip(keys, lists, strict=True)]
    alone = [f"train.{key}={values}" for key, values in zip(keys, lists, strict=True)]
    pipeline.run("dvc", "exp", "run", "--queue", "-n", "alone", "-S", alone[0], "-S", alone[1], "train")
    pipeline.run_queue()
    pipeline.run("dvc", "exp", "run", "-n", "together", "-S", sweep[0], "-S", sweep[1], "train")
    tables = {
        name.rsplit("/", 1)[1]: pd.read_csv(StringIO(pipeline.run("git", "show", f"{name}:metrics/sweep.csv")))
        for name in pipeline.run("git", "for-each-ref", "refs/exps", "--format=%(refname)").split()
        if name.rsplit("/", 1)[1].startswith(("together", "alone"))
    }
    together = tables.pop("together")
    assert len(tables) == len(together) == 4
    one_by_one = pd.concat(tables.values()).sort_values("val_loss", ignore_index=True)
    columns = [*keys, "best_epoch", "val_loss", "val_accuracy"]
    pd.testing.assert_frame_equal(one_by_one[columns], together[columns], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("command", "moment"),
    [
        pytest.param("dvc repro", "writing", id="repro-writing"),
        pytest.param("dvc repro", "hashing", id="repro-hashing", marks=pytest.mark.slow),
        pytest.param("dvc exp run", "writing", id="exp-run-writing", marks=pytest.mark.slow),
        pytest.param("dvc exp run", "hashing", id="exp-run-hashing", marks=pytest.mark.slow),
        pytest.param("dvc exp run --temp", "writing", id="temp-writing", marks=pytest.mark.slow),
        pytest.param("dvc exp run --temp", "hashing", id="temp-hashing", marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_continues_to_the_same_bytes(
    fresh: Pipeline, finished: Pipeline, tmp_path: Path, command: str, moment: str
) -> None:
    pipeline, words = fresh.copy(tmp_path / "copy"), tuple(command.split())

    def is_time() -> bool:
        if moment == "writing":
            return pipeline.scratch_shards() >= 1
        # The store has its final name, in the workspace or in a temporary one; DVC has not recorded it yet.
        places = [pipeline.folder, *(pipeline.folder / ".dvc" / "tmp" / "exps").glob("standalone/*")]
        return any((place / "features" / "layer1.zarr").exists() for place in places)

    pipeline.kill_when(words, is_time)
    num_shards, written = pipeline.scratch_shards(), modification_times(pipeline)
    assert num_shards >= (1 if moment == "writing" else 3)
    pipeline.run("git", "checkout", "-qf", "main")
    pipeline.run(*words)
    if "--temp" in words:
        experiment = pipeline.run("dvc", "exp", "list", "--name-only").split()[0]
        pipeline.run("dvc", "exp", "apply", experiment)
    assert store_bytes(pipeline) == store_bytes(finished)
    if moment == "hashing":
        assert written  # Nothing was computed again: the published files are those of the killed run.
        published = pipeline.folder / "features" / "layer1.zarr" / "activations" / "c.0.0.0"
        assert published.stat().st_mtime_ns == written["c.0.0.0"]


def modification_times(pipeline: Pipeline) -> dict[str, int]:
    shards = (pipeline.folder / ".dvc" / "tmp" / "extract").glob("*/*.zarr/activations/c.*")
    return {path.name: path.stat().st_mtime_ns for path in shards}


@pytest.mark.slow
def test_a_killed_queued_experiment_continues_when_queued_again(fresh: Pipeline, finished: Pipeline, tmp_path: Path) -> None:
    pipeline = fresh.copy(tmp_path / "copy")
    queue = ("dvc", "exp", "run", "--queue", "-n", "queued", "-f")
    pipeline.run(*queue)
    # Through a pipe this command would block until the worker ends.
    pipeline.start("dvc", "queue", "start").wait(60)
    wait_for(lambda: pipeline.scratch_shards() >= 1)
    pipeline.kill_strays()
    num_shards = pipeline.scratch_shards()
    assert num_shards >= 1
    pipeline.run("dvc", "queue", "remove", "--all", check=False)
    pipeline.run(*queue)
    pipeline.run_queue()
    pipeline.run("dvc", "exp", "apply", "queued")
    assert store_bytes(pipeline) == store_bytes(finished)


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_mistyped_parameter_stops_the_stage_with_one_sentence(finished: Pipeline, tmp_path: Path) -> None:
    pipeline = finished.copy(tmp_path / "copy")
    printed = pipeline.run("dvc", "exp", "run", "-S", "train.learning_rate=fast", check=False)
    assert "train.learning_rate: found 'fast', allowed is a number" in printed
    assert "Traceback" not in printed


def test_the_plots_are_drawn_without_network(finished: Pipeline, tmp_path: Path, browser: "Browser") -> None:
    pipeline = finished.copy(tmp_path / "copy")
    pipeline.run("dvc", "plots", "show")
    page = pipeline.folder / "dvc_plots" / "index.html"
    assert "https://cdn." in page.read_text()  # DVC's own page still works where nobody ran `make setup`.
    pipeline.run("python", "-m", "galaxies", "plots-page")
    assert pipeline.run("git", "status", "--porcelain") == ""
    for command, num_revisions in ((("show",), 1), (("diff", "HEAD"), 2)):
        pipeline.run("dvc", "plots", *command)
        browser.open(page)
        text = page.read_text()
        # The toys have no positions, so their tables of strata are empty, and DVC writes an empty plot.
        num_plots = text.count("vegaEmbed('#") - text.count("var spec = {};")
        assert num_plots >= 8
        browser.wait(f"return document.querySelectorAll('.vega-embed svg.marks').length == {num_plots}")
        num_marks = browser.run(NUM_MARKS)
        assert len(num_marks) == num_plots
        assert min(num_marks) > 0
        sizes = browser.run("return [...document.images].map(image => image.naturalWidth)")
        assert sizes == [1200] * num_revisions
        assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
        # A click on a class fades the others in every panel.
        browser.driver.find_element("css selector", "#metrics_threshold_curves_csv .role-legend-label text").click()
        browser.wait(f"const lines = {CURVES}; return lines.some(fades) && !lines.every(fades)" + FADES)
        assert browser.complaints() == []
        assert browser.external_requests() == []


CURVES = "[...document.querySelectorAll('#metrics_threshold_curves_csv .mark-line path')]"
FADES = "; function fades(line) { return getComputedStyle(line).opacity < 0.5 }"

# Of each plot; titles, axes and grids have other roles.
NUM_MARKS = """return [...document.querySelectorAll('.vega-embed')].map(
    plot => [...plot.querySelectorAll('.role-mark path')].filter(
        path => path.getBBox().width + path.getBBox().height > 0).length)"""
