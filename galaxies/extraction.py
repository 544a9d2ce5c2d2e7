"""Run a frozen backbone over the galaxies of the catalog, once, and keep the activations of its layers in stores.

Three stations with bounded queues between them (a thread that reads images, the forward pass, a thread that writes shards)
keep memory constant whatever N is. The unit of work is a block of rows: whole shards, which any process may fill.

Legend: N rows, B rows in a batch, S image size in the file, V views, C channels.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from galaxies.backbone import Backbone, cut, pool_positions
from galaxies.catalog import Catalog, image_sha256
from galaxies.errors import InputError
from galaxies.files import format_bytes, require_free_disk
from galaxies.galaxy_file import GalaxyFile
from galaxies.identity import Identity
from galaxies.scratch import Scratch
from galaxies.shards import ShardWriter
from galaxies.stations import in_advance, in_background
from galaxies.store import Layout


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
    scratch: Scratch,
) -> None:
    """Fill the stores of the layers in ``identities`` (layer -> identity), continuing where an earlier run ended.

    Args:
        galaxies: the images.
        catalog: which of them, in which order.
        backbone: the frozen network.
        identities: the layers to fill, in one forward pass.
        pool: ``avg`` or ``map``.
        dtype: of the stores.
        precision: of the forward pass.
        device: of the forward pass.
        batch_size: rows in one forward pass; fewer where the shards are shorter.
        scratch: where the stores stand until they are published.

    Raises:
        InputError: galaxies.h5 is not the one of the catalog, an activation is not finite or does not fit ``dtype``, the
            disk is too small.
    """
    model = cut(backbone.module, list(identities)).to(device).to(memory_format=torch.channels_last)
    autocast = torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()
    forward = _make_forward(model, backbone, pool, device, autocast)
    layouts = _plan_layouts(forward, galaxies, catalog, dtype, compressed=pool == "map")
    unit_rows = min(layout.shard_rows for layout in layouts.values())
    batch_rows = min(batch_size, unit_rows)
    scratch.begin(
        {
            "device": device.type,
            "torch": torch.__version__,
            "num_threads": torch.get_num_threads(),
            "batch_rows": batch_rows,
        }
    )
    writers = {
        layer: ShardWriter(
            scratch.open_layer(layer, num_rows=len(catalog), layout=layouts[layer], identity=identity), layouts[layer], layer
        )
        for layer, identity in identities.items()
    }
    spans = list(_missing_spans(writers.values(), len(catalog), unit_rows, batch_rows))
    missing = sum(stop - start for start, stop in spans)
    row_bytes = sum(layout.row_bytes for layout in layouts.values())
    require_free_disk(scratch.folder, row_bytes * missing, f"Keeping the activations of {', '.join(identities)}")
    description = f"extract {', '.join(identities)} ({format_bytes(row_bytes * len(catalog))})"
    with (
        tqdm(total=len(catalog), initial=len(catalog) - missing, desc=description, unit="galaxy", smoothing=0.05) as progress,
        in_background() as write,
    ):
        images = in_advance(read_images(galaxies, catalog, start, stop) for start, stop in spans)
        for (start, stop), batch in zip(spans, images, strict=True):
            for layer, activation in forward(batch).items():
                write(writers[layer].add, start, activation)
            progress.update(stop - start)


def read_images(galaxies: GalaxyFile, catalog: Catalog, start: int, stop: int) -> NDArray[np.uint8]:
    """Return the images of rows ``start`` to ``stop``, (B, S, S, 3), checked against the catalog's digests.

    Raises InputError when an image is not the one that ``split`` saw: its activation would stand under a wrong identity.
    """
    images = galaxies.read_images(catalog.galaxy[start:stop])
    for row, image in enumerate(images, start):
        if image_sha256(image) != catalog.image_sha256[row]:
            raise InputError(
                f"{galaxies.path}: the image of galaxy {catalog.galaxy[row]} (row {row}) is not the one in the catalog; the "
                "file changed after `split` had run. Run `dvc repro`."
            )
    return images


Forward = Callable[[NDArray[np.uint8]], dict[str, Tensor]]


def _make_forward(
    model: nn.Module, backbone: Backbone, pool: str, device: torch.device, autocast: AbstractContextManager[object]
) -> Forward:
    """Return the function from images (B, S, S, 3) uint8 to each layer's activation, (B, V, ...) on the CPU."""

    @torch.inference_mode()
    def forward(images: NDArray[np.uint8]) -> dict[str, Tensor]:
        # uint8 crosses the bus, a quarter of the bytes; (B, S, S, 3) read as (B, 3, S, S) is channels_last already.
        pixels = torch.from_numpy(images).to(device, non_blocking=True).permute(0, 3, 1, 2)
        transformed = backbone.transform(pixels).contiguous(memory_format=torch.channels_last)
        with autocast:
            activations: dict[str, Tensor] = model(transformed)
        pooled = {layer: pool_positions(a) if pool == "avg" else a.float() for layer, a in activations.items()}
        return {layer: activation.unsqueeze(1).contiguous().cpu() for layer, activation in pooled.items()}

    return forward


def _plan_layouts(
    forward: Forward, galaxies: GalaxyFile, catalog: Catalog, dtype: str, *, compressed: bool
) -> dict[str, Layout]:
    """Find each layer's shape by sending the first galaxy through."""
    if not len(catalog):
        raise InputError("data/catalog.csv names no galaxies; look at metrics/data.json for why `split` left none.")
    first = forward(galaxies.read_images(catalog.galaxy[:1]))
    return {layer: Layout(tuple(activation.shape[1:]), dtype, compressed) for layer, activation in first.items()}


def _missing_spans(
    writers: Collection[ShardWriter], num_rows: int, unit_rows: int, batch_rows: int
) -> Iterator[tuple[int, int]]:
    """Yield the (start, stop) of each batch that some layer still lacks.

    Batches never straddle a shard of any layer, so a resumed run makes the same batches as an uninterrupted one.
    """
    for unit in range(0, num_rows, unit_rows):
        if all(writer.has_row(unit) for writer in writers):
            continue
        end = min(unit + unit_rows, num_rows)
        for start in range(unit, end, batch_rows):
            yield start, min(start + batch_rows, end)
