"""The parts of `benchmarks.gpu`: each a function of the folder that they share, which yields its figures so far, as plain JSON.

On a machine without a GPU they run on its CPU, so that a mistake shows before a GPU's time is spent on it.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.extraction_speed import TimedFile
from benchmarks.feeding import measure_readers, measure_writers
from benchmarks.measuring import extract_params, open_images, peak_bytes, run_extraction, write_noise
from galaxies.backbones.backbone import cut, load_backbone
from galaxies.backbones.folding import fold_batch_norms
from galaxies.backbones.spec import BackboneSpec
from galaxies.runtime import RuntimeParams

NETWORKS = {
    "resnet50": ("resnet50", "layer4", "layer3"),
    "convnext_nano": ("timm:convnext_nano", "stages.3", "stages.2"),
    "vit_small": ("timm:vit_small_patch16_224", "blocks.11", "blocks.11"),
}
"""Backbone, the layer whose features are kept, the layer whose maps are."""

_SMALL = {
    "resnet50": ("timm:resnet10t", "layer4", "layer3"),
    "convnext_nano": ("timm:convnext_atto", "stages.3", "stages.2"),
    "vit_small": ("timm:vit_tiny_patch16_224", "blocks.11", "blocks.11"),
}

_AUTOCAST = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
_TURN_SECONDS = 1.0

Figures = dict[str, Any]


def describe(folder: Path, *, is_small: bool) -> Iterator[Figures]:
    """Yield what the machine is."""
    device = pick_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    versions = {"torch": torch.__version__, "python": sys.version.split()[0], "cuda": torch.version.cuda}
    yield {"device": name, "cores": RuntimeParams().count_workers(), **versions}


def write_galaxies(folder: Path, number: str, *, is_small: bool) -> Iterator[Figures]:
    """Write the galaxies that all parts read."""
    write_noise(folder / "galaxies.h5", int(number), 64 if is_small else 256)
    yield {"bytes": (folder / "galaxies.h5").stat().st_size}


def run_tests(folder: Path, *, is_small: bool) -> Iterator[Figures]:
    """Run the tests that need a GPU; where there is none they skip themselves."""
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-m", "gpu", "-p", "no:cacheprovider"]
    # Other files of tests may want packages that a rented machine lacks.
    command += sorted(str(path) for path in Path("tests").rglob("test_*.py") if "pytest.mark.gpu" in path.read_text("utf-8"))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    yield {"passed": done.returncode == 0, "said": done.stdout.splitlines()[-12:]}


def measure_forward(folder: Path, network: str, *, is_small: bool) -> Iterator[Figures]:
    """Yield images/s of the bare forward pass by setting, and the best of each precision."""
    name, layer, _ = (_SMALL if is_small else NETWORKS)[network]
    rates: dict[str, float] = {}
    for precision in _AUTOCAST:
        for batch in (2,) if is_small else (128, 512):
            rates[f"{precision} eager {batch}"] = _bare_rate(name, layer, precision, batch, None, is_small=is_small)
            yield _sum_up(rates)
    quickest = sorted(rates, key=lambda setting: -rates[setting])[: 1 if is_small else 2]
    for mode in ("default",) if is_small else ("default", "reduce-overhead"):
        for setting in quickest:
            precision, _, number = setting.split()
            rate = _bare_rate(name, layer, precision, int(number), mode, is_small=is_small)
            rates[f"{precision} compiled:{mode} {number}"] = rate
            yield _sum_up(rates)


def _sum_up(rates: dict[str, float]) -> Figures:
    best: dict[str, Any] = {}
    for setting, rate in rates.items():
        precision, how = setting.split(" ", 1)
        if precision not in best or rate > best[precision]["rate"]:
            best[precision] = {"rate": rate, "how": how}
    return {"rates": rates, "best": best, **_peaks()}


def _bare_rate(name: str, layer: str, precision: str, batch: int, mode: str | None, *, is_small: bool) -> float:
    device, size, dtype = pick_device(), 64 if is_small else 224, _AUTOCAST[precision]
    backbone = load_backbone(BackboneSpec(name, image_size=size), layers=[layer])
    network: Any = fold_batch_norms(cut(backbone.module, [layer])).to(device).to(memory_format=torch.channels_last)
    if mode is not None:
        # What comes after the trace takes a C++ compiler and minutes on a CPU.
        network = torch.compile(network, backend="eager") if is_small else torch.compile(network, mode=mode)
    pixels = torch.rand(batch, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def call() -> Tensor:
        with torch.autocast(device.type, dtype) if dtype else nullcontext():
            activation: Tensor = network(pixels)[layer]
        return activation

    for _ in range(3):  # Kernels are chosen, graphs captured.
        call()
    return batch * _calls_a_second(call, 0.1 if is_small else _TURN_SECONDS)


def _calls_a_second(call: Callable[[], object], seconds: float) -> float:
    _synchronize()
    started, number = time.perf_counter(), 0
    while time.perf_counter() - started < seconds or not number:
        for _ in range(4):
            call()
        _synchronize()  # Else calls would be queued for longer than they take.
        number += 4
    return number / (time.perf_counter() - started)


def measure_stage(folder: Path, network: str, kind: str, *, is_small: bool) -> Iterator[Figures]:
    """Yield images/s of the whole stage, from the first batch on, by precision, and the peaks of memory."""
    name, features, maps = (_SMALL if is_small else NETWORKS)[network]
    pool, layer = ("avg", features) if kind == "features" else ("map", maps)
    size, batch_size = (64, 16) if is_small else (224, 512)
    figures: Figures = {}
    for precision in ("float32", "bfloat16"):
        if pick_device().type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        params = extract_params(backbone=name, layers=(layer,), pool=pool, precision=precision, image_size=size)
        backbone = load_backbone(params.spec, layers=params.layers)
        with tempfile.TemporaryDirectory(dir=folder) as scratch, TimedFile(folder / "galaxies.h5") as galaxies:
            images = open_images(galaxies)
            begin = time.perf_counter()
            run_extraction(Path(scratch), images, backbone, params, runtime=RuntimeParams(batch_size=batch_size))
            # Batches of maps may be so small that the file does not notice the first one.
            seconds = time.perf_counter() - (galaxies.started or begin)
            figures[precision] = {"rate": len(images) / seconds, **_peaks()}
        yield figures


def measure_feeding(folder: Path, *, is_small: bool) -> Iterator[Figures]:
    """Yield images/s that threads read and rows/s that they write, alone."""
    threads = [1, 2] if is_small else [1, 2, 4, 8]
    num_rounds, num_shards = (1, 2) if is_small else (2, 16)
    readers = measure_readers(folder, threads, 8 if is_small else 256, num_rounds)
    read = {f"read, {way}": found for way, found in readers.items()}
    yield read
    writers = measure_writers(folder, threads, num_shards, num_rounds)
    yield read | {f"write {kind}": found for kind, found in writers.items()}


def measure_training(folder: Path, *, is_small: bool) -> Iterator[Figures]:
    """Yield seconds of training one head, and 32 at once, on features of Galaxy10's size."""
    from benchmarks.training_speed import Ways, make_parts
    from galaxies.heads.train_params import TrainParams

    num_rows, num_features, num_epochs = (400, 64, 2) if is_small else (17_736, 2048, 30)
    ways = Ways(*make_parts(num_rows, num_features, pick_device()), TrainParams(num_epochs=num_epochs))
    ways.train_one()  # The first takes the time that a device needs to start.
    yield {"one head": ways.train_one(), "32 heads": ways.train_many(), **_peaks()}


def pick_device() -> torch.device:
    """Return the GPU, or the CPU where there is none."""
    return RuntimeParams().pick_device()


def _synchronize() -> None:
    if pick_device().type == "cuda":
        torch.cuda.synchronize()


def _peaks() -> dict[str, int]:
    """Return the largest memory that this process has had, on the device and on the host."""
    on_device = torch.cuda.max_memory_allocated() if pick_device().type == "cuda" else 0
    return {"device_peak": on_device, "host_peak": peak_bytes()}


PARTS: dict[str, Callable[..., Iterator[Figures]]] = {
    "machine": describe,
    "galaxies": write_galaxies,
    "forward": measure_forward,
    "stage": measure_stage,
    "feeding": measure_feeding,
    "tests": run_tests,
    "training": measure_training,
}
