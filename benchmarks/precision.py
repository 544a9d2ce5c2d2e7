"""How to run the forward pass on a CPU: precision, memory format, folding and compiler beside each other.

Speed, error against the default, and what it does to a head on real galaxies:

    python -m benchmarks.precision real/efigi.h5 mobilenet_v2 weights/mobilenet_v2_imagenet.pth features.18

Every way sees the same galaxies, batch by batch in turns, so that a busy machine slows them alike; the time is processor time
from the second batch on (the first one compiles and chooses kernels). On a CPU without bfloat16 instructions bfloat16 is the
slower, so float32 is the default. The head is a logistic regression (C = 0.01) on standardised features, in five stratified
splits of 80 and 20 %.
"""

import argparse
import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import fx
from tqdm import trange

from galaxies.backbones.backbone import Backbone, cut, load_backbone
from galaxies.backbones.folding import fold_batch_norms
from galaxies.backbones.spec import BackboneSpec
from galaxies.backbones.transform import prepare
from galaxies.data.galaxy_file import GalaxyFile

_DEFAULT = "float32"
_HALF = (0.5, 0.5, 0.5)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("galaxies", type=Path, help="in the Galaxy10 schema")
    parser.add_argument("backbone")
    parser.add_argument("weights", help="a state dict whose images were scaled to [-1, 1]")
    parser.add_argument("layer")
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument("--num-galaxies", type=int, default=1 << 30, help="use so many, evenly spread over the file")
    parser.add_argument("--batch-size", type=int, default=32)
    options = parser.parse_args()
    backbone = load_backbone(
        BackboneSpec(
            options.backbone,
            weights=options.weights,
            weights_sha256="any",
            image_size=options.image_size,
            mean=_HALF,
            std=_HALF,
        ),
        layers=[options.layer],
    )
    with GalaxyFile(options.galaxies) as galaxies:
        num_galaxies = min(options.num_galaxies, galaxies.num_galaxies)
        indices = np.linspace(0, galaxies.num_galaxies - 1, num_galaxies).astype(np.int64)
        features, seconds = extract_all(backbone, options.layer, galaxies, indices, options.batch_size)
        labels = galaxies.labels[indices]
    reference = features[_DEFAULT]
    print(f"{options.backbone} {options.layer}, {num_galaxies} galaxies of {options.galaxies.name} at {options.image_size} px")
    print(f"{'':<22}{'time':>6}{'error':>10}  {'accuracy':<16}trained on float32")
    for name, found in features.items():
        error = float(np.sqrt(np.square(found - reference).mean() / np.square(reference).mean()))
        own, crossed = (accuracy(train, found, labels) for train in (found, reference))
        print(
            f"{name:<22}{seconds[name] / seconds[_DEFAULT]:6.2f}{error:10.2g}  {own.mean():.3f} ± {own.std():.3f}   "
            f"{crossed.mean():.3f}"
        )


def extract_all(
    backbone: Backbone, layer: str, galaxies: GalaxyFile, indices: NDArray[np.int64], batch_size: int
) -> tuple[dict[str, NDArray[np.float32]], dict[str, float]]:
    """Return the features (N, C) and the processor seconds of each way."""
    ways = list_ways(cut(backbone.module, [layer]), layer)
    seconds = dict.fromkeys(ways, 0.0)
    features: dict[str, list[torch.Tensor]] = {name: [] for name in ways}
    for start in trange(0, len(indices), batch_size, unit="batch"):
        images = torch.from_numpy(galaxies.read_images(indices[start : start + batch_size])).permute(0, 3, 1, 2)
        pixels = prepare(images, backbone.transform)
        for name, compute in ways.items():
            started = time.process_time()
            features[name].append(compute(pixels))
            if start > 0:
                seconds[name] += time.process_time() - started
    return {name: torch.cat(parts).numpy() for name, parts in features.items()}, seconds


def list_ways(network: fx.GraphModule, layer: str) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """Return the ways to come from pixels (B, 3, s, s) to pooled features (B, C); the first is what `extract` does."""
    plain = copy.deepcopy(network).to(memory_format=torch.channels_last)
    folded = fold_batch_norms(network)
    channels_last = copy.deepcopy(folded).to(memory_format=torch.channels_last)

    def way(module: Any, memory_format: torch.memory_format, precision: str) -> Callable[[torch.Tensor], torch.Tensor]:
        @torch.inference_mode()
        def compute(pixels: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                activation: torch.Tensor = module(pixels.contiguous(memory_format=memory_format))[layer]
            return activation.float().mean((2, 3))

        return compute

    return {
        _DEFAULT: way(channels_last, torch.channels_last, "float32"),
        "float32, not folded": way(plain, torch.channels_last, "float32"),
        "float32, contiguous": way(folded, torch.contiguous_format, "float32"),
        "float32, compiled": way(torch.compile(channels_last), torch.channels_last, "float32"),
        "bfloat16": way(channels_last, torch.channels_last, "bfloat16"),
    }


def accuracy(train: NDArray[np.float32], test: NDArray[np.float32], labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the accuracy of each split, of a head trained on features (N, C) of ``train`` and tested on those of ``test``."""
    splits = StratifiedShuffleSplit(5, test_size=0.2, random_state=0).split(train, labels)
    scores = []
    for train_rows, test_rows in splits:
        head = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
        scores.append(head.fit(train[train_rows], labels[train_rows]).score(test[test_rows], labels[test_rows]))
    return np.array(scores)


if __name__ == "__main__":
    main()
