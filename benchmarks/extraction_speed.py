"""The `extract` stage beside the bare forward pass of the same network, batch and precision.

    python -m benchmarks.extraction_speed
    python -m benchmarks.extraction_speed --case resnet50:layer4:avg --num-galaxies 2048 --rounds 7

The stage reads HDF5, checks each image's digest, resizes and normalises, computes, pools or keeps the map, and writes and
records shards; timed from the first batch that is read to the published store, in a process of its own, for with maps it
changes how the whole process keeps memory. The bare pass is of the same network, BatchNorms folded, and has its batch ready in
memory. A small network shares the cores with the transform, so its bar is 1 / (1/forward + 1/transform). Ratios are medians
over rounds in which all three take turns.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.measuring import (
    describe_machine,
    extract_params,
    interleave,
    make_parser,
    median_ratio,
    run_apart,
    run_extraction,
    write_noise,
)
from galaxies.backbones.backbone import Backbone, cut, load_backbone
from galaxies.backbones.folding import fold_batch_norms
from galaxies.backbones.spec import ExtractParams
from galaxies.backbones.transform import prepare
from galaxies.data.catalog import Catalog
from galaxies.data.catalog_images import CatalogImages
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.runtime import RuntimeParams

CASES = ("resnet50:layer4:avg", "resnet50:layer3:map", "mobilenet_v2:features.18:avg")

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class _TimedFile(GalaxyFile):
    """Notes when the first whole batch is asked for: before that the stage checks the backbone."""

    started: float | None = None

    def read_images(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        if self.started is None and len(indices) > 8:
            self.started = time.perf_counter()
        return super().read_images(indices)


def main() -> None:
    """Print a row for each case."""
    parser = make_parser(__doc__)
    parser.add_argument("--case", action="append", help=f"backbone:layer:pool; default {', '.join(CASES)}")
    parser.add_argument("--num-galaxies", type=int, default=256)
    parser.add_argument("--image-size", type=int, default=256, help="px in the file")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--precision", default="float32", choices=["float32", *_AUTOCAST])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stage", type=Path, metavar="FOLDER", help="used by the benchmark itself")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if arguments.stage:
        params = _case_params(arguments.case[0], arguments.precision)
        print(json.dumps({"rate": stage_rate(arguments.stage, params, arguments.batch_size)}))
        return
    print(describe_machine(device))
    print(f"{'images/s':<30}{'forward':>9}{'transform':>11}{'stage':>8}{'/ forward':>11}{'/ both':>8}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_noise(folder / "galaxies.h5", arguments.num_galaxies, arguments.image_size)
        for case in arguments.case or CASES:
            rates = measure_case(folder, case, arguments.precision, arguments.batch_size, arguments.rounds, device)
            both = [1 / (1 / f + 1 / t) for f, t in zip(rates["forward"], rates["transform"], strict=True)]
            forward, transform, stage = (statistics.median(rates[name]) for name in ("forward", "transform", "stage"))
            ratios = median_ratio(rates["stage"], rates["forward"]), median_ratio(rates["stage"], both)
            print(f"{case:<30}{forward:>9.1f}{transform:>11.1f}{stage:>8.1f}{ratios[0]:>11.3f}{ratios[1]:>8.3f}", flush=True)


def _case_params(case: str, precision: str) -> ExtractParams:
    backbone, layer, pool = case.rsplit(":", 2)
    return extract_params(backbone=backbone, layers=(layer,), pool=pool, precision=precision)


def measure_case(
    folder: Path, case: str, precision: str, batch_size: int, num_rounds: int, device: torch.device
) -> dict[str, list[float]]:
    """Return images/s in each round of the bare forward pass, of the transform alone and of the stage."""
    params = _case_params(case, precision)
    backbone = load_backbone(params.spec, layers=params.layers)
    with GalaxyFile(folder / "galaxies.h5") as galaxies:
        num_galaxies = galaxies.num_galaxies
        images = torch.from_numpy(galaxies.read_images(np.arange(min(batch_size, num_galaxies)))).to(device).permute(0, 3, 1, 2)
    forward = _bare_forward(backbone, params, images, device)
    num_batches = max(1, num_galaxies // batch_size)

    def rate(call: Callable[[], object]) -> float:
        started = time.perf_counter()
        for _ in range(num_batches):
            call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return num_batches * len(images) / (time.perf_counter() - started)

    def stage() -> float:
        options = ("--stage", folder, "--case", case, "--precision", precision, "--batch-size", batch_size)
        return float(run_apart("benchmarks.extraction_speed", *options)["rate"])

    forward()  # The first call chooses kernels.
    return interleave(
        {
            "forward": lambda: rate(forward),
            "transform": lambda: rate(lambda: prepare(images, backbone.transform)),
            "stage": stage,
        },
        num_rounds,
    )


def stage_rate(folder: Path, params: ExtractParams, batch_size: int) -> float:
    """Return images/s of the stage on the galaxies in ``folder``, from the first batch on."""
    backbone, catalog = load_backbone(params.spec, layers=params.layers), Catalog(folder / "catalog.parquet")
    with tempfile.TemporaryDirectory(dir=folder) as scratch, _TimedFile(folder / "galaxies.h5") as galaxies:
        images, runtime = CatalogImages(galaxies, catalog), RuntimeParams(batch_size=batch_size)
        run_extraction(Path(scratch), images, backbone, params, runtime=runtime)
        assert galaxies.started is not None
        return len(catalog) / (time.perf_counter() - galaxies.started)


def _bare_forward(
    backbone: Backbone, params: ExtractParams, images: torch.Tensor, device: torch.device
) -> Callable[[], object]:
    """Return a call of the network up to its layers on a batch that is ready, (B, 3, s, s)."""
    module = fold_batch_norms(cut(backbone.module, list(params.layers))).to(device).to(memory_format=torch.channels_last)
    autocast = torch.autocast(device.type, _AUTOCAST[params.precision]) if params.precision in _AUTOCAST else nullcontext()
    pixels = prepare(images, backbone.transform).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def forward() -> object:
        with autocast:
            return module(pixels)

    return forward


if __name__ == "__main__":
    main()
