"""Toys of ten lines that stand for galaxies, catalogs and a finished extraction."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from galaxies.backbones.backbone import Backbone, load_backbone
from galaxies.backbones.spec import BackboneSpec, ExtractParams
from galaxies.data.catalog import Catalog, CatalogRows, image_sha256, write_catalog
from galaxies.data.catalog_images import CatalogImages
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.galaxy_writer import GalaxyBlock, write_galaxies
from galaxies.data.splits import SPLIT_NAMES, Splits
from galaxies.features.extraction import extract
from galaxies.features.identity import Identity
from galaxies.features.passes import UnfinishedStores, open_unfinished
from galaxies.features.shard_writer import Shard, ShardWriter
from galaxies.features.unfinished import UnfinishedStore
from galaxies.runtime import Library, RuntimeParams

EXTRACT: dict[str, Any] = {
    **asdict(ExtractParams()),
    "backbone": "resnet18",
    "weights": "random",
    "layers": ("layer2",),
    "image_size": 32,
    "version": 1,
}
"""The section ``extract`` of a run that takes milliseconds."""


EXTRACT_WORK = Path(".dvc", "tmp", "extract")
"""Where the work folders of extractions stand in a repository."""


def toy_images(num_galaxies: int, *, size: int = 32, seed: int = 0) -> NDArray[np.uint8]:
    """Return noise, (N, S, S, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (num_galaxies, size, size, 3), dtype=np.uint8)


def write_toy_galaxies(path: Path, images: NDArray[np.uint8], *, num_classes: int = 3) -> None:
    """Write images with labels in sorted order, as the real file has them, and unknown positions."""
    num_galaxies = len(images)
    labels = (np.arange(num_galaxies) * num_classes // max(num_galaxies, 1)).astype(np.uint8)
    unknown = np.full(num_galaxies, np.nan)
    block = GalaxyBlock(images, labels, unknown, unknown, unknown, unknown)
    names = [f"class {index}" for index in range(num_classes)]
    write_galaxies(path, [block], num_galaxies=num_galaxies, image_size=images.shape[1], class_names=names)


def toy_rows(digests: Sequence[bytes], *, ids: Sequence[str] | None = None) -> CatalogRows:
    """Return the rows of a catalog that uses every galaxy; ``digests`` of their images have 32 bytes."""
    names = [f"{index:06d}" for index in range(len(digests))] if ids is None else list(ids)
    content = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)
    return CatalogRows(np.arange(len(digests)), pa.array(names, pa.string()), content)


def open_rows(rows: CatalogRows) -> Catalog:
    """Return an open catalog whose file has no name any more."""
    with TemporaryDirectory() as folder:
        write_catalog(Path(folder) / "catalog.parquet", rows)
        return Catalog(Path(folder) / "catalog.parquet")


def toy_catalog(images: NDArray[np.uint8]) -> Catalog:
    """Return the catalog that uses every image, as :func:`open_rows` does."""
    return open_rows(toy_rows([image_sha256(image) for image in images]))


def write_toy_catalog(path: Path, images: NDArray[np.uint8]) -> Catalog:
    """Write the catalog that uses every image, and open it."""
    write_catalog(path, toy_rows([image_sha256(image) for image in images]))
    return Catalog(path)


def toy_splits(
    label: NDArray[np.integer[Any]],
    split: Sequence[str] | NDArray[np.str_],
    *,
    group: NDArray[np.int64] | None = None,
    names: Sequence[str] | None = None,
) -> Splits:
    """Return splits given by name; by default every row is a group, and label 0 means ``class 0``."""
    names = [f"class {number}" for number in range(int(label.max()) + 1)] if names is None else names
    numbers = np.array([SPLIT_NAMES.index(name) for name in split], np.uint8)
    group = np.arange(len(label)) if group is None else group
    nothing = np.zeros(len(label), np.uint8)
    return Splits(label.astype(np.int16), group, numbers, nothing, nothing, dict(enumerate(names)))


def toy_identity(layer: str = "layer4", *, catalog: str = "c0ffee") -> Identity:
    """Return the identity of a store that nobody extracted."""
    return Identity(catalog, layer, BackboneSpec("resnet18"))


def identify(params: ExtractParams, layer: str, catalog: Catalog, backbone: Backbone) -> Identity:
    """Return the whole identity of a layer's store, as the stage makes it."""
    return Identity.expected(params, layer, catalog.digest).found(backbone.weights_digest, backbone.transform)


def run_extract(
    folder: Path, images: NDArray[np.uint8], *, batch_size: int = 8, library: Library = "auto", **changes: Any
) -> dict[str, Path]:
    """Extract under ``folder`` with EXTRACT and ``changes``; return the published store of each layer."""
    params = ExtractParams(**{**EXTRACT, **changes})
    catalog, backbone = toy_catalog(images), load_backbone(params.spec, layers=params.layers)
    if not (folder / "galaxies.h5").exists():
        write_toy_galaxies(folder / "galaxies.h5", images)
    identities = {layer: identify(params, layer, catalog, backbone) for layer in params.layers}
    outs = {layer: folder / "features" / f"{layer}.zarr" for layer in params.layers}
    with open_unfinished(folder, identities[params.layers[0]]) as stores:
        fill(folder, stores, catalog, backbone, identities, runtime=RuntimeParams("cpu", library, batch_size))
        for layer, out in outs.items():
            stores[layer].publish(out)
    return outs


def fill(
    folder: Path,
    stores: UnfinishedStores,
    catalog: Catalog,
    backbone: Backbone,
    identities: dict[str, Identity],
    *,
    runtime: RuntimeParams,
) -> None:
    """Call the engine with the galaxies of ``folder``."""
    with GalaxyFile(folder / "galaxies.h5") as galaxies:
        extract(
            CatalogImages(galaxies, catalog, next(iter(identities.values())).backbone.bands),
            backbone=backbone,
            identities=identities,
            stores=stores,
            runtime=runtime,
        )


def write_toy_shard(store: UnfinishedStore, number: int, rows: NDArray[Any]) -> None:
    """Write one shard of an opened store, (R, V, ...), and put it on record."""
    ShardWriter(store, "float32").write(Shard(number, rows))


def tree_bytes(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below ``folder`` by its relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
