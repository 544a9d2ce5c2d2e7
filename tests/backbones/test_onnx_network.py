"""ONNX Runtime gives what PyTorch gives, of every kind of network, and says why where it cannot."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision.models import get_model

from galaxies.backbones.backbone import Backbone, load_backbone
from galaxies.backbones.forward import ONNXRUNTIME, TORCH, ForwardPass, make_forward
from galaxies.backbones.graph import Graph
from galaxies.backbones.onnx_network import OnnxNetwork, kept_graphs
from galaxies.backbones.spec import BackboneSpec, Transform
from tests.backbones.test_graph import ARCHITECTURES

CPU = torch.device("cpu")
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    **ARCHITECTURES,
    "ours": lambda: load_backbone(BackboneSpec("resnet18_half"), layers=[]).module,
    "bottleneck": lambda: get_model("resnet50"),
    "timm-mobilenet": lambda: timm.create_model("mobilenetv3_small_050"),
    "timm-resnet": lambda: timm.create_model("resnet10t"),
}
QUICK = ("resnet", "mobilenet", "timm-vit")


def images(num_images: int, size: int = 40) -> Tensor:
    return torch.randint(0, 256, (num_images, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def as_backbone(model: nn.Module) -> Backbone:
    """Return a frozen network that takes images of 32 px, with statistics of its own in every BatchNorm."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (*module.parameters(), *module.buffers()):
                if tensor.is_floating_point():
                    tensor.data.uniform_(0.5, 1.5, generator=generator)
        if hasattr(module, "inplace"):
            setattr(module, "inplace", False)  # noqa: B010 - as in galaxies.backbones.backbone
    transform = Transform(32, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear")
    return Backbone("toy", model.eval().requires_grad_(False), transform, "")


def run(backbone: Backbone, asked: ForwardPass, batch: Tensor, library: str, folder: Path | None = None) -> dict[str, Tensor]:
    forward = make_forward(backbone, asked, device=CPU, library=library, folder=folder)
    assert forward.library.startswith(library)
    return forward(batch)


def require_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for layer, activation in expected.items():
        assert found[layer].shape == activation.shape
        assert found[layer].dtype == activation.dtype
        difference = float((found[layer].double() - activation.double()).abs().max())
        assert difference <= 1e-5 * float(activation.double().abs().max()), layer


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS])
def test_every_layer_is_that_of_pytorch(name: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = as_backbone(NETWORKS[name]())
    cuts = Graph(backbone.module).cuts()
    layers = tuple(dict.fromkeys([*cuts[1 :: max(1, len(cuts) // 4)], cuts[-1]]))
    asked = ForwardPass(layers, "map")
    # Five images: a part of four, and one that is left over.
    expected = run(backbone, asked, images(5), TORCH)
    require_close(run(backbone, asked, images(5), ONNXRUNTIME), expected)


RESNET = load_backbone(BackboneSpec("resnet18", weights="random", image_size=32), layers=[])
VIT = load_backbone(BackboneSpec("timm:vit_tiny_patch16_224", weights="random", image_size=32), layers=[])


@pytest.mark.parametrize("num_images", [1, 3, 4, 9])
@pytest.mark.parametrize(
    ("backbone", "asked"),
    [
        (RESNET, ForwardPass(("input", "layer2", "layer2+layer3"), "map")),
        (RESNET, ForwardPass(("layer1", "layer1+layer4"), "avg", views=8)),
        (VIT, ForwardPass(("blocks.1",), "cls")),
        (VIT, ForwardPass(("blocks.1",), "avg", views=8)),
    ],
    ids=["maps, joined layers and images", "views", "class token", "tokens"],
)
def test_all_that_can_be_kept_is_that_of_pytorch_at_any_batch(
    backbone: Backbone, asked: ForwardPass, num_images: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "graphs" / backbone.name / asked.pool
    batch = images(num_images)
    require_close(run(backbone, asked, batch, ONNXRUNTIME, folder), run(backbone, asked, batch, TORCH))


def test_the_numbers_are_the_same_whatever_the_number_of_threads(tmp_path: Path) -> None:
    found = []
    num_threads = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(run(RESNET, ForwardPass(("layer3",), "map"), images(9), ONNXRUNTIME, tmp_path)["layer3"])
    finally:
        torch.set_num_threads(num_threads)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_a_graph_is_exported_once_and_again_where_it_is_damaged(tmp_path: Path) -> None:
    asked = ForwardPass(("layer2",), "avg")
    first = run(RESNET, asked, images(3), ONNXRUNTIME, tmp_path)
    (name,) = kept_graphs(tmp_path)
    weights = tmp_path / name / "network.onnx.data"
    written = weights.stat().st_mtime_ns
    assert torch.equal(run(RESNET, asked, images(3), ONNXRUNTIME, tmp_path)["layer2"], first["layer2"])
    assert weights.stat().st_mtime_ns == written
    content = bytearray(weights.read_bytes())
    content[1000] ^= 1
    shutil.copyfile(weights, tmp_path / "copy")
    weights.unlink()
    weights.write_bytes(content)
    assert torch.equal(run(RESNET, asked, images(3), ONNXRUNTIME, tmp_path)["layer2"], first["layer2"])
    assert weights.read_bytes() == (tmp_path / "copy").read_bytes()
    run(RESNET, ForwardPass(("layer3",), "avg"), images(3), ONNXRUNTIME, tmp_path)
    assert len(kept_graphs(tmp_path)) == 2
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


class Spectral(nn.Module):
    """Has an operation that ONNX lacks."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, pixels: Tensor) -> Tensor:  # noqa: D102
        y: Tensor = self.convolution(pixels)
        y = torch.linalg.eigvals(y @ y.transpose(2, 3)).real.sum((2,))
        return self.fc(y)  # type: ignore[no-any-return]


def test_what_cannot_be_exported_falls_back_to_pytorch_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    backbone = as_backbone(Spectral())
    layers = Graph(backbone.module).cuts()
    with caplog.at_level(logging.WARNING):
        forward = make_forward(backbone, ForwardPass((layers[-1],), "avg"), device=CPU, library=ONNXRUNTIME)
    assert forward.library == TORCH
    assert caplog.messages[0].startswith("PyTorch runs toy, for ONNX Runtime cannot: ")
    assert "linalg_eig" in caplog.messages[0]


def test_half_precision_stays_with_pytorch(caplog: pytest.LogCaptureFixture) -> None:
    asked = ForwardPass(("layer1",), "avg", precision="bfloat16")
    assert make_forward(RESNET, asked, device=CPU, library=ONNXRUNTIME).library == TORCH
    assert "computes in float32 on a CPU, and this is bfloat16 on cpu" in caplog.text


def test_a_graph_that_gives_other_numbers_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    true = OnnxNetwork.__call__
    monkeypatch.setattr(OnnxNetwork, "__call__", lambda self, pixels: {k: v * 1.001 for k, v in true(self, pixels).items()})
    forward = make_forward(RESNET, ForwardPass(("layer1",), "avg"), device=CPU, library=ONNXRUNTIME, folder=tmp_path)
    assert forward.library == TORCH
    assert "layer1 differs by 0.001 of its largest value" in caplog.text
    assert list(tmp_path.iterdir()) == []
