"""Three clouds of features that a head tells apart in milliseconds, and a training on them in one call."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from galaxies.backbones.ending import Ending
from galaxies.heads.batches import BatchOptions, ResidentBatches
from galaxies.heads.checkpoint import Checkpoint
from galaxies.heads.objectives import ClassObjective
from galaxies.heads.report import Fits
from galaxies.heads.train_params import TrainParams
from galaxies.heads.trainer import Trainer
from galaxies.params import parse_section

NAMES = ("a", "b", "c")
TRAIN, VAL, TEST = np.arange(0, 120), np.arange(120, 180), np.arange(180, 240)


def separable(seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return three clouds far apart, (240, 6), with offsets and scales that only standardisation evens out."""
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, 3, 240)
    features = generator.normal(size=(240, 6)) + 4 * np.eye(3, 6)[targets]
    return (features * [1, 100, 0.01, 1, 1, 1] + [0, 500, 0, 0, 0, 7]).astype(np.float32), targets.astype(np.int64)


def make_params(**changes: Any) -> TrainParams:
    """Return how a toy is trained, with ``changes`` as they may stand in params.yaml."""
    toy = {"layer": "layer4", "learning_rate": 0.01, "weight_decay": 0.01, "num_epochs": 20, "batch_size": 16}
    return parse_section(TrainParams, {**toy, **changes}, "train")


def make_trainer(
    features: NDArray[np.float32],
    targets: NDArray[np.int64],
    *,
    val_rows: NDArray[np.int64] = VAL,
    device: str = "cpu",
    ending_module: Ending | None = None,
    **changes: Any,
) -> Trainer:
    """Return the training on features in memory, (240, 6)."""
    params = make_params(**changes)
    options = BatchOptions(params.batch_size)
    train, val = (
        ResidentBatches(
            torch.from_numpy(features[rows]).to(device)[:, None], torch.from_numpy(targets[rows]).to(device), options
        )
        for rows in (TRAIN, val_rows)
    )
    return Trainer(train, val, ClassObjective(train.targets, NAMES, params), params, ending=ending_module)


def fit_toy(checkpoint: Checkpoint | None = None, **changes: Any) -> Fits:
    """Train on the separable features."""
    return make_trainer(*separable(), **changes).fit(checkpoint)
