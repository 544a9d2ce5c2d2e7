"""Presets cannot be wrong: their pixels are those of their authors' own programs, and each is built and cut as it says."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import timm
import timm.data
import torch
import torchvision.transforms.v2 as transforms
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights

from galaxies.backbones.backbone import cut, load_backbone
from galaxies.backbones.forward import ForwardPass, make_forward
from galaxies.backbones.graph import Graph
from galaxies.backbones.presets import OWN, PRESETS, find_preset, known_transform
from galaxies.backbones.spec import BackboneSpec, Transform, layer_nodes
from galaxies.backbones.transform import resize
from galaxies.errors import InputError
from galaxies.features.selfcheck import check_forward
from galaxies.simulation.survey import draw_galaxy

ZOOBOT_NANO = "timm:hf_hub:mwalmsley/zoobot-encoder-convnext_nano"
Pixels = Callable[[Image.Image], Tensor]
"""From a picture to (c, s, s) on the scale 0 to 1, before mean and standard deviation."""


def zoobot(image: Image.Image, *, greyscale: bool = False) -> Tensor:
    """Do what get_galaxy_transform does with minimal_view_config, step by step on a picture."""
    steps = [
        *([transforms.Grayscale(num_output_channels=1)] if greyscale else []),
        transforms.RandomAffine(degrees=0, scale=(1.2, 1.2), interpolation=transforms.InterpolationMode.BILINEAR),
        transforms.Resize(224, interpolation=transforms.InterpolationMode.BILINEAR, antialias=True),
        transforms.CenterCrop(224),
        transforms.PILToTensor(),
        transforms.ToDtype(torch.float32, scale=True),
    ]
    pixels: Tensor = transforms.Compose(steps)(image)
    return pixels


def resized(size: int, interpolation: transforms.InterpolationMode) -> Pixels:
    """Do what a program does that resizes the whole picture."""
    steps = [transforms.Resize((size, size), interpolation=interpolation), transforms.PILToTensor()]
    return transforms.Compose([*steps, transforms.ToDtype(torch.float32, scale=True)])  # type: ignore[no-any-return]


BICUBIC, BILINEAR = transforms.InterpolationMode.BICUBIC, transforms.InterpolationMode.BILINEAR
SOURCES: dict[str, Pixels] = {
    **{name: zoobot for name in PRESETS if name.startswith("zoobot-")},
    "zoobot-greyscale-nano": lambda image: zoobot(image, greyscale=True),
    OWN: resized(96, BILINEAR),
    "dinov2-vit-small": resized(224, BICUBIC),
    "dinov2-vit-base": resized(224, BICUBIC),
    "dinov3-vit-small": resized(256, BILINEAR),
    "dinov3-convnext-tiny": resized(256, BILINEAR),
    "siglip2-vit-base": resized(224, BICUBIC),
    "clip-vit-base": resized(224, BICUBIC),
    "imagenet-resnet50": resized(224, BILINEAR),
    "imagenet-convnext-nano": resized(224, BICUBIC),
}


def galaxy(size: int) -> Image.Image:
    """Return a simulated barred spiral with noise."""
    return Image.fromarray(draw_galaxy(5, size, np.random.default_rng(0))[0])


def as_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]


@pytest.mark.parametrize("size", [256, 424])
@pytest.mark.parametrize("name", PRESETS)
def test_pixels_are_those_of_the_source(name: str, size: int) -> None:
    image, transform = galaxy(size), PRESETS[name].transform
    found = resize(as_tensor(image), transform)[0] / 255
    # Programs round to whole grey levels in their own ways.
    torch.testing.assert_close(found, SOURCES[name](image), atol=1.01 / 255, rtol=0)


def test_a_zoom_shows_the_middle_of_the_field() -> None:
    image = torch.zeros(1, 3, 120, 120, dtype=torch.uint8)
    image[..., 10:110, 10:110] = 200
    transform = Transform(120, (0.0,) * 3, (1.0,) * 3, "bilinear", zoom=1.2)
    assert int(resize(image, transform)[..., 1:-1, 1:-1].min()) == 200
    assert int(resize(image, replace(transform, zoom=1.0)).min()) == 0


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.source == "timm's default_cfgs"])
def test_mean_and_deviation_are_timms(name: str) -> None:
    preset = PRESETS[name]
    config = timm.get_pretrained_cfg(str(preset.hub).removeprefix("timm/"))
    found = (config.mean, config.std, config.interpolation, config.input_size[-1])
    transform = preset.transform
    assert found == (transform.mean, transform.std, transform.interpolation, transform.image_size)


def test_the_weights_of_torchvision_want_what_the_preset_says() -> None:
    preset = PRESETS["imagenet-resnet50"]
    own = ResNet50_Weights[preset.weights].transforms()
    found = (own.crop_size[0], tuple(own.mean), tuple(own.std), own.interpolation.value)
    transform = preset.transform
    assert found == (transform.image_size, transform.mean, transform.std, transform.interpolation)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_everything(name: str) -> None:
    preset = PRESETS[name]
    assert all((preset.layer, preset.pool, preset.source, preset.license, preset.citation))
    assert len(preset.transform.mean) == len(preset.transform.std) == preset.transform.channels
    assert preset.revision or not preset.hub or "commit" in preset.unverified
    assert find_preset(name) is preset


def on_meta(name: str) -> nn.Module:
    """Build a network without memory for its tensors."""
    preset = PRESETS[name]
    with torch.device("meta"):
        return load_module(preset.model.removeprefix("timm:"), preset.transform)


def load_module(architecture: str, transform: Transform) -> nn.Module:
    fixed = {"img_size": transform.image_size} if timm.get_pretrained_cfg(architecture).fixed_input_size else {}
    module: nn.Module = timm.create_model(architecture, num_classes=0, in_chans=transform.channels, **fixed)
    return module.eval()


# The largest take minutes to fill with random numbers; what they are made of is in the smaller ones too.
SMALL = [OWN, "zoobot-convnext-pico", "zoobot-resnet18", "zoobot-greyscale-nano", "dinov2-vit-small"]


@pytest.mark.parametrize(
    "name", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in PRESETS if name not in SMALL)]
)
def test_a_preset_is_built_cut_and_checked_offline(name: str) -> None:
    preset = PRESETS[name]
    backbone = load_backbone(BackboneSpec(name), layers=[preset.layer])
    assert backbone.transform == preset.transform
    forward = make_forward(backbone, ForwardPass((preset.layer,), preset.pool), device=torch.device("cpu"))
    images = torch.from_numpy(np.stack([np.array(galaxy(64)), np.array(galaxy(64).transpose(Image.Transpose.ROTATE_90))]))
    features = check_forward(forward, backbone.module, images, precision="float32")[preset.layer]
    assert features.shape[:2] == (2, 1)
    assert not torch.equal(features[0], features[1])


@pytest.mark.parametrize("name", ["zoobot-convnext-pico", "zoobot-resnet18"])
def test_the_features_of_zoobot_are_what_its_encoder_gives(name: str) -> None:
    backbone = load_backbone(BackboneSpec(name), layers=[])
    layer, pixels = PRESETS[name].layer, torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        expected = backbone.module(pixels)
        activation = cut(backbone.module, [layer])(pixels)[layer]
    torch.testing.assert_close(activation.flatten(2).mean(-1) if activation.ndim == 4 else activation, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.model.startswith("timm:")])
def test_the_layer_of_every_preset_can_be_a_cut(name: str) -> None:
    cuts = Graph(on_meta(name)).cuts()
    assert set(layer_nodes([PRESETS[name].layer])) <= set(cuts)


def test_a_known_repository_takes_the_transform_of_its_preset_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    backbone = load_backbone(BackboneSpec(ZOOBOT_NANO), layers=[])
    assert backbone.transform == PRESETS["zoobot-convnext-nano"].transform
    assert "its images are made as its authors' own program makes them" in caplog.text
    assert known_transform(BackboneSpec("timm:hf-hub:mwalmsley/zoobot-encoder-resnet50@abc")) == backbone.transform
    other = known_transform(BackboneSpec("timm:hf_hub:mwalmsley/zoobot-encoder-greyscale-resnet101"))
    assert other == PRESETS["zoobot-greyscale-nano"].transform
    assert known_transform(BackboneSpec("timm:hf_hub:somebody/else")) is None


def test_parameters_go_before_the_presets_own() -> None:
    spec = BackboneSpec("zoobot-resnet18", zoom=1.0, interpolation="bicubic", image_size=128, mean=(0.5,) * 3)
    transform = load_backbone(spec, layers=[]).transform
    assert transform == Transform(128, (0.5,) * 3, (1.0,) * 3, "bicubic")
    with pytest.raises(
        InputError, match=r"extract\.mean: found \[0\.5, 0\.5, 0\.5\].* takes images of 1 channels; allowed is one"
    ):
        known_transform(BackboneSpec("zoobot-greyscale-nano", mean=(0.5,) * 3))


def test_weights_that_a_preset_does_not_have_are_answered_with_all_it_needs() -> None:
    with pytest.raises(
        InputError,
        match=r"found 'galaxies-v1'; of zoobot-convnext-nano .*-S extract\.weights=DEFAULT "
        r"-S 'extract\.layers=\[head\.flatten\]' -S extract\.pool=avg -S train\.layer=head\.flatten",
    ):
        load_backbone(BackboneSpec("zoobot-convnext-nano", weights="galaxies-v1"), layers=[])


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder the cache of the Hugging Face hub, which cannot be reached."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def cache(hub: Path, preset_name: str, state: dict[str, Tensor]) -> None:
    """Put weights where a download of the preset's would have put them."""
    preset = PRESETS[preset_name]
    folder = hub / f"models--{str(preset.hub).replace('/', '--')}" / "snapshots" / str(preset.revision)
    folder.mkdir(parents=True)
    save_file(state, folder / "model.safetensors")


def test_weights_of_a_preset_come_from_its_repository_at_its_commit(hub: Path) -> None:
    state = load_module("convnext_pico", PRESETS["zoobot-convnext-pico"].transform).state_dict()
    cache(hub, "zoobot-convnext-pico", state)
    spec = BackboneSpec("zoobot-convnext-pico", weights="DEFAULT")
    loaded = load_backbone(spec, layers=["head.flatten"]).module.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_a_vit_is_resampled_for_the_size_of_its_preset_and_for_another_only_when_asked_for(hub: Path) -> None:
    # The small one has a commit that could be verified; its own weights are for 518 px.
    state = timm.create_model("vit_small_patch14_reg4_dinov2", num_classes=0).state_dict()
    cache(hub, "dinov2-vit-small", state)
    spec = BackboneSpec("dinov2-vit-small", weights="DEFAULT")
    assert load_backbone(spec, layers=["norm"]).module.state_dict()["pos_embed"].shape == (1, 256, 384)
    with pytest.raises(InputError, match=r"another size \(pos_embed: found \(1, 1369, 384\), expected \(1, 64, 384\)\).*adapt"):
        load_backbone(replace(spec, image_size=112), layers=["norm"])
    load_backbone(replace(spec, image_size=112, adapt_weights=True), layers=["norm"])


def test_a_file_needs_no_normalisation_where_the_preset_knows_it(tmp_path: Path) -> None:
    save_file(timm.create_model("resnet18", num_classes=0).state_dict(), tmp_path / "w.safetensors")
    spec = BackboneSpec("zoobot-resnet18", weights=str(tmp_path / "w.safetensors"), weights_sha256="any")
    assert load_backbone(spec, layers=["layer4"]).transform == PRESETS["zoobot-resnet18"].transform
