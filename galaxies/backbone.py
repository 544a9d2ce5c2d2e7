"""A pretrained network, frozen, with the transform its weights ask for, cut at named nodes of its graph.

Legend: B images in a batch, S image size in the file, s image size of the backbone, C channels, T tokens, H x W positions.
"""

import difflib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import WeightsEnum, get_model, get_model_weights, list_models
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from galaxies.errors import InputError
from galaxies.files import file_sha256, require_digest
from galaxies.identity import is_path
from galaxies.weights import (
    classifier_name,
    file_state,
    load_before_classifier,
    published_state,
    tensors_sha256,
)


@dataclass(frozen=True)
class Transform:
    """What the weights want to see: the whole cutout, resized (a galaxy's outskirts matter, so nothing is cropped)."""

    image_size: int  # px
    mean: tuple[float, float, float]  # of each channel, on the scale 0 to 1
    std: tuple[float, float, float]
    interpolation: str  # a value of torchvision's InterpolationMode

    def __call__(self, images: Tensor) -> Tensor:
        """Turn (B, 3, S, S) uint8 into (B, 3, s, s) float32, as torchvision's own preset of these weights does."""
        resized = functional.resize(
            images, [self.image_size, self.image_size], InterpolationMode(self.interpolation), antialias=True
        )
        pixels: Tensor = functional.to_dtype(resized, torch.float32, scale=True)
        normalized: Tensor = functional.normalize(pixels, list(self.mean), list(self.std))
        return normalized


@dataclass(frozen=True)
class Backbone:
    """A frozen network: in evaluation mode, without gradients."""

    name: str
    module: nn.Module
    transform: Transform
    weights_digest: str  # of the tensors before the classifier

    def recipe(self) -> dict[str, Any]:
        """Return what of the backbone determines its activations, as plain JSON values."""
        transform = asdict(self.transform)
        return {
            "weights_digest": self.weights_digest,
            "transform": {name: list(value) if isinstance(value, tuple) else value for name, value in transform.items()},
        }


def load_backbone(
    name: str,
    *,
    weights: str,
    layers: Sequence[str],
    seed: int = 0,
    weights_sha256: str | None = None,
    image_size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    folder: Path = Path(),
) -> Backbone:
    """Build a torchvision classification model, give it its weights and freeze it.

    Args:
        name: a name of ``torchvision.models.list_models``.
        weights: a name of torchvision's published weights (``IMAGENET1K_V2``, ``DEFAULT``), ``random``, or the path of a
            state dict.
        layers: nodes up to which a file's weights must be whole.
        seed: of the random weights.
        weights_sha256: sha256 of the file, or ``any``; only for a path.
        image_size: px; None takes the weights' own, as with ``mean`` and ``std`` (which a path must give).
        mean: of each channel on the scale 0 to 1.
        std: of each channel on the scale 0 to 1.
        folder: what a relative path is relative to.

    Raises:
        InputError: unknown name, weights or layer; a file that is missing, changed, unsafe or made for another network.
    """
    published = _published_weights(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # The weight initialisation of these two warns that it is slow; other models do not know the option.
        options = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
        model: nn.Module = get_model(name, weights=None, **options).eval().requires_grad_(False)
    chosen = published["DEFAULT"]
    if is_path(weights):
        if mean is None or std is None:
            raise InputError(
                f"extract.mean and extract.std: found null, but a file of weights ({weights}) does not say how its images "
                "were normalised; use e.g. `-S 'extract.mean=[0.485,0.456,0.406]' -S 'extract.std=[0.229,0.224,0.225]'`, "
                "ImageNet's usual ones."
            )
        path = folder / Path(weights).expanduser()
        state = file_state(path)
        require_digest(file_sha256(path), weights_sha256, key="extract.weights_sha256", what=str(path))
        used = cut(model, layers).state_dict()
        load_before_classifier(model, state, used=used, source=str(path))
    elif weights != "random":
        chosen = _find_weights(weights, published)
        load_before_classifier(model, published_state(chosen), used=model.state_dict(), source=str(chosen))
    _forbid_inplace(model)
    classifier = classifier_name(model)
    kept = {k: v for k, v in model.state_dict().items() if not (classifier and k.startswith(f"{classifier}."))}
    transform = _make_transform(chosen, image_size, mean, std)
    return Backbone(name, model, transform, tensors_sha256(kept))


def cut(model: nn.Module, layers: Sequence[str]) -> nn.Module:
    """Return the part of ``model`` up to the deepest of ``layers``; it maps images to a dict of layer -> activation.

    A layer is named by its node in the graph; the name of a module means the last node in it. Raises InputError for an
    unknown one, with the nearest names.
    """
    nodes = get_graph_node_names(model, suppress_diff_warning=True)[1]
    for layer in layers:
        if layer == "input" or not any(node == layer or node.startswith(f"{layer}.") for node in nodes):
            modules = {node.rsplit(".", depth)[0] for node in nodes for depth in range(node.count(".") + 1)}
            close = difflib.get_close_matches(layer, sorted(modules | set(nodes)), n=4, cutoff=0.4)
            shown = close or [node for node in nodes if "." not in node]
            raise InputError(f"extract.layers: {layer!r} is no node of this backbone; the nearest are {', '.join(shown)}.")
    prefix: nn.Module = create_feature_extractor(model, list(layers), suppress_diff_warning=True)
    return prefix


def pool_positions(activation: Tensor) -> Tensor:
    """Average an activation over its positions: (B, C, H, W), (B, H, W, C), (B, T, C) or (B, C) becomes (B, C) float32.

    Images are square, so the two equal axes of a 4-d activation are the positions (channels come first where all three are
    equal). Of T tokens, one more than a square number, the first is the class token and is left out.
    """
    activation = activation.float()
    if activation.ndim == 4:
        channels_last = activation.shape[1] == activation.shape[2] != activation.shape[3]
        return activation.mean((1, 2) if channels_last else (2, 3))
    if activation.ndim == 3:
        num_tokens = activation.shape[1]
        has_class_token = math.isqrt(num_tokens) ** 2 != num_tokens and math.isqrt(num_tokens - 1) ** 2 == num_tokens - 1
        return activation[:, int(has_class_token) :].mean(1)
    if activation.ndim == 2:
        return activation
    raise InputError(
        f"extract.layers: a node gives a tensor of {activation.ndim} axes, {tuple(activation.shape)}, which has no positions "
        "to average; choose another node."
    )


def _published_weights(name: str) -> dict[str, WeightsEnum]:
    names = list_models(module=torchvision.models)
    if name not in names:
        close = difflib.get_close_matches(name, names, n=4)
        hint = f"the nearest are {', '.join(close)}" if close else f"there are {', '.join(names)}"
        raise InputError(f"extract.backbone: found {name!r}, which torchvision's classification models lack; {hint}.")
    enum = get_model_weights(name)
    return {**dict(enum.__members__), "DEFAULT": enum["DEFAULT"]}


def _find_weights(weights: str, published: dict[str, WeightsEnum]) -> WeightsEnum:
    if weights not in published:
        raise InputError(
            f"extract.weights: found {weights!r}; allowed are {', '.join(published)}, random, or the path of a state dict "
            "(with a / in it, or ending in .pth, .pt or .safetensors)."
        )
    return published[weights]


def _forbid_inplace(model: nn.Module) -> None:
    """Stop an in-place ReLU from overwriting the activation of the node before it, which may be one of the layers."""
    for module in model.modules():
        if hasattr(module, "inplace"):
            setattr(module, "inplace", False)  # noqa: B010 - a plain assignment is typed as one of a submodule


def _make_transform(
    weights: WeightsEnum, image_size: int | None, mean: Sequence[float] | None, std: Sequence[float] | None
) -> Transform:
    preset = weights.transforms()
    size = image_size or preset.crop_size[0]
    red, green, blue = mean or preset.mean
    red_std, green_std, blue_std = std or preset.std
    return Transform(size, (red, green, blue), (red_std, green_std, blue_std), preset.interpolation.value)
