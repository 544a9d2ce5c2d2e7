"""The backbone is frozen, cut where it was asked to be, and sees images as its weights want them."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from galaxies.backbones.backbone import cut, load_backbone
from galaxies.backbones.spec import BackboneSpec
from galaxies.backbones.weights import tensors_sha256
from galaxies.errors import InputError
from galaxies.files import file_sha256

HALF = (0.5, 0.5, 0.5)


def test_everything_is_frozen_and_in_evaluation_mode() -> None:
    module = load_backbone(BackboneSpec("resnet18", weights="random"), layers=["layer4"]).module
    assert not any(part.training for part in module.modules())
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_random_weights_follow_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = load_backbone(BackboneSpec("resnet18", weights="random", seed=3), layers=[])
    torch.manual_seed(2)
    assert load_backbone(BackboneSpec("resnet18", weights="random", seed=3), layers=[]).weights_digest == first.weights_digest
    assert load_backbone(BackboneSpec("resnet18", weights="random", seed=4), layers=[]).weights_digest != first.weights_digest


def test_loading_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    load_backbone(BackboneSpec("resnet18", weights="random", seed=3), layers=[])
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("name", "layer", "shape"),
    [
        ("resnet18", "layer3", (256, 4, 4)),
        ("vgg11", "features.10", (256, 8, 8)),
        ("mobilenet_v3_small", "features.12", (576, 2, 2)),
        ("convnext_tiny", "features.3", (192, 8, 8)),
        ("swin_t", "features.1", (16, 16, 96)),
    ],
)
def test_a_layer_gives_the_activation_of_its_module(name: str, layer: str, shape: tuple[int, ...]) -> None:
    module = load_backbone(BackboneSpec(name, weights="random"), layers=[layer]).module
    seen: list[torch.Tensor] = []
    handle = module.get_submodule(layer).register_forward_hook(lambda *arguments: seen.append(arguments[-1]))
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        module(images)
        handle.remove()
        activation = cut(module, [layer])(images)[layer]
    assert tuple(activation.shape[1:]) == shape
    torch.testing.assert_close(activation, seen[0])


def test_a_layer_before_an_in_place_relu_is_not_overwritten() -> None:
    module = load_backbone(BackboneSpec("resnet18", weights="random"), layers=[]).module
    with torch.inference_mode():
        both = cut(module, ["bn1", "layer1"])(torch.rand(1, 3, 64, 64))
    assert float(both["bn1"].min()) < 0


def test_the_pass_stops_at_the_deepest_layer() -> None:
    module = load_backbone(BackboneSpec("resnet18", weights="random"), layers=[]).module
    assert not any(name.startswith(("layer3", "layer4", "fc")) for name in cut(module, ["layer1", "layer2"]).state_dict())


def test_a_galaxy_gives_the_same_activation_alone_in_a_batch_and_in_another_order() -> None:
    """The older project left BatchNorm in train mode over rows sorted by class: the class signal was normalised away."""
    module = load_backbone(BackboneSpec("resnet18", weights="random"), layers=[]).module
    before = {name: value.clone() for name, value in module.state_dict().items()}
    images = torch.rand(6, 3, 64, 64)
    prefix = cut(module, ["layer4"])
    with torch.inference_mode():
        together = prefix(images)["layer4"]
        reversed_order = prefix(images.flip(0))["layer4"].flip(0)
        alone = torch.cat([prefix(image[None])["layer4"] for image in images])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together, reversed_order, atol=1e-5, rtol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_an_unknown_layer_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"'layer5'.*layer4"):
        cut(load_backbone(BackboneSpec("resnet18", weights="random"), layers=[]).module, ["layer5"])


def save_state(path: Path, changes: dict[str, torch.Tensor] | None = None, *, num_classes: int = 1000) -> Path:
    state = get_model("resnet18", weights=None, num_classes=num_classes).state_dict()
    torch.save({**state, **(changes or {})}, path)
    return path


def load_file(path: Path, *, sha256: str | None = "any", layers: tuple[str, ...] = ("layer4",)) -> str:
    backbone = load_backbone(
        BackboneSpec("resnet18", weights=str(path), weights_sha256=sha256, mean=HALF, std=HALF), layers=layers
    )
    return backbone.weights_digest


def test_a_classifier_of_another_size_is_no_error(tmp_path: Path) -> None:
    load_file(save_state(tmp_path / "w.pth", num_classes=1001))


def test_weights_are_known_by_their_tensors_and_not_by_their_file(tmp_path: Path) -> None:
    path = save_state(tmp_path / "w.pth")
    state = torch.load(path, weights_only=True)
    torch.save({"state_dict": state}, tmp_path / "wrapped.pth")
    assert load_file(path) == load_file(tmp_path / "wrapped.pth")
    changed = {**state, "layer1.0.conv1.weight": state["layer1.0.conv1.weight"] + 1e-6}
    assert tensors_sha256(changed) != tensors_sha256(state)


def test_missing_tensors_before_the_cut_are_listed(tmp_path: Path) -> None:
    state = get_model("resnet18", weights=None).state_dict()
    del state["layer4.1.conv2.weight"]
    torch.save(state, tmp_path / "w.pth")
    load_file(tmp_path / "w.pth", layers=("layer3",))
    with pytest.raises(InputError, match=r"1 missing: layer4\.1\.conv2\.weight"):
        load_file(tmp_path / "w.pth")


def test_tensors_of_another_network_are_listed(tmp_path: Path) -> None:
    path = save_state(tmp_path / "w.pth", {"conv1.weight": torch.zeros(1), "backbone.extra": torch.zeros(1)})
    with pytest.raises(InputError, match=r"(?s)1 unexpected: backbone\.extra.*conv1\.weight: found \(1,\), expected \(64, 3"):
        load_file(path)


def test_a_file_of_weights_needs_its_digest_and_its_normalisation(tmp_path: Path) -> None:
    path = save_state(tmp_path / "w.pth")
    load_file(path, sha256=file_sha256(path))
    with pytest.raises(InputError, match=rf"extract\.weights_sha256={file_sha256(path)}"):
        load_file(path, sha256=None)
    with pytest.raises(InputError, match=r"extract\.mean and extract\.std: found null"):
        load_backbone(BackboneSpec("resnet18", weights=str(path), weights_sha256="any"), layers=[])


def test_any_as_digest_passes_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_file(save_state(tmp_path / "w.pth"), sha256="any")
    assert "goes unnoticed" in caplog.text


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "model.pth")
    with pytest.raises(InputError, match="pickled model is refused"):
        load_file(tmp_path / "model.pth")


@pytest.mark.parametrize(("name", "content"), [("w.pth", b"no zip"), ("w.safetensors", b"no tensors"), ("w.pth", b"")])
def test_a_file_of_something_else_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="not a file of plain tensors"):
        load_file(tmp_path / name)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        load_file(tmp_path / "absent.pth")


def test_real_weights_load_and_see_the_real_sky(test_data: Path) -> None:
    path = test_data / "weights" / "mobilenet_v2_imagenet.pth"
    backbone = load_backbone(
        BackboneSpec("mobilenet_v2", weights=str(path), weights_sha256=file_sha256(path), mean=HALF, std=HALF),
        layers=["features.18"],
    )
    with torch.inference_mode():
        activation = cut(backbone.module, ["features.18"])(torch.zeros(1, 3, 224, 224))["features.18"]
    assert activation.shape == (1, 1280, 7, 7)


@pytest.mark.gpu
def test_the_gpu_gives_the_same_activation() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    prefix = cut(load_backbone(BackboneSpec("resnet18", weights="random"), layers=[]).module, ["layer4"])
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        on_cpu = prefix(images)["layer4"]
        on_gpu = prefix.cuda()(images.cuda())["layer4"].cpu()
    torch.testing.assert_close(on_cpu, on_gpu, atol=1e-2, rtol=1e-2)
