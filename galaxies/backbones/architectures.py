"""Networks by name, from torchvision and timm: built, given random or published weights, and how those want their images.

A name is that of a preset (``galaxies.backbones.presets``), of a model of torchvision's, or begins with ``timm:``. Then it is
one of timm's (``timm:convnext_nano.in12k_ft_in1k``), of a repository on the Hugging Face hub in timm's format
(``timm:hf_hub:<user>/<name>``), or of a local folder in that format (``timm:local-dir:<folder>``).
"""

import logging
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
import torchvision
from torch import nn
from torchvision.models import WeightsEnum, get_model, get_model_weights, list_models

from galaxies.backbones.presets import OWN, PRESETS, Preset, adjust, find_preset, hub_repository, known_transform
from galaxies.backbones.shipped import SHIPPED, resnet18_half, shipped_state
from galaxies.backbones.spec import RANDOM, TIMM_PREFIX, BackboneSpec, Transform
from galaxies.backbones.timm_models import build_preset, build_timm, nearest, other_means, timm_names
from galaxies.backbones.weights import load_before_classifier, needs_adapting, set_channels
from galaxies.errors import InputError

_logger = logging.getLogger(__name__)


def build(spec: BackboneSpec, folder: Path = Path()) -> tuple[nn.Module, Transform]:
    """Return a network and the transform of its images, with published, shipped or random weights, not a file's.

    timm builds the networks that take images of one size, such as ViTs, for the size that is asked for.

    Args:
        spec: which network, with which weights.
        folder: what a relative path of a local folder is relative to.

    Raises:
        InputError: unknown name or weights, with the nearest ones; weights that cannot be downloaded, with what to do; weights
            for images of another size or number of channels.
    """
    preset = find_preset(spec.name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        module, own = _build(spec, preset, folder)
    known = known_transform(spec)
    transform = known or adjust(own, spec)
    found = set_channels(module, transform.channels)
    if found and spec.weights != RANDOM and not spec.adapt_weights:
        what = f"images of {found} channels, and these have {transform.channels}"
        raise InputError(needs_adapting(f"{spec.name} with weights {spec.weights}", what))
    if hub_repository(spec.name) and known:
        _logger.info(
            "%s: its images are made as its authors' own program makes them (%s), not as its config.json says.",
            spec.name,
            transform,
        )
    return module, transform


def _build(spec: BackboneSpec, preset: Preset | None, folder: Path) -> tuple[nn.Module, Transform]:
    name = preset.model if preset else spec.name
    weights = preset.weights if preset and spec.weights == "DEFAULT" else spec.weights
    if preset and name == OWN:
        return _build_own(weights), preset.transform
    if preset and name.startswith(TIMM_PREFIX):
        return build_preset(spec, preset), preset.transform
    if name.startswith(TIMM_PREFIX):
        return build_timm(spec, folder)
    return _build_torchvision(name, weights)


def _build_own(weights: str) -> nn.Module:
    model: nn.Module = resnet18_half()
    if weights == RANDOM:
        return model
    if weights not in SHIPPED:
        raise InputError(
            f"extract.weights: found {weights!r}; of {OWN} allowed are {', '.join(SHIPPED)}, random, or the path of a state "
            "dict (with a / in it, or ending in .pth, .pt or .safetensors)."
        )
    load_before_classifier(model, shipped_state(weights), used=model.state_dict(), source=weights)
    return model


def _build_torchvision(name: str, weights: str) -> tuple[nn.Module, Transform]:
    published = _torchvision_weights(name)
    # The weight initialisation of these two warns that it is slow; other models do not know the option.
    options: dict[str, Any] = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    if weights == RANDOM:
        model: nn.Module = get_model(name, weights=None, **options)
        return model, _torchvision_transform(published["DEFAULT"])
    if weights in SHIPPED:
        raise InputError(f"extract.weights: {weights} goes with `-S extract.backbone={OWN}`, found {name}.")
    if weights not in published:
        raise InputError(
            f"extract.weights: found {weights!r}; allowed are {', '.join(published)}, random, or the path of a state dict "
            "(with a / in it, or ending in .pth, .pt or .safetensors)."
        )
    chosen = published[weights]
    transform = _torchvision_transform(chosen)
    try:
        model = get_model(name, weights=chosen)
    except (URLError, OSError) as error:
        raise InputError(
            f"The weights {chosen} cannot be downloaded ({error}). {other_means(chosen.url, transform)}"
        ) from error
    return model, transform


def _torchvision_weights(name: str) -> dict[str, WeightsEnum]:
    names = list_models(module=torchvision.models)
    if name not in names:
        others = [*PRESETS, *(f"{TIMM_PREFIX}{other}" for other in timm_names())]
        close = [f"{TIMM_PREFIX}{name}"] if f"{TIMM_PREFIX}{name}" in others else nearest(name, [*names, *others])
        raise InputError(
            f"extract.backbone: found {name!r}, which is no preset and no classification model of torchvision; the nearest are "
            f"{', '.join(close)}."
        )
    enum = get_model_weights(name)
    return {**dict(enum.__members__), "DEFAULT": enum["DEFAULT"]}


def _torchvision_transform(weights: WeightsEnum) -> Transform:
    preset = weights.transforms()
    return Transform(preset.crop_size[0], tuple(preset.mean), tuple(preset.std), preset.interpolation.value)
