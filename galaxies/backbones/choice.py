"""Which library runs a frozen network where the user leaves the choice: by kind of network and amount of work, never by timing.

So two runs under the same conditions choose the same. On a CPU ONNX Runtime is the faster for every kind of network that was
tried; but exporting a network takes seconds, which few or small images do not win back.
"""

import torch
from torch import nn

from galaxies.backbones.backbone import Backbone
from galaxies.backbones.forward import ONNXRUNTIME, TORCH, ForwardPass
from galaxies.backbones.spec import INPUT
from galaxies.runtime import Library

# Seconds that ONNX Runtime saves on one image of 224 px and a million parameters, on two cores: the least that was measured for
# each kind (python -m benchmarks.forward; docs/measurements.md has its table). The parameters stand for the arithmetic: these
# networks do 0.1 to 0.4 GFLOP for each million.
_SECONDS_SAVED = {
    "convolutions": 0.2e-3,  # ours 0.2, ResNet-18 0.35, ResNet-50 0.86
    "depthwise convolutions": 2.5e-3,  # MobileNetV2 2.5, EfficientNet-B0 3.9
    "layer norms": 1.6e-3,  # ViT-S 1.6, ConvNeXt-nano 3.0
}
_SECONDS_TO_START = 5.0  # exporting, loading, and importing what that needs: 1 (ours) to 5 (ViT-S)


def choose_library(
    wanted: Library, backbone: Backbone, asked: ForwardPass, *, device: torch.device, num_images: int
) -> Library:
    """Return ``torch`` or ``onnxruntime``: what is wanted, or what takes less time in all.

    Args:
        wanted: as in ``runtime.forward``.
        backbone: the network.
        asked: what is kept of it.
        device: to compute on.
        num_images: how many will be sent through, a view counting as one.
    """
    if wanted != "auto":
        return wanted
    if device.type != "cpu" or asked.precision != "float32" or asked.layers == (INPUT,):
        return TORCH
    millions = sum(parameter.numel() for parameter in backbone.module.parameters()) / 1e6
    saved = _SECONDS_SAVED[kind_of(backbone.module)] * millions * (backbone.transform.image_size / 224) ** 2
    return ONNXRUNTIME if num_images * saved * 2 / torch.get_num_threads() > _SECONDS_TO_START else TORCH


def kind_of(module: nn.Module) -> str:
    """Return the kind of a network."""
    parts = list(module.modules())
    if any(isinstance(part, nn.LayerNorm) for part in parts):
        return "layer norms"
    if any(isinstance(part, nn.Conv2d) and 1 < part.in_channels == part.groups for part in parts):
        return "depthwise convolutions"
    return "convolutions"
