"""Run a frozen backbone over the galaxies of the catalog, once, and keep the activations of its layers in stores.

Three stations with bounded queues between them (threads that read images, the forward pass, threads that write shards) keep
memory constant whatever N is. The unit of work is a block of rows: whole shards, which any process may fill.

Legend: N rows, B rows in a batch, S image size in the file, V views.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
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
from galaxies.features.parts import WHOLE, Part
from galaxies.features.passes import UnfinishedStores
from galaxies.features.selfcheck import check_forward
from galaxies.features.shard_writer import ShardWriter
from galaxies.features.store import Layout, plan_layout
from galaxies.files import format_bytes, require_free_disk
from galaxies.runtime import RuntimeParams, describe_device

_NUM_CHECKED = 4  # galaxies of the self-check
_LARGE_ROW_BYTES = 128 << 10  # Maps of a ResNet-50 at 224 px have 200 KB and more.

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Extraction:
    """A forward pass over the catalog, checked on its first galaxies. Made by :func:`prepare`."""

    images: CatalogImages
    identities: Mapping[str, Identity]  # of the stores, by layer; they differ in the layer alone
    forward: Forward
    checked: Mapping[str, Tensor]  # the activations of the first galaxies, by layer
    layouts: Mapping[str, Layout]
    batch_rows: int  # B
    runtime: RuntimeParams

    @property
    def conditions(self) -> dict[str, str | int]:
        """What may change the last bits of a store and is in no identity."""
        return describe_conditions(self.forward, self.forward.device, self.batch_rows)


def prepare(
    images: CatalogImages,
    *,
    backbone: Backbone,
    identities: Mapping[str, Identity],
    folder: Path,
    runtime: RuntimeParams,
) -> Extraction:
    """Make the network ready to fill the stores of some layers of one forward pass.

    Args:
        images: of the catalog.
        backbone: the frozen network.
        identities: of the stores, by layer; they differ in the layer alone.
        folder: the work folder of the pass, where the network stands as a library takes it.
        runtime: device, library and batch size of the forward pass; batches are smaller where the shards are shorter.

    Raises:
        InputError: galaxies.h5 is not the one of the catalog, or the self-check finds the backbone unsound.
    """
    if not len(images):
        raise InputError("data/catalog.parquet names no galaxies; look at metrics/data.json for why `split` left none.")
    (shared,), device = {replace(identity, layer="") for identity in identities.values()}, runtime.pick_device()
    asked = ForwardPass(tuple(identities), shared.pool, shared.views, shared.precision)
    library = choose_library(runtime.forward, backbone, asked, device=device, num_images=len(images) * shared.views)
    forward = make_forward(backbone, asked, device=device, library=library, folder=folder)
    first = torch.from_numpy(images.read(0, min(_NUM_CHECKED, len(images))))
    _require_channels(images, first, backbone, asked)
    checked = check_forward(forward, backbone.module, first, precision=shared.precision)
    layouts = {layer: plan_layout(activation.numpy(), shared.dtype) for layer, activation in checked.items()}
    batch_rows = plan_batch(layouts.values(), max(1, runtime.batch_size // shared.views))
    return Extraction(images, identities, forward, checked, layouts, batch_rows, runtime)


def begin(extraction: Extraction, stores: UnfinishedStores) -> None:
    """Write the plan: the conditions, and stores without shards; what an earlier run under the same ones did stays."""
    stores.begin(extraction.conditions, keep=kept_graphs(stores.work.path))
    for layer, identity in extraction.identities.items():
        stores[layer].open(num_rows=len(extraction.images), layout=extraction.layouts[layer], identity=identity)


def fill(extraction: Extraction, stores: UnfinishedStores, part: Part = WHOLE) -> None:
    """Fill the blocks of a part of the plan that are missing.

    Raises:
        InputError: the plan was made under other conditions, an activation is not finite or does not fit the store's dtype,
            the disk is too small.
    """
    stores.work.require_conditions(extraction.conditions)
    images, identities = extraction.images, extraction.identities
    writers = {layer: ShardWriter(stores[layer], identity.precision) for layer, identity in identities.items()}
    threads = _share_threads(extraction.runtime.count_workers(), extraction.forward, writers.values())

    def plan_rest() -> BlockPlan:
        return plan_missing(writers.values(), len(images), extraction.batch_rows, part)

    num_missing = plan_rest().num_rows
    require_room(stores.work.path, extraction.layouts, extraction.checked, len(images), num_missing)
    num_rows = len(images) if part == WHOLE else num_missing
    with tqdm(total=num_rows, initial=num_rows - num_missing, desc="extract", unit="galaxy", smoothing=0.05) as progress:
        for plan in part.deal(plan_rest):
            filled = fill_blocks(plan, CatalogBlocks(images), forward=extraction.forward, writers=writers, threads=threads)
            for num_filled in filled:
                progress.update(num_filled)


def extract(
    images: CatalogImages,
    *,
    backbone: Backbone,
    identities: Mapping[str, Identity],
    stores: UnfinishedStores,
    runtime: RuntimeParams,
) -> None:
    """Fill the stores of some layers of one forward pass, continuing where an earlier run ended.

    Arguments and errors are those of :func:`prepare` and :func:`fill`; ``stores`` are where the stores stand until they are
    published.
    """
    extraction = prepare(images, backbone=backbone, identities=identities, folder=stores.work.path, runtime=runtime)
    begin(extraction, stores)
    fill(extraction, stores)


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
        "device": describe_device(device),
        "forward": forward.library,
        "torch": torch.__version__,
        "num_threads": torch.get_num_threads(),
        "batch_rows": batch_rows,
    }


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


def plan_missing(writers: Collection[ShardWriter], num_rows: int, batch_rows: int, part: Part = WHOLE) -> BlockPlan:
    """Return the blocks of a part of all that some layer still lacks; one has the rows of the smallest shard of a layer."""
    block_rows = min(writer.shard_rows for writer in writers)
    blocks = (
        range(start, min(start + block_rows, num_rows))
        for number, start in enumerate(range(0, num_rows, block_rows))
        if part.has(number)
    )
    return BlockPlan(tuple(block for block in blocks if not all(writer.has_row(block.start) for writer in writers)), batch_rows)
