"""From the activation of a node, in whatever axis order it has, to what a store keeps of it.

Legend: B images, C channels, T tokens, H x W positions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt

import torch
from torch import Tensor, nn

from galaxies.backbones.backbone import Backbone
from galaxies.errors import InputError


@dataclass(frozen=True)
class Tokens:
    """What stands before the patch tokens in a network of tokens."""

    num_prefix: int  # class token and registers
    has_class_token: bool  # then it is the first


@dataclass(frozen=True)
class Positions:
    """Where the positions of one node's activation are."""

    axes: tuple[int, ...]  # to average over; of a vector there are none
    num_prefix_tokens: int = 0  # leading tokens that belong to no position


def describe_tokens(module: nn.Module) -> Tokens:
    """Return what a network says about its tokens: timm's by attributes, torchvision's VisionTransformer by its class token."""
    if hasattr(module, "class_token"):
        return Tokens(1, has_class_token=True)
    has_class_token = getattr(module, "cls_token", None) is not None
    return Tokens(int(getattr(module, "num_prefix_tokens", has_class_token)), has_class_token)


def find_positions(node: str, shape: Sequence[int], other_shape: Sequence[int] | None, tokens: Tokens) -> Positions:
    """Find the positions in an activation of a square image.

    Of four axes, the two equal ones beside the batch are the positions: (B, C, H, W) of a CNN, (B, H, W, C) of a Swin or a
    timm ConvNeXt block. Where all three are equal, the one that an image of another size leaves as it is holds the channels.

    Args:
        node: its name, for errors.
        shape: of the activation.
        other_shape: of the activation of images of another size; None where the network takes one size only.
        tokens: of the network.

    Raises:
        InputError: there are no positions in such a shape, or they cannot be told from the channels.
    """
    if len(shape) == 2:
        return Positions(())
    if len(shape) == 3:
        return Positions((1,), _count_prefix(node, shape, tokens))
    if len(shape) == 4:
        _, first, second, third = shape
        if first == second == third:
            if other_shape is None:
                raise InputError(
                    f"extract.layers: {node} gives a tensor of shape {tuple(shape[1:])}, whose channels cannot be told from "
                    "its positions; use another extract.image_size."
                )
            return Positions((2, 3) if other_shape[1] == first else (1, 2))
        if second == third:
            return Positions((2, 3))
        if first == second:
            return Positions((1, 2))
    raise InputError(
        f"extract.layers: {node} gives a tensor of shape {tuple(shape[1:])}, in which there are no positions to average over; "
        "choose another node, or keep it whole with `-S extract.pool=map`."
    )


@torch.inference_mode()
def plan_pooling(
    backbone: Backbone, prefix: nn.Module, pooled: Sequence[str], pool: str, device: torch.device
) -> dict[str, Positions]:
    """Find the positions in the activation of each node that is pooled, by sending black images through."""

    def shapes(size: int) -> dict[str, torch.Size]:
        shape = (1, backbone.transform.channels, size, size)
        black = torch.zeros(shape, device=device).contiguous(memory_format=torch.channels_last)
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


def pool_nodes(
    activations: Mapping[str, Tensor], nodes: Sequence[str], *, pool: str, positions: Mapping[str, Positions]
) -> Tensor:
    """Return the class tokens (``pool`` is ``cls``) or the means over positions of nodes, one after the other: (B, C)."""
    if pool == "cls":
        return torch.cat([take_class_token(activations[node]) for node in nodes], dim=1)
    return torch.cat([average_positions(activations[node], positions[node]) for node in nodes], dim=1)


def average_positions(activation: Tensor, positions: Positions) -> Tensor:
    """Return the mean over the positions, without class token and registers: (B, C) float32."""
    if not positions.axes:
        return activation.float()
    return activation[:, positions.num_prefix_tokens :].mean(positions.axes, dtype=torch.float32)


def take_class_token(activation: Tensor) -> Tensor:
    """Return the first of (B, T, C) tokens, (B, C) float32."""
    return activation[:, 0].float()


def require_class_token(node: str, shape: Sequence[int], positions: Positions, tokens: Tokens) -> None:
    """Raise InputError unless an activation holds a class token."""
    if not (tokens.has_class_token and positions.num_prefix_tokens):
        raise InputError(
            f"extract.pool: found cls, but {node} gives a tensor of shape {tuple(shape[1:])} without a class token; use "
            "`-S extract.pool=avg`, or a layer of tokens of a ViT that has one."
        )


def _count_prefix(node: str, shape: Sequence[int], tokens: Tokens) -> int:
    """Return how many of the tokens belong to no position: those of the patches are a square number."""
    num_tokens = shape[1]
    for num_prefix in (tokens.num_prefix, 0):
        num_patches = num_tokens - num_prefix
        if num_patches > 0 and isqrt(num_patches) ** 2 == num_patches:
            return num_prefix
    raise InputError(
        f"extract.layers: {node} gives a tensor of shape {tuple(shape[1:])}; neither {num_tokens} nor {num_tokens} less "
        f"{tokens.num_prefix} is the square number that the patches of a square image make, so its tokens are not known. "
        "Choose another node, or keep it whole with `-S extract.pool=map`."
    )
