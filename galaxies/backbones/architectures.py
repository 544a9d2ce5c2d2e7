"""Networks by name, from torchvision and timm: built, given random or published weights, and how those want their images.

A name with the prefix ``timm:`` is one of timm's (``timm:convnext_nano.in12k_ft_in1k``) or of a repository on the Hugging Face
hub in timm's format (``timm:hf_hub:mwalmsley/zoobot-encoder-convnext_nano``). ``resnet18_half`` is our own, whose weights lie
beside this code; any other is one of torchvision's.
"""

import difflib
from collections.abc import Iterable
from typing import Any
from urllib.error import URLError

import torch
import torchvision
from torch import nn
from torchvision.models import WeightsEnum, get_model, get_model_weights, list_models

from galaxies.backbones.shipped import SHIPPED, resnet18_half, shipped_state
from galaxies.backbones.spec import RANDOM, BackboneSpec, Transform
from galaxies.backbones.weights import load_before_classifier
from galaxies.errors import InputError

TIMM_PREFIX = "timm:"
_HUB_PREFIX = "hf_hub:"

OWN = "resnet18_half"


def build(spec: BackboneSpec) -> tuple[nn.Module, Transform]:
    """Return a network and the transform of its weights, which may be published, shipped or random ones, not a file's.

    timm builds the networks that take images of one size, such as ViTs, for the size that is asked for.

    Raises:
        InputError: unknown name or weights, with the nearest ones; weights that cannot be downloaded, with what to do.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        if spec.name == OWN:
            return _build_own(spec.weights)
        if spec.name.startswith(TIMM_PREFIX):
            return _build_timm(spec.name, spec.weights, spec.image_size)
        return _build_torchvision(spec.name, spec.weights)


def _build_own(weights: str) -> tuple[nn.Module, Transform]:
    model = resnet18_half()
    if weights == RANDOM:
        return model, SHIPPED["galaxies-v1"].transform
    if weights not in SHIPPED:
        raise InputError(
            f"extract.weights: found {weights!r}; of {OWN} allowed are {', '.join(SHIPPED)}, random, or the path of a state "
            "dict (with a / in it, or ending in .pth, .pt or .safetensors)."
        )
    load_before_classifier(model, shipped_state(weights), used=model.state_dict(), source=weights)
    return model, SHIPPED[weights].transform


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
            f"The weights {chosen} cannot be downloaded ({error}). {_other_means(chosen.url, transform)}"
        ) from error
    return model, transform


def _torchvision_weights(name: str) -> dict[str, WeightsEnum]:
    names = list_models(module=torchvision.models)
    if name not in names:
        import timm

        others = [f"{TIMM_PREFIX}{other}" for other in (*timm.list_models(), *timm.list_pretrained())]
        close = [f"{TIMM_PREFIX}{name}"] if f"{TIMM_PREFIX}{name}" in others else _nearest(name, [*names, *others])
        raise InputError(
            f"extract.backbone: found {name!r}, which torchvision's classification models lack; the nearest are "
            f"{', '.join(close)}."
        )
    enum = get_model_weights(name)
    return {**dict(enum.__members__), "DEFAULT": enum["DEFAULT"]}


def _torchvision_transform(weights: WeightsEnum) -> Transform:
    preset = weights.transforms()
    return Transform(preset.crop_size[0], tuple(preset.mean), tuple(preset.std), preset.interpolation.value)


def _build_timm(name: str, weights: str, image_size: int | None) -> tuple[nn.Module, Transform]:
    # timm takes seconds to import and most runs do without.
    import timm

    if weights not in (RANDOM, "DEFAULT"):
        raise InputError(
            f"extract.weights: found {weights!r}; of {name} allowed are DEFAULT (those that its name means), random, or the "
            "path of a state dict (with a / in it, or ending in .pth, .pt or .safetensors)."
        )
    timm_name = name.removeprefix(TIMM_PREFIX)
    options: dict[str, Any] = {}
    config = None if timm_name.startswith(_HUB_PREFIX) else _timm_config(timm_name)
    if image_size and config is not None and config.fixed_input_size:
        options["img_size"] = image_size
    try:
        model: nn.Module = timm.create_model(timm_name, pretrained=weights != RANDOM, **options)
    except OSError as error:
        raise InputError(f"{name} cannot be downloaded ({error}). {_timm_other_means(timm_name, config)}") from error
    except RuntimeError as error:
        raise InputError(f"extract.backbone: timm cannot make {name} with weights {weights}: {error}.") from error
    return model, _timm_transform(model)


def _timm_config(timm_name: str) -> Any:
    import timm

    names = [*timm.list_models(), *timm.list_pretrained()]
    if timm_name not in names:
        close = (f"{TIMM_PREFIX}{other}" for other in _nearest(timm_name, names))
        raise InputError(
            f"extract.backbone: found '{TIMM_PREFIX}{timm_name}', which timm lacks; the nearest are {', '.join(close)}."
        )
    return timm.get_pretrained_cfg(timm_name, allow_unregistered=False)


def _timm_transform(model: nn.Module) -> Transform:
    from timm.data import resolve_model_data_config

    config = resolve_model_data_config(model)
    return Transform(config["input_size"][-1], tuple(config["mean"]), tuple(config["std"]), config["interpolation"])


def _timm_other_means(timm_name: str, config: Any) -> str:
    if config is None:
        address = f"https://huggingface.co/{timm_name.removeprefix(_HUB_PREFIX)}"
        return (
            f"Get config.json and model.safetensors from {address} by other means, and use `-S extract.backbone=timm:"
            "<architecture>`, `-S 'extract.mean=<mean>' -S 'extract.std=<std>'` as config.json says, and `-S "
            "extract.weights=<path of model.safetensors> -S extract.weights_sha256=<its sha256>`."
        )
    address = f"https://huggingface.co/{config.hf_hub_id} (model.safetensors)" if config.hf_hub_id else config.url
    return _other_means(address, Transform(config.input_size[-1], config.mean, config.std, config.interpolation))


def _other_means(address: str, transform: Transform) -> str:
    mean, std = (",".join(f"{value:g}" for value in values) for values in (transform.mean, transform.std))
    return (
        f"Get the file from {address} by other means and use `-S extract.weights=<path> -S extract.weights_sha256=<its sha256> "
        f"-S 'extract.mean=[{mean}]' -S 'extract.std=[{std}]'`."
    )


def _nearest(name: str, names: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(name, list(names), n=4, cutoff=0.3)
