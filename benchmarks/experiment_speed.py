"""What one more head costs through DVC, stage by stage: `dvc exp run -S train.learning_rate=...` of Galaxy10's size.

    python -m benchmarks.experiment_speed

In a repository of its own: 17,736 noisy images of 32 px in ten classes, ResNet-50 with random weights, so that the features
are as many and as wide as Galaxy10's (2,048); then a linear head, 30 epochs, for every round another learning rate. Processor
time is that of DVC and all its stages.
"""

import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.measuring import describe_machine, make_parser
from benchmarks.training_speed import CLASS_COUNTS
from galaxies.data.galaxy_writer import GalaxyBlock, write_galaxies
from tests.pipelines import Pipeline, make_pipeline

_IMAGE_SIZE = 32
_BLOCK_GALAXIES = 1024


def main() -> None:
    """Print a row for each stage, and the whole."""
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(describe_machine(torch.device("cpu")))
    with tempfile.TemporaryDirectory() as name:
        pipeline = _prepare(Path(name, "galaxies"))
        rounds = []
        for index in range(options.rounds):
            rounds.append(_run_experiment(pipeline, 1e-3 * 0.9 ** (index + 1)))
            print(", ".join(f"{part} {seconds:.1f}" for part, seconds in rounds[-1].items()), flush=True)
    for part in rounds[0]:
        print(f"{part:<16}{statistics.median(seconds[part] for seconds in rounds):>8.1f} s")


def _prepare(folder: Path) -> Pipeline:
    """Return a repository in which everything has run once."""
    folder.mkdir()
    names = [f"class {label}" for label in range(len(CLASS_COUNTS))]
    num_galaxies = sum(CLASS_COUNTS)
    write_galaxies(folder / "toy.h5", _draw_galaxies(), num_galaxies=num_galaxies, image_size=_IMAGE_SIZE, class_names=names)
    pipeline = make_pipeline(
        folder,
        extract={"backbone": "resnet50", "weights": "random", "image_size": _IMAGE_SIZE, "layers": ["layer4"]},
        train={"layer": "layer4", "num_epochs": 30},
        runtime={"batch_size": 64, "num_workers": "auto"},
    )
    for command in (["dvc", "repro"], ["git", "add", "-A"], ["git", "commit", "-qm", "run"]):
        pipeline.run(*command, seconds=3600)
    return pipeline


def _draw_galaxies() -> Iterator[GalaxyBlock]:
    generator = np.random.default_rng(0)
    shape = (_IMAGE_SIZE, _IMAGE_SIZE, 3)
    patterns = generator.normal(0, 12, (len(CLASS_COUNTS), *shape))
    labels = np.repeat(np.arange(len(CLASS_COUNTS), dtype=np.uint8), CLASS_COUNTS)
    for start in range(0, len(labels), _BLOCK_GALAXIES):
        own = labels[start : start + _BLOCK_GALAXIES]
        images = 110 + patterns[own] + generator.normal(0, 60, (len(own), *shape))
        right_ascension, declination = generator.uniform(0, 360, len(own)), generator.uniform(-20, 80, len(own))
        unknown = np.full(len(own), np.nan)
        yield GalaxyBlock(images.clip(0, 255).astype(np.uint8), own, right_ascension, declination, unknown, unknown)


def _run_experiment(pipeline: Pipeline, learning_rate: float) -> dict[str, float]:
    """Return the seconds of each stage that ran, of DVC before the first, of the whole, and of the processors."""
    command = ("dvc", "exp", "run", "-S", f"train.learning_rate={learning_rate:.6f}")
    seconds: dict[str, float] = {}
    part, started = "DVC", time.perf_counter()
    before, since = _processor_seconds(), started
    with subprocess.Popen(
        command, cwd=pipeline.folder, env=pipeline.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            if line.startswith("Running stage"):
                seconds[part], since = time.perf_counter() - since, time.perf_counter()
                part = line.split("'")[1]
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed in {part}")
    now = time.perf_counter()
    return {**seconds, part: now - since, "the whole": now - started, "processor time": _processor_seconds() - before}


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
