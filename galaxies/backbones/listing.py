"""The presets as a person chooses among them: how large each is, how fast here, under which licence, and what it stands for."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import nn

from galaxies.backbones.architectures import build
from galaxies.backbones.presets import OWN, PRESETS, Preset, find_preset
from galaxies.backbones.spec import BackboneSpec
from galaxies.errors import InputError
from galaxies.files import format_bytes

_NUM_TIMED = 4  # images in a timed forward pass
_COLUMNS = "{:<24} {:>9} {:>6} {:>10}  {:<16} {}"


def format_presets(names: Sequence[str] = ()) -> Iterator[str]:
    """Yield the lines of a table of presets, each when it has been measured; of all of them where none is named.

    The time is that of PyTorch on this machine's CPU, in float32, for the whole network and images of the preset's size. A
    network is timed with tensors of one number, so that it need not be downloaded or filled with random ones.

    Raises InputError for a name that is no preset's.
    """
    chosen = {name: _require_preset(name) for name in names or PRESETS}
    yield _COLUMNS.format("extract.backbone", "weights", "px", "ms/image", "licence", "weights here")
    for name, preset in chosen.items():
        with torch.device("meta"):
            module, transform = build(BackboneSpec(name))
        num_bytes = 4 * sum(parameter.numel() for parameter in module.parameters())
        milliseconds = _time_forward(module, transform.channels, transform.image_size)
        where = "yes" if has_weights(preset) else "no"
        size = str(transform.image_size)
        yield _COLUMNS.format(name, format_bytes(num_bytes), size, f"{milliseconds:.0f}", preset.license, where)


def describe_preset(name: str) -> Iterator[str]:
    """Yield what a preset stands for, and the options that use it. Raises InputError for a name that is no preset's."""
    preset = _require_preset(name)
    transform = preset.transform
    field = "the whole cutout" if transform.zoom == 1 else f"the cutout's inner 1 / {transform.zoom:g}"
    grey = ", turned grey" if transform.channels == 1 else ""
    rows = {
        "network": preset.model,
        "weights": f"{preset.hub} at {preset.revision or 'its newest commit'}" if preset.hub else preset.weights,
        "images": f"{field}{grey}, {transform.image_size} px, {transform.interpolation}",
        "mean, std": f"{list(transform.mean)}, {list(transform.std)} on the scale 0 to 1",
        "source": preset.source,
        "licence": preset.license,
        "citation": preset.citation,
        "not verified": preset.unverified,
    }
    yield name
    yield from (f"  {what:<13} {value}" for what, value in rows.items() if value)
    weights = preset.weights if name == OWN else "DEFAULT"
    yield (
        f"  dvc exp run -S extract.backbone={name} -S extract.weights={weights} -S 'extract.layers=[{preset.layer}]' "
        f"-S extract.pool={preset.pool} -S train.layer={preset.layer}"
    )


def has_weights(preset: Preset) -> bool:
    """Tell whether a preset's weights lie on this machine already."""
    if preset.model == OWN:
        return True
    if preset.hub is None:
        from torchvision.models import get_model_weights

        url = get_model_weights(preset.model)[preset.weights].url
        return Path(torch.hub.get_dir(), "checkpoints", Path(url).name).is_file()
    from huggingface_hub import try_to_load_from_cache

    names = ("model.safetensors", "pytorch_model.bin")
    return any(isinstance(try_to_load_from_cache(preset.hub, name, revision=preset.revision), str) for name in names)


def _require_preset(name: str) -> Preset:
    preset = find_preset(name)
    if preset is None:
        raise InputError(f"found {name!r}, which is no preset; those are {', '.join(PRESETS)}.")
    return preset


@torch.inference_mode()
def _time_forward(module: nn.Module, channels: int, image_size: int) -> float:
    """Return milliseconds for one image, the better of two passes."""
    module = module.to_empty(device="cpu").eval()
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.fill_(0.01 if tensor.is_floating_point() else 0)
    images = torch.full((_NUM_TIMED, channels, image_size, image_size), 0.5)
    torch.set_flush_denormal(True)  # Numbers that shrink from layer to layer would end in some, which are slow.
    seconds = []
    try:
        for _ in range(3):
            start = time.perf_counter()
            module(images)
            seconds.append(time.perf_counter() - start)
    finally:
        torch.set_flush_denormal(False)
    return 1000 * min(seconds[1:]) / _NUM_TIMED
