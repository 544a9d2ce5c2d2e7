"""Networks in timm's format: of a local folder, with arguments of their own, and for the size that is asked for."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from galaxies.backbones.backbone import load_backbone
from galaxies.backbones.spec import BackboneSpec, Transform
from galaxies.errors import InputError
from galaxies.files import file_sha256
from galaxies.heads.head import load_head
from tests.predicting import save_toy_head

CONFIG: dict[str, Any] = {
    "architecture": "vit_tiny_patch16_224",
    "num_classes": 0,
    "model_args": {"depth": 2, "img_size": 64},
    "pretrained_cfg": {
        "input_size": [3, 64, 64],
        "fixed_input_size": True,
        "interpolation": "bilinear",
        "mean": [0.1, 0.2, 0.3],
        "std": [0.4, 0.5, 0.6],
        "num_classes": 0,
        "first_conv": "patch_embed.proj",
        "classifier": "head",
    },
}
"""As in a repository on the hub: a ViT of two blocks for images of 64 px."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder `encoder` with config.json and model.safetensors."""
    path = tmp_path / "encoder"
    path.mkdir()
    (path / "config.json").write_text(json.dumps(CONFIG))
    with torch.random.fork_rng():
        torch.manual_seed(3)
        save_file(timm.create_model("vit_tiny_patch16_224", depth=2, img_size=64, num_classes=0).state_dict(), weights(path))
    return tmp_path


def weights(path: Path) -> Path:
    return path / "model.safetensors"


def spec(folder: Path, **options: Any) -> BackboneSpec:
    values = {"weights": "DEFAULT", "weights_sha256": "any", **options}
    return BackboneSpec("timm:local-dir:encoder", **values)


def test_a_head_with_an_ending_of_a_local_folder_loads_from_anywhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path begins at the repository, also in DVC's temporary copy of it, which lacks the folder."""
    monkeypatch.chdir(folder)
    chosen: dict[str, Any] = {
        "backbone": "timm:local-dir:encoder",
        "weights": "DEFAULT",
        "weights_sha256": "any",
        "dtype": "float32",
    }
    save_toy_head(folder, layer="blocks.0", keep=True, num_features=192, image_size=64, **chosen)
    copy = folder / "copy"
    shutil.copytree(folder / "models", copy / "models")
    monkeypatch.chdir(copy)
    expected = load_head(folder / "models" / "head.pt").ending
    found = load_head(Path("models/head.pt"), folder=folder).ending
    assert expected is not None
    assert found is not None
    tokens = torch.rand(2, 17, 192)
    torch.testing.assert_close(found(tokens), expected(tokens))
    with pytest.raises(InputError, match=r"copy/encoder"):
        load_head(Path("models/head.pt"))


def test_a_local_folder_gives_network_weights_and_transform(folder: Path) -> None:
    sha256 = file_sha256(weights(folder / "encoder"))
    backbone = load_backbone(spec(folder, weights_sha256=sha256), layers=["norm"], folder=folder)
    assert backbone.transform == Transform(64, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bilinear")
    state = timm.create_model("vit_tiny_patch16_224", depth=2, img_size=64, num_classes=0)
    assert set(backbone.module.state_dict()) == set(state.state_dict())
    random = load_backbone(spec(folder, weights="random", weights_sha256=None), layers=["norm"], folder=folder)
    assert random.weights_digest != backbone.weights_digest
    by_path = load_backbone(spec(folder, weights="encoder/model.safetensors"), layers=["norm"], folder=folder)
    assert by_path.weights_digest == backbone.weights_digest


def test_the_weights_of_a_local_folder_are_known_by_their_digest(folder: Path) -> None:
    with pytest.raises(InputError, match=rf"extract\.weights_sha256={file_sha256(weights(folder / 'encoder'))}"):
        load_backbone(spec(folder, weights_sha256=None), layers=["norm"], folder=folder)


def test_a_vit_is_built_for_the_size_asked_for_and_resampled_only_when_asked_for(folder: Path) -> None:
    with pytest.raises(InputError, match=r"another size \(pos_embed: found \(1, 17, 192\), expected \(1, 10, 192\)\)"):
        load_backbone(spec(folder, image_size=48), layers=["norm"], folder=folder)
    backbone = load_backbone(spec(folder, image_size=48, adapt_weights=True), layers=["norm"], folder=folder)
    assert backbone.transform.image_size == 48
    with torch.inference_mode():
        assert backbone.module(torch.rand(1, 3, 48, 48)).shape == (1, 192)


def test_published_weights_are_resampled_only_when_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub cannot be reached here: timm is given a state dict that it would have downloaded."""
    state = timm.create_model("vit_tiny_patch16_224").state_dict()
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", lambda *_, **__: dict(state))
    asked = {"weights": "DEFAULT", "image_size": 48}
    with pytest.raises(
        InputError, match=r"is for images of 224 px, and extract\.image_size is 48.*extract\.adapt_weights=true"
    ):
        load_backbone(BackboneSpec("timm:vit_tiny_patch16_224", **asked), layers=["norm"])  # type: ignore[arg-type]
    adapted = BackboneSpec("timm:vit_tiny_patch16_224", **asked, adapt_weights=True)  # type: ignore[arg-type]
    assert load_backbone(adapted, layers=["norm"]).module.state_dict()["pos_embed"].shape == (1, 10, 192)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda path: (path / "config.json").unlink(),
            r"there is no .*encoder/config\.json; expected is a folder in the format",
        ),
        (
            lambda path: (path / "config.json").write_text("no json"),
            r"config\.json is not in the format of timm .*architecture",
        ),
        (lambda path: (path / "config.json").write_text("{}"), r"config\.json is not in the format of timm .*architecture"),
        (
            lambda path: (path / "config.json").write_text(json.dumps({**CONFIG, "architecture": "vit_nobody"})),
            r"timm cannot make timm:local-dir:encoder .*Unknown model \(vit_nobody\)",
        ),
        (
            lambda path: (path / "config.json").write_text(json.dumps({**CONFIG, "model_args": {"colour": 1}})),
            r"timm cannot make timm:local-dir:encoder .*colour",
        ),
        (lambda path: weights(path).unlink(), r"holds no file of weights, expected is model\.safetensors"),
        (
            lambda path: [weights(path).rename(path / "a.ckpt"), (path / "b.pth").write_bytes(b"")],
            r"holds several files of weights: a\.ckpt, b\.pth, expected is model\.safetensors; use `-S extract\.weights=",
        ),
    ],
    ids=["no config", "no JSON", "no architecture", "unknown", "unknown argument", "no weights", "two"],
)
def test_a_folder_that_cannot_be_used_says_why(folder: Path, change: Any, message: str) -> None:
    change(folder / "encoder")
    with pytest.raises(InputError, match=message):
        load_backbone(spec(folder), layers=["norm"], folder=folder)
