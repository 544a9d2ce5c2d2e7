"""Extraction beside other ways to keep the same maps of the same galaxies: throughput, peak memory, bytes on disk.

    python -m benchmarks.extraction_rivals
    python -m benchmarks.extraction_rivals --backbone resnet50 --layer layer2 --num-galaxies 4096

- this: the engine of the `extract` stage with ONNX Runtime, the network exported anew; float16, zstd, resumable.
- this, PyTorch: the same with the network of the last two.
- all in memory, ONNX: the next way with the network of the first, in parts too.
- all in memory: read all images, forward in a loop, collect, save one float32 HDF5 file at the end; what the project did that
  this one replaces.
- DataLoader: torch's, with two worker processes, a forward hook, and torch.save of what was collected.

Each has a process of its own; they take turns, and the table shows medians. Time counts from the loaded network to the file
on disk. Weights are random: neither time nor memory depends on them.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.measuring import (
    describe_machine,
    extract_params,
    interleave,
    make_parser,
    open_images,
    peak_bytes,
    run_apart,
    run_extraction,
    tree_bytes,
    write_noise,
)
from galaxies.backbones.backbone import Backbone, cut, load_backbone
from galaxies.backbones.folding import fold_batch_norms
from galaxies.backbones.forward import choose_part_size
from galaxies.backbones.onnx_network import open_onnx_network
from galaxies.backbones.parts import compute_in_parts
from galaxies.backbones.spec import ExtractParams
from galaxies.backbones.transform import prepare
from galaxies.data.catalog import Catalog
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.runtime import Library, RuntimeParams

_NUM_WORKERS = 2


def main() -> None:
    """Print a row for each way, or, with ``--way``, run one and print its figures as JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--layer", default="layer3")
    parser.add_argument("--num-galaxies", type=int, default=512)
    parser.add_argument("--image-size", type=int, default=128, help="px in the file and of the backbone")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help="used by the benchmark itself")
    parser.add_argument("--folder", type=Path, help="used by the benchmark itself")
    arguments = parser.parse_args()
    params = extract_params(backbone=arguments.backbone, layers=(arguments.layer,), pool="map", image_size=arguments.image_size)
    if arguments.way:
        print(json.dumps(run_way(arguments.way, arguments.folder, params, arguments.batch_size)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_noise(folder / "galaxies.h5", arguments.num_galaxies, arguments.image_size)
        options: list[object] = ["--backbone", arguments.backbone, "--layer", arguments.layer, "--folder", folder]
        options += ["--image-size", arguments.image_size, "--batch-size", arguments.batch_size]
        figures: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}

        def turn(way: str) -> Callable[[], float]:
            def run() -> float:
                figures[way].append(run_apart("benchmarks.extraction_rivals", "--way", way, *options))
                return figures[way][-1]["rate"]

            return run

        rates = interleave({way: turn(way) for way in WAYS}, arguments.rounds)
    print(describe_machine(torch.device("cpu")))
    print(f"{arguments.backbone} {arguments.layer} maps of {arguments.num_galaxies} galaxies of {arguments.image_size} px")
    print(f"{'':<22}{'images/s':>10}{'peak memory':>14}{'on disk, a galaxy':>20}")
    for way in WAYS:
        memory, disk = (statistics.median(figure[key] for figure in figures[way]) for key in ("memory", "disk"))
        disk /= arguments.num_galaxies
        print(f"{way:<22}{statistics.median(rates[way]):>10.1f}{memory / 1e6:>11.0f} MB{disk / 1e3:>17.1f} kB")


def run_way(way: str, folder: Path, params: ExtractParams, batch_size: int) -> dict[str, float]:
    """Return the rate (images/s), peak memory and bytes on disk of one way."""
    backbone, catalog = load_backbone(params.spec, layers=params.layers), Catalog(folder / "catalog.parquet")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        started = time.perf_counter()
        path = WAYS[way](_Work(Path(name), folder / "galaxies.h5", catalog, backbone, params, batch_size))
        seconds = time.perf_counter() - started
        return {"rate": len(catalog) / seconds, "memory": peak_bytes(), "disk": tree_bytes(path)}


@dataclass(frozen=True)
class _Work:
    """What each way is to do."""

    folder: Path  # for its result
    source: Path
    catalog: Catalog
    backbone: Backbone
    params: ExtractParams
    batch_size: int


def _run_this(work: _Work, *, library: Library = "onnxruntime") -> Path:
    with GalaxyFile(work.source) as galaxies:
        images, runtime = open_images(galaxies), RuntimeParams("cpu", library, work.batch_size)
        (store,) = run_extraction(work.folder, images, work.backbone, work.params, runtime=runtime)
    return store


@torch.inference_mode()
def _run_all_in_memory(work: _Work, *, is_quick: bool = False) -> Path:
    # inference_mode, which the older project lacked: without it each image costs 85 MiB (measured) and this way ends early.
    backbone, layers = work.backbone, work.params.layers
    module: Any = cut(backbone.module, list(layers))
    if is_quick:
        size = backbone.transform.image_size
        onnx = open_onnx_network(fold_batch_norms(module), layers, image_shape=(3, size, size), folder=work.folder)
        module = compute_in_parts(onnx, part_size=choose_part_size(size), num_threads=torch.get_num_threads())
    with h5py.File(work.source) as file:
        images = torch.from_numpy(file["images"][:]).permute(0, 3, 1, 2)
    collected = [module(prepare(batch, backbone.transform))[layers[0]] for batch in torch.split(images, work.batch_size)]
    with h5py.File(work.folder / "maps.h5", "w") as file:
        file["maps"] = torch.cat(collected).numpy()
    return work.folder / "maps.h5"


class _Images(Dataset[Tensor]):
    """Opens the file in each worker: an open HDF5 file does not outlive a fork."""

    def __init__(self, source: Path, backbone: Backbone, num_galaxies: int) -> None:
        self._source, self._transform, self._num_galaxies = source, backbone.transform, num_galaxies
        self._file: h5py.File | None = None

    def __len__(self) -> int:
        return self._num_galaxies

    def __getitem__(self, index: int) -> Tensor:
        if self._file is None:
            self._file = h5py.File(self._source)
        image = torch.from_numpy(np.asarray(self._file["images"][index]))
        return prepare(image.permute(2, 0, 1).unsqueeze(0), self._transform)[0]


@torch.inference_mode()
def _run_data_loader(work: _Work) -> Path:
    collected: list[Tensor] = []
    backbone = work.backbone
    layer = backbone.module.get_submodule(work.params.layers[0])
    layer.register_forward_hook(lambda module, inputs, output: collected.append(output.clone()))
    loader = DataLoader(_Images(work.source, backbone, len(work.catalog)), work.batch_size, num_workers=_NUM_WORKERS)
    for batch in loader:
        backbone.module(batch)
    torch.save(torch.cat(collected), work.folder / "maps.pt")
    return work.folder / "maps.pt"


WAYS: dict[str, Callable[..., Path]] = {
    "this": _run_this,
    "this, PyTorch": partial(_run_this, library="torch"),
    "all in memory, ONNX": partial(_run_all_in_memory, is_quick=True),
    "all in memory": _run_all_in_memory,
    "DataLoader": _run_data_loader,
}


if __name__ == "__main__":
    main()
