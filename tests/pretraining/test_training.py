"""Pretraining: what the network sees, what it is asked for, and that an interrupted run is the uninterrupted one."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from galaxies.errors import InputError
from pretraining.augmentation import augment
from pretraining.objectives import NUM_ANSWERS, class_loss, invariance_loss, parameter_loss
from pretraining.shards import render_shards
from pretraining.stream import TARGET_NAMES
from pretraining.training import Phase, Settings, train

TOY = Settings(batch_size=4, rendered_size=32)
PHASES = (Phase(2, 1, 32, (1e-3, 1e-3)), Phase(2, 2, 24, (1e-3, 0.0)))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pretraining.shards.SHARD_GALAXIES", 10)
        render_shards(folder, seed=0, shards=range(2), image_size=32, num_workers=1)
    return folder


def test_augmented_images_are_magnified_by_what_is_said() -> None:
    disc = torch.hypot(*torch.meshgrid(torch.arange(-63.5, 64), torch.arange(-63.5, 64), indexing="ij")) < 20
    images = (disc * 255).to(torch.uint8).expand(16, 3, 128, 128)
    pixels, magnification = augment(images, 96, torch.Generator().manual_seed(0))
    assert pixels.shape == (16, 3, 96, 96)
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    for image, enlarged in zip(pixels.mean(1), magnification.tolist(), strict=True):
        half = (image.min() + image.max()) / 2
        area = float((image > half).sum())
        assert math.sqrt(area / math.pi) == pytest.approx(20 * 96 / 128 * enlarged, rel=0.15)


def test_augmentation_follows_its_generator() -> None:
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    first, second, other = (augment(images, 24, torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_unknown_targets_do_not_count() -> None:
    outputs = torch.zeros(2, NUM_ANSWERS, requires_grad=True)
    targets = torch.full((2, len(TARGET_NAMES)), math.nan)
    targets[0, 3] = 0.5
    assert class_loss(outputs, torch.tensor([0, 1])).item() == pytest.approx(math.log(10))
    loss = parameter_loss(outputs, targets)
    assert loss.item() == pytest.approx(0.5 * 0.5**2)
    loss.backward()  # type: ignore[no-untyped-call]
    assert outputs.grad is not None
    assert outputs.grad.count_nonzero() == 1


def test_the_invariance_loss_is_that_of_its_paper() -> None:
    first, second = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.tensor([[1.0, 0.5], [-1.0, -0.5]])
    # Distance: two of four values differ by 0.5. Spread: variances 2 and 0 (hinge 1 - 0.01), 2 and 0.5.
    # Covariances: 0, and 1 off the diagonal, twice, over two dimensions.
    spread = ((1 - 1e-4**0.5) / 2 + (1 - (0.5 + 1e-4) ** 0.5) / 2) / 2
    assert invariance_loss(first, second).item() == pytest.approx(0.125 + spread + 1 / 25)
    assert invariance_loss(first.zero_(), first).item() > 0.9  # All alike: the very thing that must not pay.


@pytest.mark.parametrize("settings", [TOY, replace(TOY, invariance_weight=1.0)], ids=["default", "two-views"])
def test_interrupted_training_continues_bit_for_bit(shards: Path, tmp_path: Path, settings: Settings) -> None:
    train(shards, tmp_path / "whole.pt", settings=settings, phases=PHASES)
    # Interrupted after the third step, inside the second phase: as if the machine had gone away.
    train(shards, tmp_path / "parts.pt", settings=settings, phases=PHASES, last_step=3)
    parts = torch.load(tmp_path / "parts.pt", weights_only=True)
    assert parts["step"] == 3
    train(shards, tmp_path / "parts.pt", settings=settings, phases=PHASES)
    whole, parts = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("whole", "parts"))
    assert whole["step"] == parts["step"] == 4
    for part in ("model", "average", "expander"):
        for name, tensor in whole[part].items():
            assert torch.equal(tensor, parts[part][name]), name


def test_a_checkpoint_of_other_settings_is_refused(shards: Path, tmp_path: Path) -> None:
    train(shards, tmp_path / "run.pt", settings=TOY, phases=PHASES[:1], last_step=1)
    other = Settings(batch_size=8, rendered_size=32)
    with pytest.raises(InputError, match=r"'batch_size': 4.*expected .*'batch_size': 8"):
        train(shards, tmp_path / "run.pt", settings=other, phases=PHASES)


def test_missing_shards_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"2 of 2 shards are missing, such as .*stream-0-00000.safetensors; render them"):
        train(tmp_path, tmp_path / "run.pt", settings=TOY, phases=PHASES)
