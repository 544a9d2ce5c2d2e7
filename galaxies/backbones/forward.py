"""The forward pass: from images of galaxies to what the stores keep of them, by PyTorch on any device or by ONNX Runtime.

Legend: B images, V views, S image size in the file, s image size of the backbone, C channels, T tokens, H x W positions.
"""

import logging
import tempfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, fx

from galaxies.backbones.backbone import Backbone, cut
from galaxies.backbones.folding import fold_batch_norms
from galaxies.backbones.onnx_network import CannotExport, OnnxNetwork, open_onnx_network
from galaxies.backbones.parts import compute_in_parts
from galaxies.backbones.pooling import Positions, plan_pooling, pool_nodes
from galaxies.backbones.spec import INPUT, Transform, layer_nodes
from galaxies.backbones.transform import normalize, resize, stack_views

Network = Callable[[Tensor], Mapping[str, Tensor]]
"""From normalised pixels, (B, 3, s, s), to the activation of each node, (B, ...)."""

TORCH: Final = "torch"
ONNXRUNTIME: Final = "onnxruntime"

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}

# Images in one part of a batch, and the pixels that they may have together. Images/s in parts of 1, 4 and 16, two cores:
# MobileNetV2 538, 519, 430; EfficientNet-B0 319, 292, 227; ResNet-50 45, 59, 59; ViT-S 42, 40, 37; ours at 96 px 2,170, 2,430,
# 2,340 (measured). Larger parts of small images would leave cores without one at the end of a batch.
_PART_IMAGES, _PART_PIXELS = 4, 4 * 224**2

_logger = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class Forward:
    """From images, (B, S, S, 3) uint8, to what is kept of each layer on the device, (B, V, ...) float32; of ``input`` uint8."""

    compute: Callable[[Tensor], dict[str, Tensor]]
    device: torch.device
    library: str = TORCH  # that runs the network: torch, or onnxruntime with its version
    num_at_once: int = 1  # batches that go through together, so that no core waits for the end of one

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Send images through."""
        return self.compute(images)


def make_forward(
    backbone: Backbone, asked: ForwardPass, *, device: torch.device, library: str = TORCH, folder: Path | None = None
) -> Forward:
    """Return what sends images through the backbone up to the deepest of the layers.

    It moves the images to the device as uint8, a quarter of the bytes of float32, and resizes and normalises them there. It
    gives, for each layer: the resized images, (B, 1, 3, s, s) uint8, of ``input``; pooled features, (B, V, C), of nodes joined
    by ``+`` one after the other; else maps, (B, V, C, H, W) or (B, V, T, C).

    Args:
        backbone: the frozen network; it is moved to the device.
        asked: the layers, and what is kept of them.
        device: to compute on.
        library: ``torch``, or ``onnxruntime``, which computes in float32 on a CPU; what it cannot do PyTorch does, and a line
            in the log says why.
        folder: where ONNX Runtime's graph is kept for the next time; it belongs to these weights. None keeps it nowhere.

    Raises:
        InputError: an unknown node, images of a size that the network does not take, an activation that cannot be pooled so.
    """
    nodes = layer_nodes(asked.layers)
    if not nodes:
        return Forward(_make_compute(backbone.transform, asked, lambda pixels: {}, {}, device), device)
    prefix = fold_batch_norms(cut(backbone.module, nodes)).to(device)
    positions = plan_pooling(backbone, prefix, layer_nodes(asked.pooled), asked.pool, device)
    onnx = _try_onnx(prefix, backbone, asked, device, folder) if library == ONNXRUNTIME else None
    compute = _make_compute(backbone.transform, asked, onnx or _in_torch(prefix, asked, device), positions, device)
    if onnx is None:
        return Forward(compute, device)
    part_size = choose_part_size(backbone.transform.image_size, num_views=asked.views)
    in_parts = compute_in_parts(compute, part_size=part_size, num_threads=torch.get_num_threads())
    return Forward(in_parts, device, f"{ONNXRUNTIME} {onnx.version}", num_at_once=2)


def choose_part_size(image_size: int, *, num_views: int = 1) -> int:
    """Return how many images, each with its views, one part of a batch has."""
    return max(1, min(_PART_IMAGES, _PART_PIXELS // image_size**2) // num_views)


def _make_compute(
    transform: Transform, asked: ForwardPass, network: Network, positions: Mapping[str, Positions], device: torch.device
) -> Callable[[Tensor], dict[str, Tensor]]:
    """Return what resizes and normalises images, sends them through ``network`` and keeps what was asked."""

    @torch.inference_mode()
    def compute(images: Tensor) -> dict[str, Tensor]:
        # (B, S, S, 3) read as (B, 3, S, S) is channels_last already.
        resized = resize(images.to(device, non_blocking=True).permute(0, 3, 1, 2), transform)
        if asked.layers == (INPUT,):
            return {INPUT: resized.unsqueeze(1)}
        activations = network(stack_views(normalize(resized, transform), asked.views))  # of (B * V, 3, s, s)
        return {
            layer: resized.unsqueeze(1) if layer == INPUT else _keep(layer, activations, asked, positions)
            for layer in asked.layers
        }

    return compute


def _keep(layer: str, activations: Mapping[str, Tensor], asked: ForwardPass, positions: Mapping[str, Positions]) -> Tensor:
    """Return what is kept of a layer, (B, V, ...) float32, given the activation of each node, (B * V, ...)."""
    if layer in asked.pooled:
        kept = pool_nodes(activations, layer_nodes([layer]), pool=asked.pool, positions=positions)
    else:
        kept = activations[layer].float()
    return kept.reshape(-1, asked.views, *kept.shape[1:])


def _in_torch(prefix: fx.GraphModule, asked: ForwardPass, device: torch.device) -> Network:
    """Return ``prefix`` as PyTorch runs it fastest, by autocast where another precision than float32 was asked for."""
    prefix = prefix.to(memory_format=torch.channels_last)
    autocast = torch.autocast(device.type, _AUTOCAST[asked.precision]) if asked.precision in _AUTOCAST else nullcontext()

    def network(pixels: Tensor) -> Mapping[str, Tensor]:
        with autocast:
            activations: Mapping[str, Tensor] = prefix(pixels.contiguous(memory_format=torch.channels_last))
        return activations

    return network


def _try_onnx(
    prefix: fx.GraphModule, backbone: Backbone, asked: ForwardPass, device: torch.device, folder: Path | None
) -> OnnxNetwork | None:
    """Return ``prefix`` in ONNX Runtime, or None, and log why, where PyTorch has to do."""
    try:
        if device.type != "cpu" or asked.precision != "float32":
            raise CannotExport(f"it computes in float32 on a CPU, and this is {asked.precision} on {device.type}")
        nodes, transform = layer_nodes(asked.layers), backbone.transform
        shape = (transform.channels, transform.image_size, transform.image_size)
        with nullcontext(folder) if folder else tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
            return open_onnx_network(prefix, nodes, image_shape=shape, folder=Path(place))
    except CannotExport as error:
        _logger.warning("PyTorch runs %s, for ONNX Runtime cannot: %s", backbone.name, error)
        return None
