"""What runs a network follows from the network, the work and the device, and from nothing that changes from run to run."""

from collections.abc import Callable

import pytest
import timm
import torch
from torch import nn
from torchvision.models import get_model

from galaxies.backbones.backbone import Backbone
from galaxies.backbones.choice import choose_library, kind_of
from galaxies.backbones.forward import ForwardPass
from galaxies.backbones.shipped import resnet18_half
from galaxies.backbones.spec import Transform
from galaxies.runtime import Library

CPU = torch.device("cpu")
KINDS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "ours": (resnet18_half, "convolutions"),
    "resnet": (lambda: get_model("resnet50"), "convolutions"),
    "vgg": (lambda: get_model("vgg11"), "convolutions"),
    "mobilenet": (lambda: get_model("mobilenet_v2"), "depthwise convolutions"),
    "efficientnet": (lambda: get_model("efficientnet_b0"), "depthwise convolutions"),
    "convnext": (lambda: get_model("convnext_tiny"), "layer norms"),
    "timm-convnext": (lambda: timm.create_model("convnext_nano"), "layer norms"),
    "swin": (lambda: get_model("swin_t"), "layer norms"),
    "vit": (lambda: get_model("vit_b_16"), "layer norms"),
}


def backbone(name: str, image_size: int = 224) -> Backbone:
    """Return a network without the time to fill it with random numbers."""
    with torch.device("meta"):
        module = KINDS[name][0]()
    return Backbone(name, module, Transform(image_size, (0.5,) * 3, (0.5,) * 3, "bilinear"), "")


def choose(
    name: str, num_images: int, *, size: int = 224, wanted: Library = "auto", device: torch.device = CPU, **changes: str
) -> Library:
    asked = ForwardPass(**{"layers": ("layer4",), "pool": "avg", **changes})  # type: ignore[arg-type]
    return choose_library(wanted, backbone(name, size), asked, device=device, num_images=num_images)


@pytest.mark.parametrize("name", KINDS)
def test_the_kind_is_that_of_the_layers(name: str) -> None:
    assert kind_of(backbone(name).module) == KINDS[name][1]


@pytest.mark.parametrize("name", KINDS)
def test_many_images_pay_for_the_export_and_few_do_not(name: str) -> None:
    assert choose(name, 1) == choose(name, 10) == "torch"
    assert choose(name, 100_000) == "onnxruntime"


def test_the_default_survey_is_too_small_and_its_network_too_quick() -> None:
    """Exporting takes longer than all its 3,000 galaxies."""
    assert choose("ours", 3000, size=96) == "torch"


def test_small_images_and_many_cores_need_more_of_them() -> None:
    def fewest(size: int) -> int:
        return next(number for number in range(10, 100_000, 10) if choose("resnet", number, size=size) == "onnxruntime")

    assert fewest(112) == pytest.approx(4 * fewest(224), rel=0.05)
    few = fewest(224)
    num_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2 * num_threads)
        assert fewest(224) == pytest.approx(2 * few, rel=0.05)
    finally:
        torch.set_num_threads(num_threads)


def test_an_accelerator_half_precision_and_plain_images_take_pytorch() -> None:
    assert choose("resnet", 10**6, device=torch.device("cuda")) == "torch"
    assert choose("resnet", 10**6, precision="bfloat16") == "torch"
    assert choose("resnet", 10**6, layers=("input",)) == "torch"  # type: ignore[arg-type]


@pytest.mark.parametrize("wanted", ["torch", "onnxruntime"])
def test_what_is_asked_for_by_name_is_taken(wanted: Library) -> None:
    assert choose("resnet", 1, wanted=wanted) == choose("resnet", 10**6, wanted=wanted) == wanted
