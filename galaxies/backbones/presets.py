"""Backbones with everything that their weights want: a name that stands for a network, its weights, layer, pool and transform.

The numbers are those of the sources that each preset names, not of a hub's ``config.json`` where the two differ: Zoobot's
encoders take pixels from 0 to 1 and a field zoomed 1.2 times, and their ``config.json`` repeats ImageNet's. Where a source
crops the middle of photographs, the whole cutout is resized instead, for the outskirts of a galaxy matter.

Light to import: readers of stores know from here which transform a preset's activations were made with.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

from galaxies.backbones.spec import TIMM_PREFIX, BackboneSpec, Transform
from galaxies.errors import InputError

OWN = "resnet18_half"


@dataclass(frozen=True)
class Preset:
    """A backbone as its authors use it."""

    model: str  # resnet18_half, a model of torchvision, or timm:<architecture>
    layer: str  # what its authors call the features
    pool: str  # of that layer: avg or cls
    transform: Transform
    source: str  # where the transform stands
    license: str  # of the weights
    citation: str
    weights: str = "DEFAULT"  # what DEFAULT means: a name of torchvision's, shipped weights, or DEFAULT of the hub
    hub: str | None = None  # the repository on the Hugging Face hub that holds the weights
    revision: str | None = None  # its commit; None is the newest, where none could be verified
    unverified: str = ""  # what of all this could not be checked against a source


_ZERO, _ONE, _HALF = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.5, 0.5, 0.5)
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))

ZOOBOT = Transform(224, _ZERO, _ONE, "bilinear", zoom=1.2)
"""Of every encoder in a repository whose name begins with ``mwalmsley/zoobot-encoder-``."""

ZOOBOT_GREY = Transform(224, (0.0,), (1.0,), "bilinear", zoom=1.2, channels=1)
"""Of those with ``greyscale`` in the name."""

_ZOOBOT_HUB = "mwalmsley/zoobot-encoder-"
_ZOOBOT_SOURCE = (
    "galaxy_datasets/transforms.py, get_galaxy_transform(minimal_view_config()) at 3cd2149 of mwalmsley/galaxy-datasets; "
    "docs/guides/loading_data.rst of mwalmsley/zoobot"
)
_ZOOBOT_CITATION = "Walmsley et al. 2024, Scaling Laws for Galaxy Images, arXiv:2404.02973"
_NEWEST = "the newest commit of the weights"
_GREY_UNVERIFIED = "the weights of the grey mean: in May 2024, when they were published, the same file took the plain mean"


def _zoobot(
    architecture: str, layer: str, revision: str | None, *, name: str | None = None, unverified: str = "", **others: Any
) -> Preset:
    """Return one of Zoobot's encoders; ``others`` are fields in which it differs from most."""
    preset = Preset(
        f"{TIMM_PREFIX}{architecture}",
        layer,
        "avg",
        ZOOBOT,
        _ZOOBOT_SOURCE,
        "Apache-2.0",
        _ZOOBOT_CITATION,
        hub=f"{_ZOOBOT_HUB}{name or architecture}",
        revision=revision,
        unverified="; ".join(filter(None, ("" if revision else _NEWEST, unverified))),
    )
    return replace(preset, **others)


def _timm(architecture: str, tag: str, layer: str, *, revision: str | None = None, **others: Any) -> Preset:
    """Return one of timm's models with the weights of a tag; ``others`` are the other fields."""
    return Preset(
        f"{TIMM_PREFIX}{architecture}",
        layer,
        hub=f"timm/{architecture}.{tag}",
        revision=revision,
        unverified="" if revision else _NEWEST,
        **{"pool": "avg", "source": "timm's default_cfgs", **others},
    )


_PHOTO = Transform(224, *_IMAGENET, "bicubic")
_DINOV2: dict[str, Any] = {
    "pool": "cls",
    "transform": _PHOTO,
    "license": "Apache-2.0",
    "citation": "Oquab et al. 2024, DINOv2, arXiv:2304.07193; Darcet et al. 2024, registers, arXiv:2309.16588",
    "source": "dinov2/data/transforms.py of facebookresearch/dinov2, make_classification_eval_transform, without its crop",
}
_DINOV3: dict[str, Any] = {
    "transform": Transform(256, *_IMAGENET, "bilinear"),
    "source": "README.md of facebookresearch/dinov3, make_transform(resize_size=256)",
    "license": "DINOv3 License",
    "citation": "Siméoni et al. 2025, DINOv3, arXiv:2508.10104",
}

PRESETS: dict[str, Preset] = {
    OWN: Preset(
        OWN,
        "layer3+layer4",
        "avg",
        Transform(96, (0.15, 0.15, 0.15), (0.20, 0.20, 0.20), "bilinear"),
        "galaxies/backbones/galaxies-v1.md",
        "MIT",
        "this repository (CITATION.cff)",
        weights="galaxies-v1",
    ),
    "zoobot-convnext-pico": _zoobot("convnext_pico", "head.flatten", "ca4dc5278aa675d7982e690a1ec10de8e945963e"),
    "zoobot-convnext-nano": _zoobot("convnext_nano", "head.flatten", "2e37bdfeff9915eeb64a7b7da24aac4c2d6a33a6"),
    "zoobot-convnext-tiny": _zoobot(
        "convnext_tiny", "head.flatten", None, unverified="the width: Zoobot's table names 44.6 M parameters, timm's has 27.8 M"
    ),
    "zoobot-convnext-small": _zoobot("convnext_small", "head.flatten", "dbe007fc57cada6ebb19f590b42cc908365ad2b1"),
    "zoobot-convnext-base": _zoobot("convnext_base", "head.flatten", "83443aa79fbec1618360e422f66994ec5b809508"),
    "zoobot-convnext-large": _zoobot("convnext_large", "head.flatten", None),
    "zoobot-resnet18": _zoobot("resnet18", "layer4", None),
    "zoobot-resnet50": _zoobot("resnet50", "layer4", "6a47df9600426d2ef0a7488398a39bce8cbfc266"),
    "zoobot-maxvit-small": _zoobot("maxvit_rmlp_small_rw_224", "norm", None),
    "zoobot-euclid": _zoobot(
        "convnext_base",
        "head.flatten",
        "5e5ad2e1913b5bfd907bf6fd6ebfbba0c731614b",
        name="euclid-convnext-base",
        citation="Euclid Collaboration: Walmsley et al. 2025, arXiv:2503.15310",
        unverified="that it was trained on the transform of the other encoders; its card says nothing",
    ),
    "zoobot-greyscale-nano": _zoobot(
        "convnext_nano",
        "head.flatten",
        "8e34d126ae7afd4371926552acd01c544a282d8f",
        name="greyscale-convnext_nano",
        transform=ZOOBOT_GREY,
        unverified=_GREY_UNVERIFIED,
    ),
    "dinov2-vit-small": _timm(
        "vit_small_patch14_reg4_dinov2", "lvd142m", "norm", revision="788f50961a4cf5d639e54a0f3c30e17476d346fc", **_DINOV2
    ),
    "dinov2-vit-base": _timm("vit_base_patch14_reg4_dinov2", "lvd142m", "norm", **_DINOV2),
    "dinov3-vit-small": _timm("vit_small_patch16_dinov3", "lvd1689m", "norm", pool="cls", **_DINOV3),
    "dinov3-convnext-tiny": _timm("convnext_tiny", "dinov3_lvd1689m", "head.flatten", **_DINOV3),
    "siglip2-vit-base": _timm(
        "vit_base_patch16_siglip_224",
        "v2_webli",
        "attn_pool",
        transform=Transform(224, _HALF, _HALF, "bicubic"),
        license="Apache-2.0",
        citation="Tschannen et al. 2025, SigLIP 2, arXiv:2502.14786",
    ),
    "clip-vit-base": _timm(
        "vit_base_patch16_clip_224",
        "openai",
        "norm",
        pool="cls",
        transform=Transform(224, *_CLIP, "bicubic"),
        license="MIT",
        citation="Radford et al. 2021, CLIP, arXiv:2103.00020",
    ),
    "imagenet-resnet50": Preset(
        "resnet50",
        "layer4",
        "avg",
        Transform(224, *_IMAGENET, "bilinear"),
        "torchvision's ResNet50_Weights.IMAGENET1K_V2, without its crop",
        "BSD-3-Clause",
        "He et al. 2016, arXiv:1512.03385; torchvision",
        weights="IMAGENET1K_V2",
    ),
    "imagenet-convnext-nano": _timm(
        "convnext_nano",
        "in12k_ft_in1k",
        "head.flatten",
        transform=_PHOTO,
        license="Apache-2.0",
        citation="Liu et al. 2022, arXiv:2201.03545; Wightman 2019, timm",
    ),
}
"""By the name that ``extract.backbone`` takes."""


def find_preset(name: str) -> Preset | None:
    """Return the preset of a name of ``extract.backbone``, be it its own or that of its repository; None without one."""
    if name in PRESETS:
        return PRESETS[name]
    repository, _, revision = hub_repository(name).partition("@")
    found = [preset for preset in PRESETS.values() if repository and preset.hub == repository]
    return replace(found[0], revision=revision or None) if found else None


def hub_repository(name: str) -> str:
    """Return the repository, with its revision, of a backbone on the Hugging Face hub; empty of any other."""
    source, _, repository = name.removeprefix(TIMM_PREFIX).partition(":")
    return repository if name.startswith(TIMM_PREFIX) and source.replace("-", "_") == "hf_hub" else ""


def known_transform(spec: BackboneSpec) -> Transform | None:
    """Return the transform as used, where it is known without the weights: of a preset, and of all of Zoobot's encoders."""
    preset = find_preset(spec.name)
    if preset:
        return adjust(preset.transform, spec)
    repository = hub_repository(spec.name)
    if repository.startswith(_ZOOBOT_HUB):
        return adjust(ZOOBOT_GREY if "greyscale" in repository else ZOOBOT, spec)
    return None


def adjust(transform: Transform, spec: BackboneSpec) -> Transform:
    """Return a transform with what the parameters ask for instead of the weights' own.

    Raises InputError where mean or standard deviation are not one number for each channel.
    """
    names = {each.name for each in fields(Transform)} & {each.name for each in fields(BackboneSpec)}
    asked = {name: getattr(spec, name) for name in names if getattr(spec, name) is not None}
    adjusted = replace(transform, **asked)
    # A greyscale network takes one band, or makes one of three; any other sees each band in a channel of its own.
    if spec.bands and not (transform.channels == 1 and len(spec.bands) == 3):
        adjusted = replace(adjusted, channels=len(spec.bands))
    for name, values in (("mean", adjusted.mean), ("std", adjusted.std)):
        if len(values) != adjusted.channels:
            raise InputError(
                f"extract.{name}: found {list(values)}, but {spec.name} takes images of {adjusted.channels} channels; allowed "
                "is one number for each."
            )
    return adjusted
