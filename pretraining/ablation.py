"""What transfers best, with the same processor time for each candidate: objectives and networks, trained small, side by side.

Usage: python -m pretraining.ablation SHARDS REAL --seconds 120. Each is scored by a linear head on *validation* rows of real
galaxies that no backbone is trained on; no test row is read.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import StratifiedShuffleSplit
from tqdm import tqdm

from galaxies.backbones.backbone import load_backbone
from galaxies.backbones.spec import BackboneSpec
from pretraining.export import export_weights
from pretraining.measure import NUM_SPLITS, TEST_FRACTION, Candidate, choose_penalty, compute_features, read_galaxies
from pretraining.shards import shard_path
from pretraining.training import MEAN, STD, Phase, Settings, Stream, Training, train

_IMAGE_SIZE, _TESTED_SIZE = 48, 64  # px, in training and on the real galaxies
_RATE = 2e-3
_NUM_TIMED = 8  # steps, to find out how many fit into the time


@dataclass(frozen=True)
class Trial:
    """What is trained, and the node whose pooled activations are tested."""

    name: str
    settings: Settings
    layer: str = "layer4"


_BASE = Settings()
TRIALS = (
    Trial("class", replace(_BASE, parameter_weight=0.0)),
    Trial("parameters", replace(_BASE, class_weight=0.0)),
    Trial("class + parameters", _BASE),
    Trial("VICReg", replace(_BASE, class_weight=0.0, parameter_weight=0.0, invariance_weight=1.0)),
    Trial("class + parameters + VICReg", replace(_BASE, invariance_weight=0.5)),
    Trial("mobilenet_v3_small", replace(_BASE, network="mobilenet_v3_small"), "features.12"),
    Trial("shufflenet_v2_x1_0", replace(_BASE, network="shufflenet_v2_x1_0"), "conv5"),
    Trial("regnet_x_400mf", replace(_BASE, network="regnet_x_400mf"), "trunk_output"),
    Trial("efficientnet_b0", replace(_BASE, network="efficientnet_b0"), "features.8"),
)
"""Objectives with resnet18_half, then other networks with its objective."""


def run_trial(trial: Trial, shards: Path, real: Path, *, seconds: float, num_shards: int) -> tuple[int, float, float]:
    """Train for so much processor time; return the steps, balanced accuracy on validation rows and its standard deviation."""
    num_steps = _count_steps(trial.settings, shards, seconds, num_shards)
    phase = Phase(num_steps, num_shards, _IMAGE_SIZE, (_RATE, 0.0), average_decay=0.99)
    with tempfile.TemporaryDirectory() as name:
        checkpoint, weights = Path(name) / "run.pt", Path(name) / "weights.safetensors"
        train(shards, checkpoint, settings=trial.settings, phases=[phase], save_every=num_steps)
        export_weights(checkpoint, weights)
        backbone = load_backbone(
            BackboneSpec(
                trial.settings.network, weights=str(weights), weights_sha256="any", image_size=_TESTED_SIZE, mean=MEAN, std=STD
            ),
            layers=[trial.layer],
        )
    images, labels = read_galaxies(real)
    features = compute_features(Candidate(backbone, (trial.layer,)), images)
    splits = StratifiedShuffleSplit(NUM_SPLITS, test_size=TEST_FRACTION, random_state=0).split(features, labels)
    scores = [choose_penalty(features[rest], labels[rest], number)[1] for number, (rest, _) in enumerate(splits)]
    return num_steps, float(np.mean(scores)), float(np.std(scores, ddof=1))


def _count_steps(settings: Settings, shards: Path, seconds: float, num_shards: int) -> int:
    """Return how many steps fit into the time, by taking a few."""
    stream = Stream(shards, seed=settings.seed, num_shards=num_shards, image_size=settings.rendered_size)
    training, phase = Training(settings), Phase(_NUM_TIMED, num_shards, _IMAGE_SIZE, (_RATE, _RATE))
    training.advance(stream, phase, 0)
    start = time.process_time()
    for _ in range(1, _NUM_TIMED):
        training.advance(stream, phase, 0)
    return round(seconds * (_NUM_TIMED - 1) / (time.process_time() - start))


def main() -> int:
    """Print a line a trial."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path, help="made by `python -m pretraining render`")
    parser.add_argument("real", type=Path, help="HDF5 in the Galaxy10 schema")
    parser.add_argument("--seconds", type=float, default=120, help="of processor time, to train each")
    parser.add_argument("--only", nargs="+", choices=[trial.name for trial in TRIALS], help="default: all")
    options = parser.parse_args()
    torch.set_num_threads(1)
    num_shards = 0
    while shard_path(options.shards, _BASE.seed, num_shards).exists():
        num_shards += 1
    print(f"{'':<30}{'steps':>7}{'balanced accuracy, validation':>32}", flush=True)
    for trial in tqdm([trial for trial in TRIALS if trial.name in (options.only or [trial.name])], unit="trial"):
        steps, mean, deviation = run_trial(trial, options.shards, options.real, seconds=options.seconds, num_shards=num_shards)
        tqdm.write(f"{trial.name:<30}{steps:>7}{mean:>24.3f} ± {deviation:.3f}", file=sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
