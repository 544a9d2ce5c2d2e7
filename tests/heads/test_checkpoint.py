"""A training that was killed continues from its last epoch to the very weights of one that was not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from galaxies.backbones.backbone import make_ending
from galaxies.backbones.ending import Ending
from galaxies.backbones.spec import BackboneSpec
from galaxies.errors import InputError
from galaxies.heads.checkpoint import open_checkpoint
from galaxies.heads.head import load_head
from galaxies.heads.report import Fits
from galaxies.heads.train_params import require_start
from stages import train
from tests.backbones.test_endings import folder, sections, write_store
from tests.training import fit_toy, separable

__all__ = ["folder"]

CHANGES: dict[str, Any] = {
    "hidden_layers": [8, "relu", "dropout 0.2"],
    "sweep": {"learning_rate": [0.01, 0.03]},
    "num_seeds": 2,
    "patience": 1,
    "early_stopping": 9,
    "num_epochs": 12,
}


def fit(root: Path, *, stop_after: int | None = None, **changes: Any) -> Fits:
    """Train, with a checkpoint after every epoch under ``root``; stop as a kill would after some epochs."""
    with open_checkpoint(root, {"toy": 1}, {}, seconds=0) as checkpoint:
        save = checkpoint.save

        def save_and_die(state: dict[str, Any], *, is_last: bool) -> None:
            save(state, is_last=is_last)
            if state["epoch"] == stop_after:
                raise KeyboardInterrupt

        checkpoint.save = save_and_die  # type: ignore[method-assign, assignment]
        return fit_toy(checkpoint, **{**CHANGES, **changes})


def toy_ending() -> Ending:
    """Return an ending with all that must come back: weights, BatchNorm's parameters and statistics, dropout."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        norm = nn.BatchNorm1d(8, momentum=None)
        blocks = nn.Sequential(nn.Linear(6, 8), norm, nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 5))
        with torch.no_grad():  # It has seen such features before, as a pretrained one has.
            blocks(torch.from_numpy(separable()[0]))
    return Ending(blocks, BackboneSpec("toy", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)), "toy")


def weights(fits: Fits) -> torch.Tensor:
    return torch.cat([value.flatten() for fit in fits.seeds for value in fit.head.state_dict().values()])


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("schedule", ["plateau", "cosine"])
def test_interrupted_and_resumed_is_uninterrupted_bit_for_bit(tmp_path: Path, optimizer: str, schedule: str) -> None:
    changes: dict[str, Any] = {"optimizer": optimizer, "schedule": schedule, "warmup_epochs": 2}
    expected = fit_toy(**CHANGES, **changes)
    for epoch in (1, 7):
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path, stop_after=epoch, **changes)
    resumed = fit(tmp_path, **changes)
    assert torch.equal(weights(resumed), weights(expected))
    assert resumed.seeds[1].epochs.equals(expected.seeds[1].epochs)
    assert resumed.settings.equals(expected.settings)


def test_a_descent_on_all_rows_is_resumed_too(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"optimizer": "lbfgs", "hidden_layers": [8, "tanh"], "sweep": {"weight_decay": [0.01, 0.1]}}
    expected = fit_toy(**{**CHANGES, **changes})
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, stop_after=4, **changes)
    resumed = fit(tmp_path, **changes)
    assert torch.equal(weights(resumed), weights(expected))
    assert resumed.settings.equals(expected.settings)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_kept_ending_whose_batch_norm_trains_comes_back_bit_for_bit(tmp_path: Path, precision: str) -> None:
    changes: dict[str, Any] = {"ending": "keep", "ending_batch_norm": "trained", "num_seeds": 1, "sweep": {}}
    changes |= {"precision": precision}
    endings = [toy_ending() for _ in range(3)]
    expected = fit_toy(**{**CHANGES, **changes}, ending_module=endings[0])
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, stop_after=5, ending_module=endings[1], **changes)
    resumed = fit(tmp_path, ending_module=endings[2], **changes)
    assert torch.equal(weights(resumed), weights(expected))
    start = toy_ending().state_dict()
    for name, value in endings[0].state_dict().items():
        assert torch.equal(endings[2].state_dict()[name], value)
        assert not torch.equal(start[name], value)
    assert expected.settings["val_accuracy"][0] > 0.6


def test_a_damaged_checkpoint_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, stop_after=3)
    (path,) = tmp_path.rglob("checkpoint.pt")
    path.write_bytes(path.read_bytes()[:-200])
    assert torch.equal(weights(fit(tmp_path)), weights(fit_toy(**CHANGES)))
    assert "damaged; training starts anew" in caplog.text


def test_a_finished_training_is_kept_until_another_ends_and_an_unfinished_one_longer(tmp_path: Path) -> None:
    def open_and_end(name: str, *, interrupt: bool = False) -> None:
        with open_checkpoint(tmp_path, {"name": name}, {}) as checkpoint:
            checkpoint.save({"name": name}, is_last=True)
            if interrupt:
                raise KeyboardInterrupt

    open_and_end("a")
    open_and_end("a")
    with pytest.raises(KeyboardInterrupt):
        open_and_end("b", interrupt=True)
    with open_checkpoint(tmp_path, {"name": "a"}, {}) as checkpoint:
        assert checkpoint.load() == {"name": "a"}
    open_and_end("c")
    with open_checkpoint(tmp_path, {"name": "a"}, {}) as checkpoint:
        assert checkpoint.load() is None
    with open_checkpoint(tmp_path, {"name": "b"}, {}) as checkpoint:
        assert checkpoint.load() == {"name": "b"}


def test_a_state_made_under_other_conditions_is_thrown_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for num_threads in (1, 2):
        with open_checkpoint(tmp_path, {"name": "a"}, {"num_threads": num_threads}) as checkpoint:
            assert checkpoint.load() is None
            checkpoint.save({"epoch": 1}, is_last=True)
    assert "starts anew: num_threads was 1, is 2" in caplog.text


def test_a_stage_killed_for_real_continues_to_the_same_head(folder: Path) -> None:
    extract, _ = sections("layer4", "avg", 1, num_epochs=200, hidden_layers=[16, "relu", "dropout 0.3"])
    write_store(extract)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    eager = "from stages import train; train.open_checkpoint.__wrapped__.__kwdefaults__.update(seconds=0); train.main()"
    process = subprocess.Popen([sys.executable, "-c", eager], env=environment)
    deadline = time.monotonic() + 120
    while not list(folder.glob(".dvc/tmp/train/*/checkpoint.pt")):
        assert process.poll() is None, "the training ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not Path("models/head.pt").exists()
    (path,) = folder.glob(".dvc/tmp/train/*/checkpoint.pt")
    assert 1 <= torch.load(path, weights_only=True)["epoch"] < 200
    # Another number of threads adds in another order, and is another training.
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train.main()
        resumed = Path("models/head.pt").read_bytes()
        path.unlink()
        train.main()
    finally:
        torch.set_num_threads(num_threads)
    assert Path("models/head.pt").read_bytes() == resumed


def test_a_kept_ending_can_start_from_another(folder: Path) -> None:
    changes: dict[str, Any] = {"ending": "keep", "ending_lr_factor": 1.0}
    extract, _ = sections("layer3", "map", 1, num_epochs=2, **changes)
    write_store(extract)
    train.main()
    first = load_head(Path("models/head.pt"))
    Path("models/head.pt").rename("start.pt")
    start = {"start_from": "start.pt", "start_from_sha256": "any"}
    sections("layer3", "map", 1, num_epochs=1, learning_rate=1e-10, **changes, **start)
    train.main()
    second = load_head(Path("models/head.pt"))
    assert first.ending is not None
    assert second.ending is not None
    fresh = make_ending(extract.spec, "layer3").state_dict()
    moved = 0.0
    for name, value in first.ending.state_dict().items():
        torch.testing.assert_close(second.ending.state_dict()[name], value)
        moved += float((fresh[name] - value).abs().sum())
    assert moved > 1
    extract, training = sections("layer4", "map", 1, ending="keep", **start)
    with pytest.raises(InputError, match=r"train\.layer: it has layer3, wanted is layer4"):
        require_start(first, training, extract.backbone, first.class_names)


def test_a_training_can_start_from_another_head(folder: Path) -> None:
    extract, _ = sections("layer4", "avg", 1, num_epochs=20)
    write_store(extract)
    train.main()
    first = load_head(Path("models/head.pt"))
    Path("models/head.pt").rename("start.pt")
    start = {"start_from": "start.pt", "start_from_sha256": "any"}
    sections("layer4", "avg", 1, num_epochs=1, learning_rate=1e-10, **start)
    train.main()
    second = load_head(Path("models/head.pt"))
    for name, value in first.head.state_dict().items():
        torch.testing.assert_close(second.head.state_dict()[name], value)
    sections("layer4", "avg", 1, hidden_layers=[4], **start)
    with pytest.raises(
        InputError, match=r"start\.pt is a head of another kind:\n  train\.hidden_layers: it has \[\], wanted is"
    ):
        train.main()
    sections("layer4", "avg", 1, start_from="start.pt")
    with pytest.raises(InputError, match=r"train\.start_from_sha256: no digest is set"):
        train.main()
