"""A backbone is a name: of torchvision, of timm, or of a repository on the Hugging Face hub."""

from pathlib import Path
from urllib.error import URLError

import huggingface_hub.constants
import pytest
import timm
import torch
from safetensors.torch import save_file

from galaxies.backbones.architectures import build
from galaxies.backbones.backbone import cut, load_backbone
from galaxies.backbones.spec import BackboneSpec, Transform
from galaxies.backbones.weights import classifier_name
from galaxies.errors import InputError

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = (0.5, 0.5, 0.5)


def test_the_transform_of_timm_is_the_models_own() -> None:
    assert build(BackboneSpec("timm:resnet10t.c3_in1k", weights="random", seed=0))[1] == Transform(176, *IMAGENET, "bicubic")
    assert build(BackboneSpec("timm:vit_tiny_patch16_224", weights="random", seed=0))[1] == Transform(
        224, HALF, HALF, "bicubic"
    )


def test_random_weights_of_timm_follow_the_seed_alone() -> None:
    digests = [
        load_backbone(BackboneSpec("timm:resnet10t", weights="random", seed=seed), layers=[]).weights_digest
        for seed in (1, 1, 2)
    ]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("name", "layer", "size", "shape"),
    [
        ("timm:convnext_atto", "stages.1", 32, (80, 4, 4)),
        ("timm:vit_tiny_patch16_224", "blocks.2", 48, (10, 192)),
        ("timm:vit_small_patch14_reg4_dinov2", "blocks.1", 28, (9, 384)),
    ],
)
def test_a_layer_of_timm_gives_its_activation_at_the_size_asked_for(
    name: str, layer: str, size: int, shape: tuple[int, ...]
) -> None:
    backbone = load_backbone(BackboneSpec(name, weights="random", image_size=size), layers=[layer])
    with torch.inference_mode():
        activation = cut(backbone.module, [layer])(torch.rand(2, 3, size, size))[layer]
    assert tuple(activation.shape) == (2, *shape)
    assert backbone.transform.image_size == size


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet81", r"'resnet81', which is no preset and no classification model of torchvision; the nearest are .*resnet18"),
        ("convnext_nano", "the nearest are timm:convnext_nano"),
        ("timm:convnext_nanno.in12k_ft_in1k", "which timm lacks; the nearest are .*timm:convnext_nano.in12k_ft_in1k"),
        ("timm:resnet10t.a9_in9k", "which timm lacks; the nearest are .*timm:resnet10t"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(BackboneSpec(name, weights="random", seed=0))


def test_unknown_weights_are_answered_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"'IMAGENET'.*IMAGENET1K_V1.*random"):
        build(BackboneSpec("resnet18", weights="IMAGENET", seed=0))
    with pytest.raises(InputError, match=r"'IMAGENET'; of timm:resnet10t allowed are DEFAULT"):
        build(BackboneSpec("timm:resnet10t", weights="IMAGENET", seed=0))


def test_weights_of_torchvision_that_cannot_be_downloaded_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"resnet18-f37072fd\.pth by other means.*extract\.mean=\[0\.485,0\.456,0\.406\]"):
        build(BackboneSpec("resnet18", weights="DEFAULT", seed=0))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "timm:convnext_nano.in12k_ft_in1k",
            r"huggingface\.co/timm/convnext_nano\.in12k_ft_in1k \(model\.safetensors\) by other means.*"
            r"extract\.weights=<path>.*extract\.mean=\[0\.485,0\.456,0\.406\]",
        ),
        (
            "timm:hf_hub:mwalmsley/zoobot-encoder-convnext_nano",
            r"from https://huggingface\.co/mwalmsley/zoobot-encoder-convnext_nano \(model.safetensors .*extract",
        ),
        (
            "timm:hf_hub:somebody/an-encoder",
            r"config\.json and model\.safetensors from https://huggingface\.co/somebody/an-encoder.*timm:local-dir:<folder>",
        ),
    ],
)
def test_weights_of_timm_that_cannot_be_downloaded_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, message: str
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=message):
        build(BackboneSpec(name, weights="DEFAULT", seed=0))


def test_a_safetensors_file_without_classifier_loads_into_a_timm_model(tmp_path: Path) -> None:
    """Encoders trained on galaxies are published so."""
    state = timm.create_model("convnext_atto", num_classes=0).state_dict()
    path = tmp_path / "encoder.safetensors"
    save_file(state, path)
    spec = BackboneSpec("timm:convnext_atto", weights=str(path), weights_sha256="any", mean=HALF, std=HALF)
    loaded = load_backbone(spec, layers=["stages.3"])
    own = loaded.module.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in state.items())


def test_a_linear_inside_a_block_is_not_taken_for_the_classifier() -> None:
    """Otherwise weights that differ there would have the same digest."""
    assert classifier_name(timm.create_model("convnext_atto", num_classes=0, conv_mlp=False)) is None
    assert classifier_name(timm.create_model("convnext_atto")) == "head.fc"
    assert classifier_name(build(BackboneSpec("resnet18", weights="random", seed=0))[0]) == "fc"
