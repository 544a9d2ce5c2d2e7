"""The forward pass: from images of galaxies to what the stores keep of them, on a CPU or, with copies that overlap, on a GPU.

Legend: B images, V views, S image size in the file, s image size of the backbone, C channels, T tokens, H x W positions.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from galaxies.backbones.backbone import Backbone, cut
from galaxies.backbones.folding import fold_batch_norms
from galaxies.backbones.pooling import (
    Positions,
    average_positions,
    describe_tokens,
    find_positions,
    require_class_token,
    take_class_token,
)
from galaxies.backbones.spec import INPUT, layer_nodes
from galaxies.backbones.transform import normalize, resize, stack_views
from galaxies.errors import InputError

Forward = Callable[[Tensor], dict[str, Tensor]]
"""From images, (B, S, S, 3) uint8, to the activation of each layer on the device: (B, V, ...) float32, of ``input`` uint8."""

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class ForwardPass:
    """What is kept of each image, and how it is computed."""

    layers: tuple[str, ...]  # as in extract.layers
    pool: str  # avg, cls or map
    views: int = 1  # or 8 for all of galaxies.backbones.transform.turn, in its order
    precision: str = "float32"  # or bfloat16 or float16, by autocast

    @property
    def pooled(self) -> tuple[str, ...]:
        """The layers of which features are kept and not maps: always those of nodes joined by ``+``."""
        return tuple(layer for layer in self.layers if layer != INPUT and (self.pool != "map" or "+" in layer))


def make_forward(backbone: Backbone, asked: ForwardPass, *, device: torch.device) -> Forward:
    """Return the function that sends images through the backbone up to the deepest of the layers.

    The function moves the images to the device as uint8, a quarter of the bytes of float32, and resizes and normalises them
    there. It gives, for each layer: the resized images, (B, 1, 3, s, s) uint8, of ``input``; pooled features, (B, V, C), of
    nodes joined by ``+`` one after the other; else maps, (B, V, C, H, W) or (B, V, T, C).

    Args:
        backbone: the frozen network; it is moved to the device.
        asked: the layers, and what is kept of them.
        device: to compute on.

    Raises:
        InputError: an unknown node, images of a size that the network does not take, an activation that cannot be pooled so.
    """
    nodes = layer_nodes(asked.layers)
    prefix = fold_batch_norms(cut(backbone.module, nodes)).to(device).to(memory_format=torch.channels_last) if nodes else None
    autocast = torch.autocast(device.type, _AUTOCAST[asked.precision]) if asked.precision in _AUTOCAST else nullcontext()
    positions = plan_pooling(backbone, prefix, layer_nodes(asked.pooled), asked.pool, device) if prefix else {}

    @torch.inference_mode()
    def forward(images: Tensor) -> dict[str, Tensor]:
        # (B, S, S, 3) read as (B, 3, S, S) is channels_last already.
        resized = resize(images.to(device, non_blocking=True).permute(0, 3, 1, 2), backbone.transform)
        activations: dict[str, Tensor] = {}
        if prefix:
            pixels = stack_views(normalize(resized, backbone.transform), asked.views)  # (B * V, 3, s, s)
            with autocast:
                activations = prefix(pixels.contiguous(memory_format=torch.channels_last))
        kept = {layer: _keep(layer, activations, asked, positions) for layer in asked.layers if layer != INPUT}
        return {layer: resized.unsqueeze(1) if layer == INPUT else kept[layer] for layer in asked.layers}

    return forward


def _keep(layer: str, activations: Mapping[str, Tensor], asked: ForwardPass, positions: Mapping[str, Positions]) -> Tensor:
    """Return what is kept of a layer, (B, V, ...) float32, given the activation of each node, (B * V, ...)."""
    if layer not in asked.pooled:
        kept = activations[layer].float()
    elif asked.pool == "cls":
        kept = torch.cat([take_class_token(activations[node]) for node in layer_nodes([layer])], dim=1)
    else:
        kept = torch.cat([average_positions(activations[node], positions[node]) for node in layer_nodes([layer])], dim=1)
    return kept.reshape(-1, asked.views, *kept.shape[1:])


def forward_batches(
    compute: Callable[[Tensor], Mapping[str, tuple[Tensor, ...]]], batches: Iterable[Tensor], device: torch.device
) -> Iterator[Mapping[str, tuple[Tensor, ...]]]:
    """Yield what ``compute`` makes of each batch of images, on the CPU, in order.

    On a GPU the images should be in pinned memory: three streams copy the next batch there, compute this one and copy the last
    one back at the same time, and results come one batch late.
    """
    if device.type != "cuda":
        yield from map(compute, batches)
        return
    main = torch.cuda.current_stream(device)
    upload, download = (torch.cuda.Stream(device) for _ in range(2))  # type: ignore[no-untyped-call]
    last: tuple[Mapping[str, tuple[Tensor, ...]], torch.cuda.Event] | None = None
    for images in batches:
        with torch.cuda.stream(upload):
            on_device = images.to(device, non_blocking=True)
        main.wait_stream(upload)
        on_device.record_stream(main)
        results = compute(on_device)
        download.wait_stream(main)
        with torch.cuda.stream(download):
            copies = {name: tuple(map(_copy_to_pinned, tensors)) for name, tensors in results.items()}
            done = download.record_event()
        for tensor in chain.from_iterable(results.values()):
            # The allocator must not hand this memory out before the copy on the other stream has read it.
            tensor.record_stream(download)
        if last:
            last[1].synchronize()
            yield last[0]
        last = copies, done
    if last:
        last[1].synchronize()
        yield last[0]


def _copy_to_pinned(activation: Tensor) -> Tensor:
    """Start a copy to page-locked memory, which alone is copied without making the CPU wait."""
    copy = torch.empty(activation.shape, dtype=activation.dtype, pin_memory=True)
    return copy.copy_(activation, non_blocking=True)


@torch.inference_mode()
def plan_pooling(
    backbone: Backbone, prefix: nn.Module, pooled: Sequence[str], pool: str, device: torch.device
) -> dict[str, Positions]:
    """Find the positions in the activation of each node that is pooled, by sending black images through."""

    def shapes(size: int) -> dict[str, torch.Size]:
        black = torch.zeros(1, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)
        return {node: activation.shape for node, activation in prefix(black).items()}

    size = backbone.transform.image_size
    try:
        found = shapes(size)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise InputError(
            f"extract.image_size: {backbone.name} takes no images of {size} px ({error}); use `-S extract.image_size=null`, "
            "the weights' own."
        ) from error
    try:
        others = shapes(2 * size) if any(len(set(found[node][1:])) == 1 for node in pooled) else {}
    except (RuntimeError, AssertionError, ValueError):
        others = {}  # The network takes images of one size.
    tokens = describe_tokens(backbone.module)
    positions = {node: find_positions(node, found[node], others.get(node), tokens) for node in pooled}
    if pool == "cls":
        for node in pooled:
            require_class_token(node, found[node], positions[node], tokens)
    return positions
