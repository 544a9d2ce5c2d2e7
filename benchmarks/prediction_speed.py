"""`galaxies predict` on a folder of JPEGs beside its two parts, decoding alone and the forward pass alone.

    python -m benchmarks.prediction_speed
    python -m benchmarks.prediction_speed --case resnet50:layer4 --num-images 2048 --rounds 7

Both parts may use all cores, as `predict` may. On a CPU they share them, so that the bar is 1 / (1/decode + 1/forward), which
nothing that does both can pass; on a GPU it is the slower of the two. `predict` also lists the folder, and writes and joins
parts of a Parquet file. The JPEGs are pictures of the simulated survey. Ratios are medians over rounds in which all three take
turns.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.measuring import describe_machine, extract_params, interleave, make_parser, median_ratio
from galaxies.backbones.backbone import Backbone, load_backbone
from galaxies.backbones.spec import ExtractParams
from galaxies.data.field_of_view import FieldOfView
from galaxies.features.identity import Identity
from galaxies.heads.calibration import Calibration
from galaxies.heads.class_meaning import ClassMeaning
from galaxies.heads.head import Head, TrainedHead
from galaxies.heads.novelty import fit_novelty
from galaxies.prediction.model import Model
from galaxies.prediction.run import PredictOptions, predict_inputs
from galaxies.runtime import RuntimeParams
from galaxies.simulation.survey import simulate_survey
from galaxies.sources.decoding import decode_batches, silent_readers
from galaxies.sources.inputs import list_inputs

CASES = ("resnet18_half:layer3+layer4:galaxies-v1", "resnet50:layer4:random")

_NUM_PICTURES = 24
_NUM_CLASSES = 10


def main() -> None:
    """Print a row for each case."""
    parser = make_parser(__doc__)
    parser.add_argument("--case", action="append", help=f"backbone:layer:weights; default {', '.join(CASES)}")
    parser.add_argument("--num-images", type=int, default=400)
    parser.add_argument("--image-size", type=int, default=256, help="px of the JPEGs")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(describe_machine(device))
    print(f"{'images/s':<42}{'decode':>9}{'forward':>9}{'predict':>9}{'/ bar':>8}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "images"
        write_pictures(folder, arguments.num_images, arguments.image_size)
        for case in arguments.case or CASES:
            backbone_name, layer, weights = case.split(":")
            params = extract_params(backbone=backbone_name, layers=(layer,), weights=weights)
            rates = measure_case(folder, make_model(params, device), arguments.batch_size, arguments.rounds)
            pairs = list(zip(rates["decode"], rates["forward"], strict=True))
            bar = [1 / (1 / d + 1 / f) if device.type == "cpu" else min(d, f) for d, f in pairs]
            medians = "".join(f"{statistics.median(rates[name]):>9.1f}" for name in ("decode", "forward", "predict"))
            print(f"{case:<42}{medians}{median_ratio(rates['predict'], bar):>8.3f}", flush=True)


def write_pictures(folder: Path, num_images: int, image_size: int) -> None:
    """Write some simulated galaxies as JPEGs, under as many names as are wanted."""
    folder.mkdir()
    blocks = simulate_survey(num_galaxies=_NUM_PICTURES, image_size=image_size, seed=0, num_workers=0)
    pictures = [picture for block in blocks for picture in block.images]
    for index in range(num_images):
        path = folder / f"{index:06d}.jpg"
        if index < _NUM_PICTURES:
            Image.fromarray(pictures[index]).save(path, quality=90)
        else:
            os.link(folder / f"{index % _NUM_PICTURES:06d}.jpg", path)


def make_model(params: ExtractParams, device: torch.device) -> Model:
    """Return a model with an untrained head: for speed the numbers do not matter."""
    backbone: Backbone = load_backbone(params.spec, layers=params.layers)
    (layer,) = params.layers
    identity = Identity.expected(params, layer, "no catalog").found(backbone.weights_digest, backbone.transform)
    num_features = {"layer3+layer4": 384, "layer4": 2048}[layer]
    names = tuple(f"class {index}" for index in range(_NUM_CLASSES))
    features = torch.randn(4 * num_features, num_features, generator=torch.Generator().manual_seed(0))
    head = Head(num_features, _NUM_CLASSES).eval()
    novelty = fit_novelty(features, features[:100])
    return Model(
        TrainedHead(
            head,
            ClassMeaning(Calibration(1.0, (0.1,) * _NUM_CLASSES, 0.5), names, (1,) * _NUM_CLASSES),
            identity,
            FieldOfView(256, None, None, None),
            novelty,
            None,
        ),
        backbone,
        device=device,
        digest="",
    )


def measure_case(folder: Path, model: Model, batch_size: int, num_rounds: int) -> dict[str, list[float]]:
    """Return images/s in each round of decoding, of the forward pass, and of the whole prediction."""
    num_threads = RuntimeParams().count_workers()
    num_images = len(list(folder.iterdir()))

    def decode() -> list[list[NDArray[np.uint8]]]:
        inputs = list_inputs(str(folder))
        batches = decode_batches(inputs, None, batch_size=batch_size, num_threads=num_threads, num_ahead=1)
        return [[one.image for one in batch if one.image is not None] for batch in batches]

    with silent_readers():
        images = decode()

    def forward() -> None:
        for batch in images:
            model.predict_list(batch)

    def predict() -> None:
        with tempfile.TemporaryDirectory() as name:
            options = PredictOptions(batch_size, num_threads)
            predict_inputs(str(folder), Path(name) / "predictions.parquet", model, options)

    def rate(call: Callable[[], object]) -> float:
        started = time.perf_counter()
        call()
        return num_images / (time.perf_counter() - started)

    forward()  # The first call chooses kernels.
    return interleave(
        {"decode": lambda: rate(decode), "forward": lambda: rate(forward), "predict": lambda: rate(predict)}, num_rounds
    )


if __name__ == "__main__":
    main()
