"""Bytes that a galaxy's maps take on disk, against uncompressed float32.

    python -m benchmarks.extraction_bytes
    python -m benchmarks.extraction_bytes --case resnet50:layer2+layer3+layer4 --galaxies galaxies.h5

The maps of a ReLU are mostly zeros, which zstd removes; how many depends on the weights. The last column is what the same maps
would take with six zeros in ten, as trained ResNets have: less a constant, and cut off at zero again. The other numbers are
noise to any codec, so with a share z of zeros 0.5 (1 - z) of float32 is about the limit, and a little for where they stand.
Those of the ResNet-50 here are random (seeded), of the MobileNetV2 those of GALAXIES_TEST_DATA, ImageNet's, where that is set;
its blocks end without a ReLU, so their maps are dense. Galaxies are simulated, or those of a file.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import extract_params, make_parser, run_extraction, tree_bytes, write_digests
from galaxies.backbones.backbone import load_backbone
from galaxies.backbones.spec import ExtractParams
from galaxies.data.catalog import image_sha256
from galaxies.data.catalog_images import CatalogImages
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.galaxy_writer import GalaxyBlock, write_galaxies
from galaxies.features.store import Layout, Store
from galaxies.runtime import RuntimeParams
from galaxies.simulation.survey import draw_galaxy

_IMAGE_SIZE = 224


def main() -> None:
    """Print a row for each layer."""
    parser = make_parser(__doc__)
    parser.add_argument("--galaxies", type=Path, help="a file in the Galaxy10 schema; default: simulated ones")
    parser.add_argument("--num-galaxies", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=16)
    arguments = parser.parse_args()
    images = read_images(arguments.galaxies, arguments.num_galaxies)
    print(
        f"{'maps of ' + str(len(images)) + ' galaxies':<38}{'zeros':>7}{'float32':>12}{'on disk':>12}{'ratio':>8}{'at 0.6':>8}"
    )
    for params in plan_cases():
        for layer, zeros, raw, kept, sparse in measure(images, params, arguments.batch_size):
            name = f"{params.backbone} {layer}, {'random' if params.weights == 'random' else 'ImageNet'}"
            sizes = f"{zeros:>7.2f}{raw / 1e3:>9.0f} kB{kept / 1e3:>9.0f} kB{kept / raw:>8.3f}{sparse:>8.3f}"
            print(f"{name:<38}{sizes}", flush=True)


def plan_cases() -> Iterator[ExtractParams]:
    """Yield the networks: always the ResNet-50, and the MobileNetV2 where its weights are."""
    common = {"pool": "map", "image_size": _IMAGE_SIZE}
    yield extract_params(backbone="resnet50", layers=("layer2", "layer3", "layer4"), **common)
    weights = Path(os.environ.get("GALAXIES_TEST_DATA", ""), "weights", "mobilenet_v2_imagenet.pth")
    if weights.is_file():
        half = (0.5, 0.5, 0.5)
        layers = ("features.4.conv.1", "features.5", "features.18")  # Behind a ReLU6, at the end of a block, the last ReLU6.
        given = {"weights": str(weights), "weights_sha256": "any", "mean": half, "std": half}
        yield extract_params(backbone="mobilenet_v2", layers=layers, **given, **common)


def read_images(path: Path | None, num_galaxies: int) -> NDArray[np.uint8]:
    """Return galaxies of a file, spread over it, or simulated ones of all classes, (N, S, S, 3)."""
    if path is None:
        generators = (np.random.default_rng([0, index]) for index in range(num_galaxies))
        return np.stack([draw_galaxy(index % 10, _IMAGE_SIZE, own)[0] for index, own in enumerate(generators)])
    with GalaxyFile(path) as galaxies:
        return galaxies.read_images(np.unique(np.linspace(0, galaxies.num_galaxies - 1, num_galaxies).astype(np.int64)))


def measure(
    images: NDArray[np.uint8], params: ExtractParams, batch_size: int
) -> Iterator[tuple[str, float, float, float, float]]:
    """Yield each layer with the fraction of zeros in its maps, bytes a galaxy as float32 and on disk, and the ratio at 0.6."""
    unknown = np.full(len(images), np.nan)
    block = GalaxyBlock(images, np.zeros(len(images), np.uint8), unknown, unknown, unknown, unknown)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "galaxies.h5"
        write_galaxies(path, [block], num_galaxies=len(images), image_size=images.shape[1], class_names=["galaxy"])
        catalog = write_digests(path.with_name("catalog.parquet"), list(map(image_sha256, images)))
        with GalaxyFile(path) as galaxies:
            chosen, backbone = CatalogImages(galaxies, catalog), load_backbone(params.spec, layers=params.layers)
            stores = run_extraction(Path(name), chosen, backbone, params, runtime=RuntimeParams("cpu", batch_size=batch_size))
        for layer, store in zip(params.layers, stores, strict=True):
            activations = np.asarray(Store(store).activations[:])
            raw = 4 * activations.size / len(images)
            sparse = np.maximum(activations - np.quantile(activations, 0.6), 0)
            fraction = Layout(activations.shape[1:], "float16", compressed=True).compressed_fraction(sparse) / 2
            yield layer, float((activations == 0).mean()), raw, tree_bytes(store) / len(images), fraction


if __name__ == "__main__":
    main()
