"""Networks of timm: of its own registry, of a repository on the Hugging Face hub, or of a local folder in the hub's format.

timm takes seconds to import and most runs do without, so it is imported where it is needed.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from galaxies.backbones.presets import ZOOBOT_GREY, Preset, hub_repository, known_transform
from galaxies.backbones.spec import LOCAL_PREFIX, RANDOM, TIMM_PREFIX, BackboneSpec, Transform, is_local_folder
from galaxies.backbones.weights import Resampling, fit_state, load_before_classifier, needs_adapting
from galaxies.errors import InputError


def build_preset(spec: BackboneSpec, preset: Preset) -> nn.Module:
    """Return the network of a preset that is one of timm's, with random weights or those of its repository."""
    import timm
    from timm.models import load_state_dict_from_hf

    _require_weights(spec, f"those of {preset.hub}", preset)
    architecture = preset.model.removeprefix(TIMM_PREFIX)
    size = spec.image_size or preset.transform.image_size
    options = {"num_classes": 0, "in_chans": preset.transform.channels}
    if timm.get_pretrained_cfg(architecture).fixed_input_size:
        options["img_size"] = size
    module = _create(spec, architecture, pretrained=False, **options)
    if spec.weights == RANDOM:
        return module
    source = f"{preset.hub}@{preset.revision}" if preset.revision else str(preset.hub)
    try:
        state = load_state_dict_from_hf(source)
    except OSError as error:
        advice = other_means(f"https://huggingface.co/{preset.hub} (model.safetensors or pytorch_model.bin)", None)
        raise InputError(f"The weights of {spec.name} cannot be downloaded ({error}). {advice}") from error
    # At the size of the preset its authors' own program resamples too.
    adapt = spec.adapt_weights or size == preset.transform.image_size
    used = module.state_dict()
    state = fit_state(module, state, used=used, adapt=adapt, source=source)
    load_before_classifier(module, state, used=used, source=source)
    return module


def build_timm(spec: BackboneSpec, folder: Path) -> tuple[nn.Module, Transform]:
    """Return a network by its name at timm and the transform that timm knows; of a local folder with random weights."""
    _require_weights(spec, "those that its name means", None)
    name, config = _find(spec, folder)
    transform = known_transform(spec)
    options: dict[str, Any] = {}
    if spec.image_size and config["fixed_input_size"]:
        options["img_size"] = spec.image_size
    if "greyscale" in hub_repository(spec.name) and transform:
        options["in_chans"] = ZOOBOT_GREY.channels  # Its config.json says three.
    with Resampling() as resampling:
        module = _create(spec, name, pretrained=spec.weights != RANDOM, **options)
    if resampling.happened and options and spec.weights != RANDOM and not spec.adapt_weights:
        what = f"images of {config['input_size'][-1]} px, and extract.image_size is {spec.image_size}"
        raise InputError(needs_adapting(spec.name, what))
    return module, transform or _timm_transform(module)


def timm_names() -> list[str]:
    """Return the names of timm's networks, with and without those of their weights."""
    import timm

    return [*timm.list_models(), *timm.list_pretrained()]


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """Return the names that look most like a mistyped one."""
    return difflib.get_close_matches(name, list(names), n=4, cutoff=0.3)


def other_means(address: str, transform: Transform | None) -> str:
    """Say what to do where weights cannot be downloaded; a preset knows the transform of its weights."""
    normalisation = ""
    if transform:
        mean, std = (",".join(f"{value:g}" for value in values) for values in (transform.mean, transform.std))
        normalisation = f" -S 'extract.mean=[{mean}]' -S 'extract.std=[{std}]'"
    return (
        f"Get the file from {address} by other means and use `-S extract.weights=<path> -S extract.weights_sha256=<its sha256>"
        f"{normalisation}`."
    )


def _require_weights(spec: BackboneSpec, default: str, preset: Preset | None) -> None:
    if spec.weights in (RANDOM, "DEFAULT"):
        return
    message = (
        f"extract.weights: found {spec.weights!r}; of {spec.name} allowed are DEFAULT ({default}), random, or the path of a "
        "state dict (with a / in it, or ending in .pth, .pt, .ckpt, .bin or .safetensors)."
    )
    if preset:
        message += (
            f" Its features are `-S extract.weights=DEFAULT -S 'extract.layers=[{preset.layer}]' -S extract.pool={preset.pool} "
            f"-S train.layer={preset.layer}`."
        )
    raise InputError(message)


def _find(spec: BackboneSpec, folder: Path) -> tuple[str, Mapping[str, Any]]:
    """Return the name by which timm makes a network, and its configuration."""
    import timm
    from timm.models import load_model_config_from_hf

    if is_local_folder(spec.name):
        path = folder / Path(spec.name.removeprefix(LOCAL_PREFIX)).expanduser()
        config, architecture = _read_config(spec, path / "config.json")
        name = f"local-dir:{path}"
    elif hub_repository(spec.name):
        try:
            config, architecture, _ = load_model_config_from_hf(hub_repository(spec.name))
        except OSError as error:
            raise _cannot_download(spec, error) from error
        name = f"hf-hub:{hub_repository(spec.name)}"
    else:
        name = spec.name.removeprefix(TIMM_PREFIX)
        if name not in timm_names():
            close = (f"{TIMM_PREFIX}{other}" for other in nearest(name, timm_names()))
            raise InputError(f"extract.backbone: found '{spec.name}', which timm lacks; the nearest are {', '.join(close)}.")
        return name, timm.get_pretrained_cfg(name, allow_unregistered=False).to_dict()
    known = timm.get_pretrained_cfg(architecture) if timm.is_model(architecture) else None
    return name, {"fixed_input_size": bool(known and known.fixed_input_size), "input_size": (3, 224, 224), **config}


def _read_config(spec: BackboneSpec, path: Path) -> tuple[Mapping[str, Any], str]:
    """Return the configuration of the weights and the architecture that a file config.json in timm's format names."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content.get("pretrained_cfg", content), content["architecture"]
    except FileNotFoundError as error:
        raise InputError(
            f"extract.backbone: {spec.name}: there is no {path}; expected is a folder in the format of timm on the Hugging "
            "Face hub, with config.json and model.safetensors; a relative one is relative to the repository."
        ) from error
    except (ValueError, LookupError, AttributeError) as error:
        raise InputError(
            f"extract.backbone: {path} is not in the format of timm ({error!r}); expected are architecture, and pretrained_cfg "
            "with input_size, mean and std."
        ) from error


def _create(spec: BackboneSpec, timm_name: str, **options: Any) -> nn.Module:
    import timm

    try:
        module: nn.Module = timm.create_model(timm_name, **options)
    except OSError as error:
        raise _cannot_download(spec, error) from error
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        size = f" and images of {spec.image_size} px" if spec.image_size else ""
        raise InputError(
            f"extract.backbone: timm cannot make {spec.name} with weights {spec.weights}{size}: {error}."
        ) from error
    return module


def _timm_transform(module: nn.Module) -> Transform:
    from timm.data import resolve_model_data_config

    config = resolve_model_data_config(module)
    channels, _, size = config["input_size"]
    return Transform(size, tuple(config["mean"]), tuple(config["std"]), config["interpolation"], channels=channels)


def _cannot_download(spec: BackboneSpec, error: OSError) -> InputError:
    import timm

    repository = hub_repository(spec.name)
    if repository:
        advice = (
            f"Get config.json and model.safetensors from https://huggingface.co/{repository} by other means into a folder, and "
            "use `-S extract.backbone=timm:local-dir:<folder> -S extract.weights=DEFAULT -S extract.weights_sha256=<sha256 of "
            "model.safetensors>`."
        )
    else:
        config = timm.get_pretrained_cfg(spec.name.removeprefix(TIMM_PREFIX))
        address = f"https://huggingface.co/{config.hf_hub_id} (model.safetensors)" if config.hf_hub_id else config.url
        advice = other_means(address, Transform(config.input_size[-1], config.mean, config.std, config.interpolation))
    return InputError(f"{spec.name} cannot be downloaded ({error}). {advice}")
