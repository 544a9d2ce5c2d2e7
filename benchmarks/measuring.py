"""What the measurements share: galaxies to work on, turns that interleave, processes that report their peak memory, tables."""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from galaxies.backbones.backbone import Backbone
from galaxies.backbones.spec import ExtractParams
from galaxies.data.catalog import DIGEST_BYTES, Catalog, CatalogRows, image_sha256, write_catalog
from galaxies.data.catalog_images import CatalogImages
from galaxies.data.checksums import image_crc32c, open_checksums, write_checksums
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.galaxy_writer import GalaxyBlock, write_galaxies
from galaxies.features.extraction import extract
from galaxies.features.identity import Identity
from galaxies.features.passes import open_unfinished
from galaxies.paths import store_path
from galaxies.runtime import RuntimeParams

_BLOCK_GALAXIES = 256


def interleave(turns: Mapping[str, Callable[[], float]], num_rounds: int) -> dict[str, list[float]]:
    """Call each of ``turns`` once a round, so that what slows the machine down slows all of them; return what they gave."""
    given: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(num_rounds):
        for name, turn in turns.items():
            given[name].append(turn())
    return given


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Return the median over the rounds of the ratio within a round."""
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=True))


def write_noise(path: Path, num_galaxies: int, image_size: int) -> Catalog:
    """Write galaxies of noise and, beside them, the catalog that uses all, which is returned, and their checksums.

    For speed the pixels do not matter.
    """
    generator = np.random.default_rng(0)
    digests: list[bytes] = []
    checksums: list[int] = []

    def blocks() -> Iterator[GalaxyBlock]:
        for start in range(0, num_galaxies, _BLOCK_GALAXIES):
            num = min(_BLOCK_GALAXIES, num_galaxies - start)
            images = generator.integers(0, 256, (num, image_size, image_size, 3), dtype=np.uint8)
            digests.extend(map(image_sha256, images))
            checksums.extend(map(image_crc32c, images))
            unknown = np.full(num, np.nan)
            yield GalaxyBlock(images, np.zeros(num, np.uint8), unknown, unknown, unknown, unknown)

    write_galaxies(path, blocks(), num_galaxies=num_galaxies, image_size=image_size, class_names=["noise"])
    catalog = write_digests(path.with_name("catalog.parquet"), digests)
    write_checksums(path.with_name("checksums.parquet"), np.array(checksums, np.uint32), catalog=catalog.digest)
    return catalog


def open_images(galaxies: GalaxyFile) -> CatalogImages:
    """Return the images of the catalog beside an open file, checked as `extract` checks them."""
    catalog = Catalog(galaxies.path.with_name("catalog.parquet"))
    checksums = open_checksums(galaxies.path.with_name("checksums.parquet"), catalog=catalog.digest)
    return CatalogImages(galaxies, catalog, checksums=checksums)


def write_digests(path: Path, digests: Sequence[bytes]) -> Catalog:
    """Write the catalog of galaxies whose images have these digests, and open it."""
    numbers, content = np.arange(len(digests)), np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_BYTES)
    write_catalog(path, CatalogRows(numbers, pa.array(numbers).cast(pa.string()), content))
    return Catalog(path)


def extract_params(**changes: Any) -> ExtractParams:
    """Return the section ``extract`` for random weights, with ``changes``."""
    values: dict[str, Any] = {
        "backbone": "resnet50",
        "weights": "random",
        "weights_sha256": None,
        "seed": 0,
        "layers": ("layer4",),
        "pool": "avg",
        "views": 1,
        "image_size": None,
        "mean": None,
        "std": None,
        "precision": "float32",
        "dtype": "auto",
        "version": 1,
    }
    return ExtractParams(**{**values, **changes})


def run_extraction(
    folder: Path, images: CatalogImages, backbone: Backbone, params: ExtractParams, *, runtime: RuntimeParams
) -> list[Path]:
    """Run the engine as the stage does, in ``folder``, and return the published stores."""
    identities = {
        layer: Identity.expected(params, layer, images.catalog.digest).found(backbone.weights_digest, backbone.transform)
        for layer in params.layers
    }
    outs = [folder / store_path(layer) for layer in params.layers]
    with open_unfinished(folder, next(iter(identities.values()))) as stores:
        extract(images, backbone=backbone, identities=identities, stores=stores, runtime=runtime)
        for layer, out in zip(params.layers, outs, strict=True):
            stores[layer].publish(out)
    return outs


def run_apart(module: str, *arguments: object) -> dict[str, Any]:
    """Run ``python -m module`` in a process of its own and return the JSON object in its last line of output."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    environment = {**os.environ, "TQDM_DISABLE": "1"}
    printed = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(json.loads(printed.splitlines()[-1]))


def peak_bytes() -> int:
    """Return the largest resident memory this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB.


def tree_bytes(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    return path.stat().st_size if path.is_file() else sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def describe_machine(device: torch.device) -> str:
    """Return the line above a table: what it was measured on."""
    cores = f"CPU, {torch.get_num_threads()} threads"
    name = f"{torch.cuda.get_device_name(device)}, {cores}" if device.type == "cuda" else cores
    return f"{name}; torch {torch.__version__}; load average {os.getloadavg()[0]:.1f}"


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that shows the module's docstring as it is."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
