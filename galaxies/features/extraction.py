"""Run a frozen backbone over the galaxies of the catalog, once, and keep the activations of its layers in stores.

Three stations with bounded queues between them (a thread that reads images, the forward pass, a thread that writes shards)
keep memory constant whatever N is. The unit of work is a block of rows: whole shards, which any process may fill.

Legend: N rows, B rows in a batch, S image size in the file, V views.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from galaxies.backbones.backbone import Backbone
from galaxies.backbones.forward import Forward, ForwardPass, forward_batches, make_forward
from galaxies.data.catalog import Catalog, image_sha256
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.errors import InputError
from galaxies.features.identity import Identity
from galaxies.features.memory import return_freed_memory
from galaxies.features.selfcheck import check_forward
from galaxies.features.shard_writer import Packed, ShardWriter, pack
from galaxies.features.stations import in_advance, in_background
from galaxies.features.store import Layout, plan_layout
from galaxies.features.unfinished import UnfinishedStores
from galaxies.files import format_bytes, require_free_disk

_NUM_CHECKED = 4  # galaxies of the self-check
_LARGE_ROW_BYTES = 128 << 10  # Maps of a ResNet-50 at 224 px have 200 KB and more.

_logger = logging.getLogger(__name__)


def extract(
    galaxies: GalaxyFile,
    catalog: Catalog,
    *,
    backbone: Backbone,
    identities: Mapping[str, Identity],
    pool: str,
    dtype: str,
    precision: str,
    device: torch.device,
    batch_size: int,
    stores: UnfinishedStores,
    views: int = 1,
) -> None:
    """Fill the stores of the layers in ``identities`` (layer -> identity), continuing where an earlier run ended.

    Args:
        galaxies: the images.
        catalog: which of them, in which order.
        backbone: the frozen network.
        identities: the layers to fill, in one forward pass.
        pool: ``avg``, ``cls`` or ``map``.
        dtype: of the stores; ``auto``: features float32, maps float16.
        precision: of the forward pass.
        device: of the forward pass.
        batch_size: images in one forward pass; fewer where the shards are shorter.
        stores: where they stand until they are published.
        views: of each galaxy, 1 or 8.

    Raises:
        InputError: galaxies.h5 is not the one of the catalog, the self-check finds the backbone unsound, an activation is not
            finite or does not fit ``dtype``, the disk is too small.
    """
    if not len(catalog):
        raise InputError("data/catalog.parquet names no galaxies; look at metrics/data.json for why `split` left none.")
    forward = make_forward(backbone, ForwardPass(tuple(identities), pool, views, precision), device=device)
    first = torch.from_numpy(galaxies.read_images(catalog.read(0, min(_NUM_CHECKED, len(catalog))).galaxy))
    checked = check_forward(forward, backbone.module, first, precision=precision)
    layouts = {layer: plan_layout(activation.numpy(), dtype) for layer, activation in checked.items()}
    if max(layout.row_bytes for layout in layouts.values()) >= _LARGE_ROW_BYTES:
        return_freed_memory()  # It costs some speed, and smaller activations need little memory.
    unit_rows = min(layout.shard_rows for layout in layouts.values())
    batch_rows = min(max(1, batch_size // views), *(_rows_in_batch(layout) for layout in layouts.values()))
    stores.begin(
        {
            "device": device.type,
            "torch": torch.__version__,
            "num_threads": torch.get_num_threads(),
            "batch_rows": batch_rows,
        }
    )
    for layer, identity in identities.items():
        stores[layer].open(num_rows=len(catalog), layout=layouts[layer], identity=identity)
    writers = {layer: ShardWriter(stores[layer], precision) for layer in identities}
    blocks = list(_missing_blocks(writers.values(), len(catalog), unit_rows))
    num_missing = sum(map(len, blocks))
    _require_room(stores.work.path, layouts, checked, len(catalog), num_missing)
    with tqdm(
        total=len(catalog), initial=len(catalog) - num_missing, desc="extract", unit="galaxy", smoothing=0.05
    ) as progress:
        for num_rows in fill_blocks(
            galaxies, catalog, forward=forward, writers=writers, blocks=blocks, batch_rows=batch_rows, device=device
        ):
            progress.update(num_rows)


def fill_blocks(
    galaxies: GalaxyFile,
    catalog: Catalog,
    *,
    forward: Forward,
    writers: Mapping[str, ShardWriter],
    blocks: Sequence[range],
    batch_rows: int,
    device: torch.device,
) -> Iterator[int]:
    """Compute the activations of blocks of rows and write them; yield the number of rows of each batch that is computed.

    Blocks are independent: whoever has the galaxies, the network and writers of the same stores may fill any of them, in any
    order, and the stores' bytes are the same. All is written when the iterator ends.

    Args:
        galaxies: the images.
        catalog: which of them, in which order.
        forward: from images to the activations of each layer.
        writers: of each layer's store, which also keep its record.
        blocks: rows to fill; each begins and ends where a shard of every layer does.
        batch_rows: B; batches begin with the block, so a block always makes the same ones.
        device: of the forward pass.
    """
    spans = [
        (start, min(start + batch_rows, block.stop)) for block in blocks for start in range(block.start, block.stop, batch_rows)
    ]
    batches = in_advance(_read_batch(galaxies, catalog, start, stop, device) for start, stop in spans)

    @torch.inference_mode()
    def compute(images: Tensor) -> dict[str, Packed]:
        return {layer: pack(activation, writers[layer].dtype) for layer, activation in forward(images).items()}

    with in_background() as write:
        for (start, stop), packed in zip(spans, forward_batches(compute, batches, device), strict=True):
            for layer, (rows, largest) in packed.items():
                write(writers[layer].add, start, rows, largest)
            yield stop - start


def _rows_in_batch(layout: Layout) -> int:
    """Return how many rows of a store one batch may have: a part of a shard, so that memory has room for several of it."""
    return max(1, layout.shard_rows // 4) if layout.compressed else layout.shard_rows


def read_images(galaxies: GalaxyFile, catalog: Catalog, start: int, stop: int) -> NDArray[np.uint8]:
    """Return the images of rows ``start`` to ``stop``, (B, S, S, 3), checked against the catalog's digests.

    Raises InputError when an image is not the one that ``split`` saw: its activation would stand under a wrong identity.
    """
    rows = catalog.read(start, stop)
    images = galaxies.read_images(rows.galaxy)
    for position, image in enumerate(images):
        if image_sha256(image) != rows.image_sha256[position].tobytes():
            raise InputError(
                f"{galaxies.path}: the image of galaxy {rows.galaxy[position]} (row {start + position}) is not the one in the "
                "catalog; the file changed after `split` had run. Run `dvc repro`."
            )
    return images


def _read_batch(galaxies: GalaxyFile, catalog: Catalog, start: int, stop: int, device: torch.device) -> Tensor:
    images = torch.from_numpy(read_images(galaxies, catalog, start, stop))
    # A GPU fetches only from page-locked memory while the CPU goes on; this runs in the reader's thread.
    return images.pin_memory() if device.type == "cuda" else images


def _require_room(
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


def _missing_blocks(writers: Collection[ShardWriter], num_rows: int, unit_rows: int) -> Iterator[range]:
    """Yield the rows of each unit, a shard of the layer that has the smallest ones, that some layer still lacks."""
    for start in range(0, num_rows, unit_rows):
        if not all(writer.has_row(start) for writer in writers):
            yield range(start, min(start + unit_rows, num_rows))
