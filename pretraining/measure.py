"""What backbones are worth on real galaxies: a linear head on their frozen features.

Usage: python -m pretraining.measure --help. Nothing here trains a backbone. N galaxies, V views, C channels, K classes.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from galaxies.backbones.backbone import Backbone, cut, load_backbone
from galaxies.backbones.spec import BackboneSpec
from galaxies.backbones.transform import prepare, turn
from galaxies.errors import InputError
from galaxies.evaluation.intervals import share_interval
from galaxies.evaluation.scores import measure_predicted
from galaxies.files import write_text

Features = NDArray[np.float32]  # (N, C)
Labels = NDArray[np.int64]  # (N,)

_PENALTIES = (0.001, 0.003, 0.01, 0.03, 0.1)  # the C of scikit-learn, from which validation rows choose
NUM_SPLITS, TEST_FRACTION, _VAL_FRACTION = 5, 0.2, 0.2  # the last one of what is no test row
_BATCH = 64
_SCORES = ("accuracy", "balanced_accuracy", "macro_f1")


@dataclass(frozen=True)
class Candidate:
    """A backbone to measure, and the nodes whose pooled activations are its features, one after the other."""

    backbone: Backbone
    layers: tuple[str, ...]


def compute_features(candidate: Candidate, images: NDArray[np.uint8], *, num_views: int = 1) -> Features:
    """Return the pooled activations (N, C) of images (N, S, S, 3), averaged over 1 or the 8 views of D4."""
    network = cut(candidate.backbone.module, candidate.layers).to(memory_format=torch.channels_last)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), _BATCH):
            batch = torch.from_numpy(images[start : start + _BATCH]).permute(0, 3, 1, 2)  # (B, 3, S, S)
            pixels = prepare(batch, candidate.backbone.transform)
            views = (turn(pixels, view) for view in range(num_views))
            activations = [network(view.contiguous(memory_format=torch.channels_last)) for view in views]
            pooled = [torch.cat([maps[layer].mean((2, 3)) for layer in candidate.layers], 1) for maps in activations]
            parts.append(torch.stack(pooled).mean(0).numpy())
    return np.concatenate(parts)


def choose_penalty(features: Features, labels: Labels, seed: int, *, class_weight: str | None = None) -> tuple[float, float]:
    """Return the C whose head has the best balanced accuracy on validation rows set aside here, and that accuracy."""
    split = StratifiedShuffleSplit(1, test_size=_VAL_FRACTION, random_state=seed)
    train, val = next(split.split(features, labels))
    scaler = StandardScaler().fit(features[train])
    seen, unseen = scaler.transform(features[train]), scaler.transform(features[val])
    # From the strongest penalty on, each fit starts from the one before.
    head = LogisticRegression(max_iter=2000, warm_start=True, class_weight=class_weight)
    scores = {}
    for penalty in _PENALTIES:
        head.set_params(C=penalty).fit(seen, labels[train])
        scores[penalty] = balanced_accuracy_score(labels[val], head.predict(unseen))
    best = max(scores, key=scores.__getitem__)
    return best, float(scores[best])


def fit_head(features: Features, labels: Labels, penalty: float, *, class_weight: str | None = None) -> Any:
    """Fit a logistic regression on standardised features; what is returned has scikit-learn's ``predict``."""
    head = LogisticRegression(C=penalty, max_iter=2000, class_weight=class_weight)
    return make_pipeline(StandardScaler(), head).fit(features, labels)


def score_splits(features: Features, labels: Labels) -> list[dict[str, float]]:
    """Score a linear head on five stratified splits of 80 % to fit and choose with, and 20 % to test on."""
    splits = StratifiedShuffleSplit(NUM_SPLITS, test_size=TEST_FRACTION, random_state=0)
    scores = []
    for number, (rest, test) in enumerate(splits.split(features, labels)):
        penalty, val_score = choose_penalty(features[rest], labels[rest], number)
        predicted = fit_head(features[rest], labels[rest], penalty).predict(features[test])
        scores.append({**measure_predicted(labels[test], predicted), "val_balanced_accuracy": val_score, "penalty": penalty})
    return scores


def paired_difference(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Return the mean of ``first - second`` over the splits, and its standard error.

    The training rows of random splits overlap, so the usual error of a mean would be too small; the variance is corrected
    as by Nadeau & Bengio 2003 (Machine Learning 52, 239).
    """
    differences = np.subtract(first, second)
    factor = 1 / len(differences) + TEST_FRACTION / (1 - TEST_FRACTION)
    return float(differences.mean()), float(np.sqrt(factor * differences.var(ddof=1)))


def milliseconds_per_image(candidates: Mapping[str, Candidate], num_rounds: int = 5) -> dict[str, float]:
    """Return the time of one image in a batch of 32 on one thread, transform excluded: the medians of interleaved rounds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times: dict[str, list[float]] = {name: [] for name in candidates}
    try:
        with torch.inference_mode():
            for _ in range(num_rounds + 1):
                for name, candidate in candidates.items():
                    network = cut(candidate.backbone.module, candidate.layers).to(memory_format=torch.channels_last)
                    size = candidate.backbone.transform.image_size
                    pixels = torch.zeros(32, 3, size, size).contiguous(memory_format=torch.channels_last)
                    # The process's own time, since other programs on the machine are not the backbone's fault.
                    start = time.process_time()
                    network(pixels)
                    times[name].append((time.process_time() - start) * 1000 / len(pixels))
    finally:
        torch.set_num_threads(threads)
    return {name: float(np.median(values[1:])) for name, values in times.items()}  # The first round warms up.


def measure_transfer(
    candidate: Candidate, simulated: Path, real: Path, *, num_views: int = 1
) -> dict[str, float | tuple[float, float]]:
    """Fit a head on a simulated survey and test it on real galaxies: as they are, and adapted.

    Adapted means without labels: the real features are given the mean and the deviation of the simulated ones. Classes weigh
    alike in the fit, as the survey's frequencies are not those of another set.
    """
    images, labels = read_galaxies(simulated)
    real_images, real_labels = read_galaxies(real)
    features = compute_features(candidate, images, num_views=num_views)
    real_features = compute_features(candidate, real_images, num_views=num_views)
    penalty, val_score = choose_penalty(features, labels, 0, class_weight="balanced")
    adapted = StandardScaler().fit_transform(real_features) * features.std(0) + features.mean(0)
    head = fit_head(features, labels, penalty, class_weight="balanced")
    result: dict[str, float | tuple[float, float]] = {"simulated_val_balanced_accuracy": val_score, "penalty": penalty}
    for name, tested in (("plain", real_features), ("adapted", adapted)):
        num_right = int((head.predict(tested) == real_labels).sum())
        result[f"{name}_accuracy"] = num_right / len(real_labels)
        low, high = share_interval(num_right, len(real_labels))
        result[f"{name}_interval_95"] = float(low), float(high)
    return result


def read_galaxies(path: Path) -> tuple[NDArray[np.uint8], Labels]:
    """Return images (N, S, S, 3) and labels (N,) of a file in the Galaxy10 schema, without constant images."""
    if not path.is_file():
        raise InputError(f"There is no file {path}; expected is one in the Galaxy10 schema (images, ans).")
    with h5py.File(path) as file:
        images, labels = file["images"][:], file["ans"][:].astype(np.int64)
    shown = images.min((1, 2, 3)) < images.max((1, 2, 3))
    return images[shown], labels[shown]


def main(arguments: list[str] | None = None) -> int:
    """Measure random, ImageNet and shipped weights on the same splits, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m pretraining.measure", description=__doc__)
    parser.add_argument("real", type=Path, help="real galaxies to fit and test heads on: HDF5 in the Galaxy10 schema")
    parser.add_argument("--weights", default="galaxies-v1", help="of resnet18_half: a name or a path")
    parser.add_argument("--layers", nargs="+", default=["layer4"], help="of resnet18_half, to be put one after the other")
    parser.add_argument("--image-size", type=int, help="px, of resnet18_half; default: the weights' own")
    parser.add_argument("--imagenet", type=Path, help="a state dict of mobilenet_v2, trained on [-1, 1], to compare with")
    parser.add_argument("--imagenet-size", type=int, default=224, help="px, of the images that it sees")
    parser.add_argument(
        "--views", type=int, choices=(1, 8), default=1, help="8: features averaged over flips and quarter turns"
    )
    parser.add_argument(
        "--simulated", type=Path, help="fit a head on this simulated survey instead, and test it on the real ones"
    )
    parser.add_argument("--out", type=Path, help="write all scores to this JSON file")
    options = parser.parse_args(arguments)
    try:
        result = _measure(options)
    except InputError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    if options.out is not None:
        write_text(options.out, json.dumps(result, indent=2) + "\n")
    return 0


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    candidates = _candidates(options)
    if options.simulated is not None:
        ours = measure_transfer(candidates["ours"], options.simulated, options.real, num_views=options.views)
        print("\n".join(f"{name:<32} {value}" for name, value in ours.items()))
        return {"ours": ours}
    images, labels = read_galaxies(options.real)
    times = milliseconds_per_image(candidates)
    result: dict[str, Any] = {}
    for name, candidate in candidates.items():
        result[name] = {
            "milliseconds_per_image": times[name],
            "splits": score_splits(compute_features(candidate, images, num_views=options.views), labels),
        }
    print(_format(result))
    return result


def _candidates(options: argparse.Namespace) -> dict[str, Candidate]:
    layers, size, half = tuple(options.layers), options.image_size, (0.5, 0.5, 0.5)
    random = load_backbone(BackboneSpec("resnet18_half", weights="random", image_size=size), layers=layers)
    is_file = options.weights.endswith(".safetensors")
    ours = load_backbone(
        BackboneSpec(
            "resnet18_half",
            weights=str(Path(options.weights).resolve()) if is_file else options.weights,
            weights_sha256="any" if is_file else None,
            image_size=size,
            mean=random.transform.mean if is_file else None,
            std=random.transform.std if is_file else None,
        ),
        layers=layers,
    )
    candidates = {"random": Candidate(random, layers), "ours": Candidate(ours, layers)}
    if options.imagenet is not None:
        candidates["imagenet"] = Candidate(
            load_backbone(
                BackboneSpec(
                    "mobilenet_v2",
                    weights=str(options.imagenet.resolve()),
                    weights_sha256="any",
                    image_size=options.imagenet_size,
                    mean=half,
                    std=half,
                ),
                layers=["features.18"],
            ),
            ("features.18",),
        )
    return candidates


def _format(result: Mapping[str, Any]) -> str:
    lines = [f"{'':<12}{'ms/image':>9}" + "".join(f"{name:>24}" for name in _SCORES)]
    for name, measured in result.items():
        cells = [f"{measured['milliseconds_per_image']:>9.2f}"]
        for key in _SCORES:
            values = [split[key] for split in measured["splits"]]
            cells.append(f"{np.mean(values):>15.3f} ± {np.std(values, ddof=1):.3f} ")
        lines.append(f"{name:<12}" + " ".join(cells))
    for name in result:
        if name != "ours":
            pair = ([split["balanced_accuracy"] for split in result[which]["splits"]] for which in ("ours", name))
            mean, error = paired_difference(*pair)
            lines.append(f"ours - {name}: {100 * mean:+.1f} ± {100 * error:.1f} points of balanced accuracy")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
