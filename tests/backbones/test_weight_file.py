"""Checkpoints as training programs leave them load into the network that is meant, or are refused with what to do."""

import argparse
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import get_model

from galaxies.backbones.backbone import load_backbone
from galaxies.backbones.spec import BackboneSpec
from galaxies.errors import InputError
from galaxies.files import file_sha256

HALF = (0.5, 0.5, 0.5)
State = Mapping[str, Tensor]


@pytest.fixture(scope="module")
def resnet() -> State:
    state: State = get_model("resnet18", weights=None).state_dict()
    return state


def load(path: Path, name: str = "resnet18", layer: str = "layer4", **options: Any) -> State:
    """Return the tensors of a network with the weights of a file."""
    spec = BackboneSpec(name, weights=str(path), weights_sha256="any", mean=HALF, std=HALF, **options)
    return load_backbone(spec, layers=[layer]).module.state_dict()


def prefixed(prefix: str, state: State) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def other(state: State) -> dict[str, Tensor]:
    """Return another network of the same names."""
    return {name: tensor + 1 for name, tensor in state.items()}


def require_same(loaded: State, state: State, *, but: str = "fc.") -> None:
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items() if not name.startswith(but))


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "encoder.", "teacher.backbone.", "image_encoder.", "a.b.c.d.e."])
def test_a_prefix_is_taken_off_and_said(tmp_path: Path, resnet: State, prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    save_file({**prefixed(prefix, resnet), "head.weight": torch.zeros(3)}, tmp_path / "w.safetensors")
    require_same(load(tmp_path / "w.safetensors"), resnet)
    assert f"the prefix {prefix} is taken off its names; left out: head.weight (1 tensors)" in caplog.text


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}}, "epoch": 3},
        lambda state: {"model": state, "epoch": torch.tensor(3)},
        lambda state: {"model_state_dict": state, "scheduler": {"last_lr": [0.1]}},
        lambda state: {"teacher": prefixed("module.backbone.", state), "student": prefixed("module.backbone.", other(state))},
        lambda state: {"state_dict": other(state), "state_dict_ema": state},
        lambda state: {"state_dict": {"model": state}},
        lambda state: {"network": state, "epoch": 3},
        lambda state: {**state, "version": "1.0", "_extra_state": None},
        lambda state: {"model": other(state), "model_ema": {"n_averaged": torch.tensor(1), **prefixed("module.", state)}},
        lambda state: {"state_dict": prefixed("module.encoder_q.", state) | prefixed("module.encoder_k.", other(state))},
        lambda state: prefixed("student.backbone.", other(state)) | prefixed("teacher.backbone.", state),
    ],
    ids=[
        *("state_dict", "model", "model_state_dict", "dino", "timm_ema", "nested"),
        *("unknown_name", "mixed", "torchvision_ema", "moco", "dinov2"),
    ],
)
def test_a_wrapper_is_taken_off(tmp_path: Path, resnet: State, wrap: Callable[[State], object]) -> None:
    torch.save(wrap(resnet), tmp_path / "w.pth")
    require_same(load(tmp_path / "w.pth"), resnet)


def test_which_of_several_state_dicts_is_taken_is_said(tmp_path: Path, resnet: State, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    torch.save({"state_dict": other(resnet), "state_dict_ema": resnet}, tmp_path / "w.pth")
    load(tmp_path / "w.pth")
    assert "holds state_dict_ema, state_dict; state_dict_ema is taken" in caplog.text
    assert "the weights are those in [state_dict_ema]" in caplog.text


@pytest.mark.parametrize(
    ("wrap", "message"),
    [
        (
            lambda state: prefixed("left.", state) | prefixed("right.", state),
            r"several networks .* under left\., right\.; save",
        ),
        (lambda state: {"left": state, "right": state}, r"several state dicts \(left, right\); save"),
        (lambda state: {"epoch": 3}, "does not hold a state dict"),
        (lambda state: [state], "does not hold a state dict .* but list"),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path: Path, resnet: State, wrap: Callable[[State], object], message: str) -> None:
    torch.save(wrap(resnet), tmp_path / "w.pth")
    with pytest.raises(InputError, match=message):
        load(tmp_path / "w.pth")


class Recorder:
    """An object of another program; that it was made is seen."""

    num_made = 0

    def __init__(self) -> None:
        self.history = [1.0]

    def __setstate__(self, state: object) -> None:
        Recorder.num_made += 1


def test_a_lightning_checkpoint_loads_and_runs_nothing_of_what_else_it_holds(
    tmp_path: Path, resnet: State, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    content = {
        "state_dict": prefixed("encoder.", resnet) | {"head.1.weight": torch.zeros(2, 2)},
        "hyper_parameters": argparse.Namespace(learning_rate=0.1, folder=Path("a")),
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5), "recorder": Recorder()}},
        "loops": {Recorder(): 1},
        "epoch": 3,
    }
    torch.save(content, tmp_path / "w.ckpt")
    require_same(load(tmp_path / "w.ckpt"), resnet)
    assert re.search(r"also holds objects of .*Recorder.*, which are not read", caplog.text)
    assert Recorder.num_made == 0


def test_a_lightning_checkpoint_that_runs_code_is_refused_by_naming_it(tmp_path: Path, resnet: State) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            import os

            return os.system, (f"touch {tmp_path}/ran",)

    torch.save({"state_dict": resnet, "hyper_parameters": Bomb()}, tmp_path / "w.ckpt")
    with pytest.raises(InputError, match=r"w\.ckpt is not a file of plain tensors \(.*posix\.system"):
        load(tmp_path / "w.ckpt")
    assert not (tmp_path / "ran").exists()


def test_a_pickled_model_is_refused_by_its_name(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"it is a pickled Linear.*torch\.save"):
        load(tmp_path / "w.pth")


VIT = "timm:vit_small_patch14_reg4_dinov2"


@pytest.fixture(scope="module")
def vit() -> State:
    state: State = timm.create_model(VIT.removeprefix("timm:"), img_size=28).state_dict()
    return state


def as_dinov2(state: State, *, num_chunks: int) -> dict[str, Tensor]:
    """Return a timm state dict as DINOv2's own program names it: class token in the embedding, blocks in chunks."""
    renamed: dict[str, Tensor] = {"mask_token": torch.zeros(1, 384)}
    for name, tensor in state.items():
        parts = name.replace("reg_token", "register_tokens").split(".")
        if parts[0] == "blocks":
            parts.insert(1, str(int(parts[1]) * num_chunks // 12))
        renamed[".".join(parts)] = tensor
    renamed["pos_embed"] = torch.cat([torch.zeros(1, 1, 384), state["pos_embed"]], dim=1)
    return renamed


def test_the_chunked_blocks_of_dinov2_are_numbered_through(
    tmp_path: Path, vit: State, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    torch.save({"teacher": prefixed("backbone.", as_dinov2(vit, num_chunks=4))}, tmp_path / "w.pth")
    require_same(load(tmp_path / "w.pth", VIT, "blocks.11", image_size=28), vit)
    assert "blocks stand in chunks" in caplog.text


def test_weights_for_images_of_another_size_are_resampled_only_when_asked_for(tmp_path: Path, vit: State) -> None:
    torch.save(vit, tmp_path / "w.pth")
    with pytest.raises(
        InputError, match=r"another size \(pos_embed: found \(1, 4, 384\), expected \(1, 9, 384\)\).*extract.adapt_weights=true"
    ):
        load(tmp_path / "w.pth", VIT, "blocks.11", image_size=42)
    loaded = load(tmp_path / "w.pth", VIT, "blocks.11", image_size=42, adapt_weights=True)
    assert loaded["pos_embed"].shape == (1, 9, 384)
    require_same(loaded, vit, but="pos_embed")


def test_weights_for_patches_of_another_size_are_resampled_only_when_asked_for(tmp_path: Path) -> None:
    state = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=0, depth=12).state_dict()
    state["patch_embed.proj.weight"] = torch.rand(192, 3, 8, 8)
    torch.save(state, tmp_path / "w.pth")
    name = "timm:vit_tiny_patch16_224"
    with pytest.raises(
        InputError, match=r"patches of another size \(patch_embed.proj.weight: found \(192, 3, 8, 8\), expected"
    ):
        load(tmp_path / "w.pth", name, "blocks.11", image_size=32)
    loaded = load(tmp_path / "w.pth", name, "blocks.11", image_size=32, adapt_weights=True)
    assert loaded["patch_embed.proj.weight"].shape == (192, 3, 16, 16)


def test_weights_for_another_number_of_channels_are_changed_only_when_asked_for(tmp_path: Path, resnet: State) -> None:
    grey = {**resnet, "conv1.weight": resnet["conv1.weight"].sum(dim=1, keepdim=True)}
    torch.save(grey, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"images of 1 channels, and these have 3 \(conv1.weight: found \(64, 1, 7, 7\)"):
        load(tmp_path / "w.pth")
    loaded = load(tmp_path / "w.pth", adapt_weights=True)
    torch.testing.assert_close(loaded["conv1.weight"].sum(dim=1, keepdim=True), grey["conv1.weight"])
    require_same({**loaded, "conv1.weight": grey["conv1.weight"]}, grey)


def test_the_names_of_a_networks_authors_are_known_under_a_prefix(tmp_path: Path) -> None:
    """ConvNeXt's own program calls the stem downsample_layers.0."""
    own: State = timm.create_model("convnext_atto", num_classes=0).state_dict()
    theirs = {}
    for name, tensor in own.items():
        changes = {"stem.": "downsample_layers.0.", "blocks.": "", "conv_dw": "dwconv", "mlp.fc": "pwconv", "head.norm": "norm"}
        for new, old in changes.items():
            name = name.replace(new, old)
        if ".downsample." in name:
            name = name.replace("stages.", "downsample_layers.").replace(".downsample", "")
        theirs[f"module.{name}"] = tensor
    torch.save(theirs, tmp_path / "w.pth")
    loaded = load(tmp_path / "w.pth", "timm:convnext_atto", "stages.3")
    assert all(torch.equal(loaded[name].flatten(), tensor.flatten()) for name, tensor in own.items())


@pytest.mark.parametrize("prefix", ["module.", "encoder."])
def test_real_weights_load_under_a_prefix_and_are_known_by_the_same_digest(
    tmp_path: Path, test_data: Path, prefix: str
) -> None:
    path = test_data / "weights" / "mobilenet_v2_imagenet.pth"
    torch.save({"state_dict": prefixed(prefix, torch.load(path, weights_only=True)), "epoch": 3}, tmp_path / "w.ckpt")
    options: dict[str, Any] = {"mean": HALF, "std": HALF}
    first, second = (
        load_backbone(BackboneSpec("mobilenet_v2", str(one), file_sha256(one), **options), layers=["features.18"])
        for one in (path, tmp_path / "w.ckpt")
    )
    assert first.weights_digest == second.weights_digest
