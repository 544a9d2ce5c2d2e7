"""Extraction needs constant memory, and gives back what it has freed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]

_PROGRAM = """
import numpy as np
from galaxies.features.memory import return_freed_memory
return_freed_memory()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
before = resident()
blocks = [np.ones(8 << 20, np.uint8) for _ in range(20)]
last = np.ones(1 << 10, np.uint8)
held = resident()
del blocks
print(held - before > 150e6, resident() - before < 20e6)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and glibc alone has this setting")
def test_large_blocks_are_given_back_when_they_are_freed() -> None:
    printed = subprocess.run([sys.executable, "-c", _PROGRAM], check=True, capture_output=True, text=True).stdout
    assert printed.split() == ["True", "True"]


_MEMORY_PROGRAM = """
import resource, sys
from pathlib import Path
import numpy as np
from galaxies.backbones.backbone import load_backbone
from galaxies.backbones.spec import ExtractParams
from galaxies.features.passes import open_unfinished
from galaxies.runtime import RuntimeParams
from tests.toys import EXTRACT, fill, identify, toy_images, write_toy_catalog
import torch
torch.set_num_threads(1)
folder, num_galaxies = Path(sys.argv[1]), int(sys.argv[2])
image = toy_images(1, size=16)
from galaxies.data.galaxy_writer import GalaxyBlock, write_galaxies
def blocks():
    for start in range(0, num_galaxies, 500):
        unknown = np.full(500, np.nan)
        yield GalaxyBlock(np.repeat(image, 500, 0), np.zeros(500, np.uint8), unknown, unknown, unknown, unknown)
write_galaxies(folder / "galaxies.h5", blocks(), num_galaxies=num_galaxies, image_size=16, class_names=["a"])
catalog = write_toy_catalog(folder / "catalog.parquet", np.broadcast_to(image, (num_galaxies, *image.shape[1:])))
params = ExtractParams(**{**EXTRACT, "layers": ("layer1",), "image_size": 16})
backbone = load_backbone(params.spec, layers=params.layers)
identities = {"layer1": identify(params, "layer1", catalog, backbone)}
with open_unfinished(folder, identities["layer1"]) as stores:
    fill(folder, stores, catalog, backbone, identities, runtime=RuntimeParams("cpu", batch_size=50))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def peak_memory(folder: Path, num_galaxies: int) -> int:
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TQDM_DISABLE": "1"}
    command = [sys.executable, "-c", _MEMORY_PROGRAM, str(folder), str(num_galaxies)]
    return int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def test_memory_does_not_grow_with_the_number_of_galaxies(tmp_path: Path) -> None:
    """The older project kept the graph of every image: 85 MiB each."""
    # The first ten thousand fill the heaps of the threads up: 912 MB after 2,000, 929 after 12,000, 937 after 24,000 and also
    # after 48,000 (measured). One image of 16 px is 0.75 KiB, one activation 0.25 KiB.
    small, large = peak_memory(tmp_path / "small", 12_000), peak_memory(tmp_path / "large", 24_000)
    assert (large - small) / 12_000 < 1024
