"""Run a frozen backbone over the galaxies of the catalog, once, and keep the activations of its layers in stores.

Three stations with bounded queues between them (threads that read images, the forward pass, threads that write shards) keep
memory constant whatever N is. The unit of work is a block of rows: whole shards, which any process may fill.

Legend: N rows, B rows in a batch, S image size in the file, V views.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from galaxies.backbones.backbone import Backbone
from galaxies.backbones.choice import choose_library
from galaxies.backbones.forward import Forward, ForwardPass, make_forward
from galaxies.backbones.onnx_network import kept_graphs
from galaxies.data.catalog_images import CatalogImages
from galaxies.errors import InputError
from galaxies.features.blocks import BlockPlan, CatalogBlocks, Threads, fill_blocks
from galaxies.features.identity import Identity
from galaxies.features.memory import return_freed_memory
from galaxies.features.selfcheck import check_forward
from galaxies.features.shard_writer import ShardWriter
from galaxies.features.store import Layout, plan_layout
from galaxies.features.unfinished import UnfinishedStores
from galaxies.files import format_bytes, require_free_disk
from galaxies.runtime import RuntimeParams

_NUM_CHECKED = 4  # galaxies of the self-check
_LARGE_ROW_BYTES = 128 << 10  # Maps of a ResNet-50 at 224 px have 200 KB and more.

_logger = logging.getLogger(__name__)


def extract(
    images: CatalogImages,
    *,
    backbone: Backbone,
    identities: Mapping[str, Identity],
    stores: UnfinishedStores,
    runtime: RuntimeParams,
) -> None:
    """Fill the stores of some layers of one forward pass, continuing where an earlier run ended.

    Args:
        images: of the catalog.
        backbone: the frozen network.
        identities: of the stores, by layer; they differ in the layer alone.
        stores: where they stand until they are published.
        runtime: device, library and batch size of the forward pass; batches are smaller where the shards are shorter.

    Raises:
        InputError: galaxies.h5 is not the one of the catalog, the self-check finds the backbone unsound, an activation is not
            finite or does not fit the store's dtype, the disk is too small.
    """
    if not len(images):
        raise InputError("data/catalog.parquet names no galaxies; look at metrics/data.json for why `split` left none.")
    (shared,), device = {replace(identity, layer="") for identity in identities.values()}, runtime.pick_device()
    asked, folder = ForwardPass(tuple(identities), shared.pool, shared.views, shared.precision), stores.work.path
    library = choose_library(runtime.forward, backbone, asked, device=device, num_images=len(images) * shared.views)
    forward = make_forward(backbone, asked, device=device, library=library, folder=folder)
    first = torch.from_numpy(images.read(0, min(_NUM_CHECKED, len(images))))
    _require_channels(images, first, backbone, asked)
    checked = check_forward(forward, backbone.module, first, precision=shared.precision)
    layouts = {layer: plan_layout(activation.numpy(), shared.dtype) for layer, activation in checked.items()}
    batch_rows = plan_batch(layouts.values(), max(1, runtime.batch_size // shared.views))
    stores.begin(describe_conditions(forward, device, batch_rows), keep=kept_graphs(folder))
    writers = _open_writers(stores, identities, layouts, len(images))
    plan = plan_missing(writers.values(), len(images), batch_rows)
    require_room(folder, layouts, checked, len(images), plan.num_rows)
    with tqdm(
        total=len(images), initial=len(images) - plan.num_rows, desc="extract", unit="galaxy", smoothing=0.05
    ) as progress:
        threads = _share_threads(runtime.count_workers(), forward, writers.values())
        for num_rows in fill_blocks(plan, CatalogBlocks(images), forward=forward, writers=writers, threads=threads):
            progress.update(num_rows)


def _share_threads(num_workers: int, forward: Forward, writers: Collection[ShardWriter]) -> Threads:
    """Return how many threads read and how many write, beside a forward pass that keeps a CPU's cores busy itself."""
    if forward.device.type == "cpu":
        return Threads(max(1, num_workers // 8), max(1, num_workers // 8))
    num_writers = max(1, num_workers // 2) if any(writer.is_compressed for writer in writers) else 1
    return Threads(max(1, num_workers // 4), num_writers)


def _require_channels(images: CatalogImages, first: Tensor, backbone: Backbone, asked: ForwardPass) -> None:
    """Raise InputError unless the bands are as many as the network has channels."""
    num_bands, channels = first.shape[-1], backbone.transform.channels
    if num_bands != channels and not (channels == 1 and num_bands == 3):
        names = images.galaxies.bands
        raise InputError(
            f"extract.bands: {images.galaxies.path} has {len(names)} bands ({', '.join(names)}), but {backbone.name} takes "
            f"images of {channels}; say which, as in `-S 'extract.bands=[{','.join((names * channels)[:channels])}]'`, or name "
            "all, with extract.mean and extract.std of that length and `-S extract.adapt_weights=true`."
        )


def plan_batch(layouts: Collection[Layout], wanted: int) -> int:
    """Return how many rows one batch has: of maps a part of a shard at most, so that memory has room for several of it."""
    if max(layout.row_bytes for layout in layouts) >= _LARGE_ROW_BYTES:
        return_freed_memory()  # It costs some speed, and smaller activations need little memory.
    return min(wanted, *(max(1, layout.shard_rows // (4 if layout.compressed else 1)) for layout in layouts))


def describe_conditions(forward: Forward, device: torch.device, batch_rows: int) -> dict[str, str | int]:
    """Return what may change the last bits of a store and is in no identity."""
    return {
        "device": device.type,
        "forward": forward.library,
        "torch": torch.__version__,
        "num_threads": torch.get_num_threads(),
        "batch_rows": batch_rows,
    }


def _open_writers(
    stores: UnfinishedStores, identities: Mapping[str, Identity], layouts: Mapping[str, Layout], num_rows: int
) -> dict[str, ShardWriter]:
    for layer, identity in identities.items():
        stores[layer].open(num_rows=num_rows, layout=layouts[layer], identity=identity)
    return {layer: ShardWriter(stores[layer], identity.precision) for layer, identity in identities.items()}


def require_room(
    folder: Path, layouts: Mapping[str, Layout], checked: Mapping[str, Tensor], num_rows: int, num_missing: int
) -> None:
    """Log what the stores will hold, and raise InputError where the disk has no room for what is missing of them."""
    num_bytes = 0.0
    for layer, layout in layouts.items():
        fraction = layout.compressed_fraction(checked[layer].numpy())
        whole = layout.row_bytes * num_rows
        _logger.info(
            "%s: %d x %s %s, %s, on disk about %s",
            *(layer, num_rows, layout.row_shape, layout.dtype, format_bytes(whole), format_bytes(whole * fraction)),
        )
        num_bytes += layout.row_bytes * num_missing * fraction
    require_free_disk(folder, int(num_bytes), f"Keeping the activations of {', '.join(layouts)}")


def plan_missing(writers: Collection[ShardWriter], num_rows: int, batch_rows: int) -> BlockPlan:
    """Return the blocks, the rows of a shard of the layer that has the smallest ones, that some layer still lacks."""
    block_rows = min(writer.shard_rows for writer in writers)
    blocks = (range(start, min(start + block_rows, num_rows)) for start in range(0, num_rows, block_rows))
    return BlockPlan(tuple(block for block in blocks if not all(writer.has_row(block.start) for writer in writers)), batch_rows)
