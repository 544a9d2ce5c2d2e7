"""The command itself, in a process of its own: killed at any moment, and in constant memory."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

import galaxies
from galaxies.features import store
from galaxies.prediction.model import Model
from galaxies.prediction.run import PredictOptions, predict_inputs
from galaxies.work_folder import work_path_beside
from tests.pipelines import REPOSITORY
from tests.predicting import save_toy_head
from tests.toys import toy_images

NUM_IMAGES = 640
NUM_KILLED = 120
BLOCK_ROWS = 8
OPTIONS = PredictOptions(batch_size=BLOCK_ROWS)

_KILLED_PROGRAM = f"""
import sys, torch
from galaxies.features import store
from galaxies.__main__ import main
torch.set_num_threads({torch.get_num_threads()})
store._MAX_SHARD_ROWS = {BLOCK_ROWS}
main([*sys.argv[1:], "--model-dir", "models", "--device", "cpu", "--num-workers", "1"])
"""

_MEMORY_PROGRAM = """
import resource, galaxies
from pathlib import Path
from galaxies.prediction import run as prediction_run
model = galaxies.load("models", device="cpu")
peaks = []
for limit in (128, 640):
    prediction_run.predict_inputs("images", Path("out.parquet"), model, prediction_run.PredictOptions(limit=limit))
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print((peaks[1] - peaks[0]) / 512)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with a head and many names of one image, which takes 48 KiB."""
    folder = tmp_path_factory.mktemp("process")
    save_toy_head(folder)
    (folder / "images").mkdir()
    for index in range(NUM_IMAGES):
        path = folder / "images" / f"{index:04d}.png"
        if index:
            os.link(folder / "images" / "0000.png", path)
        else:
            Image.fromarray(toy_images(1, size=128)[0]).save(path, compress_level=1)
    return folder


def start(folder: Path, program: str, *arguments: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TQDM_DISABLE": "1"}
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)


def test_memory_does_not_grow_with_the_number_of_inputs(folder: Path) -> None:
    """A decoded image kept too long would be 48 KiB an input."""
    printed, _ = start(folder, _MEMORY_PROGRAM).communicate(timeout=120)
    assert float(printed) < 8  # KiB; 2 were measured over 2,000 inputs.


@pytest.mark.parametrize("kept", [False, True], ids=["thrown away", "kept"])
def test_a_killed_process_is_continued_to_the_same_bytes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    out, keep = tmp_path / "out.csv", tmp_path / "survey.zarr" if kept else None
    keeping = ["--keep", str(keep)] if keep else []
    command = ("predict", "images", "--out", str(out), "--batch-size", str(BLOCK_ROWS), "--limit", str(NUM_KILLED), *keeping)
    process = start(folder, _KILLED_PROGRAM, *command)
    table = work_path_beside(keep or out) / "layer1.table"
    deadline = time.monotonic() + 120
    while not (table / "000002.parquet").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert not out.exists()

    num_images = 0
    resize = Model.resize

    def count(self: Model, images: list[object]) -> object:
        nonlocal num_images
        num_images += len(images)
        return resize(self, images)  # type: ignore[arg-type]

    monkeypatch.chdir(folder)
    monkeypatch.setattr(store, "_MAX_SHARD_ROWS", BLOCK_ROWS)
    monkeypatch.setattr(Model, "resize", count)
    model = galaxies.load("models", device="cpu")
    options = replace(OPTIONS, limit=NUM_KILLED)
    predict_inputs("images", out, model, replace(options, keep=keep))
    assert num_images <= 1 + NUM_KILLED - 2 * BLOCK_ROWS  # One of noise, that tells the layout.
    predict_inputs("images", tmp_path / "whole.csv", model, options)
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert [path.name for path in tmp_path.glob(".*")] == []
