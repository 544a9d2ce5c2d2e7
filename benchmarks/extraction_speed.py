"""The `extract` stage beside the quickest bare forward pass of the same network, and beside what the processor can do.

    python -m benchmarks.extraction_speed
    python -m benchmarks.extraction_speed --case resnet50:layer4:avg --num-galaxies 2048 --rounds 7

The stage reads HDF5, checks each image, resizes and normalises, computes, pools or keeps the map, and writes and records
shards; timed from the first batch that is read to the published store, in a process of its own, for with maps it changes how
the whole process keeps memory. The bare passes are those of `benchmarks.forward` in float32, with a batch ready in memory:
PyTorch's eager one, compiled with frozen weights, ONNX Runtime in both ways, OpenVINO where it is installed. `limit` is the
share of the larger rate that PyTorch and ONNX Runtime reach in a product of large matrices. Figures and ratios are medians over
rounds in which all take turns; the best is the one with the highest median. For a CPU; `benchmarks.gpu` is for a GPU.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.forward import count_flops, make_products, product_flops, rate
from benchmarks.forward_ways import make_ways
from benchmarks.measuring import (
    describe_machine,
    extract_params,
    interleave,
    make_parser,
    median_ratio,
    open_images,
    run_apart,
    run_extraction,
    write_noise,
)
from galaxies.backbones.backbone import load_backbone
from galaxies.backbones.spec import ExtractParams
from galaxies.backbones.transform import prepare
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.runtime import Library, RuntimeParams

CASES = ("resnet50:layer4:avg", "resnet50:layer3:map", "mobilenet_v2:features.18:avg")


class TimedFile(GalaxyFile):
    """Notes when the first whole batch is asked for: before that the stage checks the backbone."""

    started: float | None = None

    def read_content(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Return the images."""
        if self.started is None and len(indices) > 8:
            self.started = time.perf_counter()
        return super().read_content(indices)


def main() -> None:
    """Print a row for each case."""
    parser = make_parser(__doc__)
    parser.add_argument("--case", action="append", help=f"backbone:layer:pool; default {', '.join(CASES)}")
    parser.add_argument("--num-galaxies", type=int, default=256)
    parser.add_argument("--image-size", type=int, default=256, help="px in the file")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--forward", choices=("torch", "onnxruntime"), default="onnxruntime", help="of the stage")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn of a bare pass")
    parser.add_argument("--stage", type=Path, metavar="FOLDER", help="used by the benchmark itself")
    options = parser.parse_args()
    cases = options.case or CASES
    if options.stage:
        print(json.dumps({"rate": stage_rate(options.stage, _case_params(cases[0]), options.batch_size, options.forward)}))
        return
    print(describe_machine(torch.device("cpu")))
    print(f"{'images/s':<30}{'eager':>8}{'best':>8}  {'which':<20}{'stage':>8}{'/ eager':>9}{'/ best':>8}{'limit':>7}")
    with tempfile.TemporaryDirectory() as name:
        write_noise(Path(name) / "galaxies.h5", options.num_galaxies, options.image_size)
        for case in cases:
            print(format_case(case, *measure_case(Path(name), case, options)), flush=True)


def format_case(case: str, rates: dict[str, list[float]], flops: int) -> str:
    """Return the line of a case."""
    limit = max(statistics.median(given) for way, given in rates.items() if way.startswith("product"))
    bare = {way: statistics.median(given) for way, given in rates.items() if not way.startswith(("product", "stage"))}
    best, stage = max(bare, key=lambda way: bare[way]), statistics.median(rates["stage"])
    to_eager, to_best = (median_ratio(rates["stage"], rates[way]) for way in ("torch", best))
    share = stage * flops / (limit * product_flops())
    measured = f"{bare['torch']:>8.1f}{bare[best]:>8.1f}  {best:<20}{stage:>8.1f}"
    return f"{case:<30}{measured}{to_eager:>9.2f}{to_best:>8.2f}{share:>7.2f}"


def _case_params(case: str) -> ExtractParams:
    backbone, layer, pool = case.rsplit(":", 2)
    return extract_params(backbone=backbone, layers=(layer,), pool=pool)


def measure_case(folder: Path, case: str, options: Any) -> tuple[dict[str, list[float]], int]:
    """Return images/s in each round of each bare pass and of the stage, products/s, and the operations of an image."""
    params = _case_params(case)
    backbone = load_backbone(params.spec, layers=params.layers)
    with GalaxyFile(folder / "galaxies.h5") as galaxies:
        images = torch.from_numpy(galaxies.read_images(np.arange(min(options.batch_size, galaxies.num_galaxies))))
    pixels = prepare(images.permute(0, 3, 1, 2), backbone.transform)
    ways = {name: make() for name, make in make_ways(backbone, params.layers[0], pixels) if "bfloat16" not in name}
    for call in ways.values():
        call()  # The first call chooses kernels.

    def stage() -> float:
        passed = ("--stage", folder, "--case", case, "--batch-size", options.batch_size, "--forward", options.forward)
        return float(run_apart("benchmarks.extraction_speed", *passed)["rate"])

    turns = {name: partial(_image_rate, call, len(images), options.seconds) for name, call in ways.items()}
    products = {f"product {name}": partial(rate, call, 1.0) for name, call in make_products()}
    given = interleave({**turns, **products, "stage": stage}, options.rounds)
    return given, count_flops(backbone.module, pixels[:1], params.layers)


def _image_rate(call: Callable[[], object], num_images: int, seconds: float) -> float:
    return num_images * rate(call, seconds)


def stage_rate(folder: Path, params: ExtractParams, batch_size: int, forward: Library) -> float:
    """Return images/s of the stage on the galaxies in ``folder``, from the first batch on."""
    backbone = load_backbone(params.spec, layers=params.layers)
    with tempfile.TemporaryDirectory(dir=folder) as scratch, TimedFile(folder / "galaxies.h5") as galaxies:
        images, runtime = open_images(galaxies), RuntimeParams(forward=forward, batch_size=batch_size)
        run_extraction(Path(scratch), images, backbone, params, runtime=runtime)
        assert galaxies.started is not None
        return len(images) / (time.perf_counter() - galaxies.started)


if __name__ == "__main__":
    main()
