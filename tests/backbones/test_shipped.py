"""The backbone in the box: the file is the one that was trained, it loads by name, and it says when something is amiss."""

import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from galaxies.backbones.backbone import cut, load_backbone
from galaxies.backbones.shipped import SHIPPED, shipped_path
from galaxies.backbones.spec import BackboneSpec
from galaxies.backbones.transform import prepare
from galaxies.errors import InputError
from galaxies.files import file_sha256

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_file_is_small_halved_and_the_recorded_one(name: str) -> None:
    path = shipped_path(name)
    assert path.stat().st_size <= 12e6
    assert file_sha256(path) == SHIPPED[name]
    state = load_file(path)
    assert {tensor.dtype for tensor in state.values()} == {torch.float16, torch.int64}
    assert not any(tensor_name.startswith("fc.") for tensor_name in state)
    assert SHIPPED[name] in path.with_suffix(".md").read_text(encoding="utf-8")


def test_the_files_are_installed_with_the_library() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["galaxies.backbones"]
    for name in SHIPPED:
        path = shipped_path(name).relative_to(ROOT / "galaxies" / "backbones")
        assert any(fnmatch(str(path), pattern) for pattern in patterns)


def test_galaxies_v1_gives_the_activations_that_it_was_shipped_with() -> None:
    backbone = load_backbone(BackboneSpec("resnet18_half", weights="galaxies-v1"), layers=["layer4"])
    # A blob off the middle: no random numbers, whose sequence a library may change.
    axis = torch.arange(96)
    blob = 200 * torch.exp(-((axis[:, None] - 40) ** 2 + (axis[None, :] - 50) ** 2) / 300)
    image = torch.stack([blob, 0.8 * blob, 0.5 * blob]).to(torch.uint8)[None]  # (1, 3, 96, 96)
    with torch.inference_mode():
        features = cut(backbone.module, ["layer4"])(prepare(image, backbone.transform))["layer4"].mean((2, 3))
    assert features.shape == (1, 256)
    strongest = features[0, [15, 27, 76, 255]]
    torch.testing.assert_close(strongest, torch.tensor([1.5918, 3.6812, 1.5041, 1.7910]), atol=2e-3, rtol=1e-2)
    torch.testing.assert_close(features.norm(), torch.tensor(5.9825), atol=0, rtol=1e-2)


def test_a_changed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "galaxies-v1.safetensors"
    monkeypatch.setattr("galaxies.backbones.shipped.shipped_path", lambda name: path)
    with pytest.raises(InputError, match=r"should lie in .* with sha256 [0-9a-f]{64}, found no file; install"):
        load_backbone(BackboneSpec("resnet18_half", weights="galaxies-v1"), layers=["layer4"])
    path.write_bytes(shipped_path("galaxies-v1").read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=rf"found {file_sha256(path)}"):
        load_backbone(BackboneSpec("resnet18_half", weights="galaxies-v1"), layers=["layer4"])


@pytest.mark.parametrize(
    ("backbone", "weights", "message"),
    [
        ("resnet18", "galaxies-v1", r"galaxies-v1 goes with `-S extract.backbone=resnet18_half`, found resnet18"),
        ("resnet18_half", "IMAGENET", r"found 'IMAGENET'; of resnet18_half allowed are galaxies-v1, random, or the path"),
    ],
)
def test_weights_and_backbone_must_go_together(backbone: str, weights: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_backbone(BackboneSpec(backbone, weights=weights), layers=["layer4"])


def test_resnet18_half_is_resnet18_with_half_of_the_channels() -> None:
    half, whole = (
        load_backbone(BackboneSpec(name, weights="random"), layers=["layer4"]).module.state_dict()
        for name in ("resnet18_half", "resnet18")
    )
    assert half.keys() == whole.keys()
    for name in (name for name in half if "layer" in name and half[name].ndim == 4):
        assert [2 * channels for channels in half[name].shape[:2]] == list(whole[name].shape[:2])
