"""What a forward pass keeps of each layer: features, maps, class tokens, several nodes, eight views, images."""

import pytest
import torch
from torch import Tensor

from galaxies.backbones.backbone import load_backbone
from galaxies.backbones.forward import ForwardPass, make_forward
from galaxies.backbones.spec import BackboneSpec
from galaxies.backbones.streams import forward_batches
from galaxies.backbones.transform import resize, turn
from galaxies.errors import InputError

CPU = torch.device("cpu")
RESNET = load_backbone(BackboneSpec("resnet18", weights="random", image_size=32), layers=[])


def images(num_images: int = 2, size: int = 40) -> Tensor:
    return torch.randint(0, 256, (num_images, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def run(layers: list[str], *, pool: str = "avg", views: int = 1, precision: str = "float32") -> dict[str, Tensor]:
    forward = make_forward(RESNET, ForwardPass(tuple(layers), pool, views, precision), device=CPU)
    return forward(images())


def test_maps_features_and_joined_layers_come_of_one_pass() -> None:
    maps = run(["layer2", "layer3"], pool="map")
    features = run(["layer2", "layer3", "layer2+layer3"])
    assert maps["layer2"].shape == (2, 1, 128, 4, 4)
    torch.testing.assert_close(features["layer2"], maps["layer2"].mean((3, 4)))
    assert torch.equal(features["layer2+layer3"], torch.cat([features["layer2"], features["layer3"]], dim=2))


def test_joined_layers_are_pooled_beside_maps() -> None:
    both = run(["layer3", "layer2+layer3"], pool="map")
    assert both["layer3"].ndim == 5
    assert both["layer2+layer3"].shape == (2, 1, 384)


@pytest.mark.parametrize("view", range(8))
def test_a_view_is_the_activation_of_the_turned_image(view: int) -> None:
    # At the size of the backbone: resizing a turned image may round a grey level otherwise.
    upright = images(3, size=32)
    turned = turn(upright.permute(0, 3, 1, 2), view).permute(0, 2, 3, 1)
    eight = make_forward(RESNET, ForwardPass(("layer2",), "avg", views=8), device=CPU)(upright)["layer2"]
    one = make_forward(RESNET, ForwardPass(("layer2",), "avg"), device=CPU)(turned)["layer2"]
    torch.testing.assert_close(eight[:, view], one[:, 0], atol=1e-5, rtol=1e-4)


def test_a_cut_at_input_gives_the_resized_images_as_they_are() -> None:
    kept = run(["input", "layer1"], pool="map", views=8, precision="bfloat16")["input"]
    assert kept.dtype == torch.uint8
    assert torch.equal(kept[:, 0], resize(images().permute(0, 3, 1, 2), RESNET.transform))


def test_a_class_token_is_kept_of_a_vit_and_refused_of_a_resnet() -> None:
    vit = load_backbone(BackboneSpec("timm:vit_tiny_patch16_224", weights="random", image_size=32), layers=[])
    maps, tokens = (
        make_forward(vit, ForwardPass(("blocks.1",), pool), device=CPU)(images())["blocks.1"] for pool in ("map", "cls")
    )
    assert maps.shape == (2, 1, 5, 192)
    assert torch.equal(tokens, maps[:, :, 0])
    averages = make_forward(vit, ForwardPass(("blocks.1",), "avg"), device=CPU)(images())["blocks.1"]
    torch.testing.assert_close(averages, maps[:, :, 1:].mean(2))
    with pytest.raises(InputError, match=r"found cls, but layer4 gives .* without a class token"):
        run(["layer4"], pool="cls")


def test_a_network_of_channels_last_is_averaged_over_its_positions() -> None:
    swin = load_backbone(BackboneSpec("swin_t", weights="random", image_size=64), layers=[])
    maps, features = (
        make_forward(swin, ForwardPass(("features.1",), pool), device=CPU)(images())["features.1"] for pool in ("map", "avg")
    )
    assert maps.shape == (2, 1, 16, 16, 96)
    torch.testing.assert_close(features, maps.mean((2, 3)))


def test_an_image_size_that_the_network_does_not_take_is_refused() -> None:
    vit = load_backbone(BackboneSpec("vit_b_32", weights="random", image_size=64), layers=[])
    with pytest.raises(InputError, match=r"vit_b_32 takes no images of 64 px.*extract\.image_size=null"):
        make_forward(vit, ForwardPass(("encoder.layers.encoder_layer_0",), "avg"), device=CPU)


def test_batches_come_back_in_order() -> None:
    batches = [torch.full((1,), value) for value in range(3)]
    results = forward_batches(lambda batch: {"layer": (batch + 1,)}, iter(batches), CPU)
    assert [int(result["layer"][0]) for result in results] == [1, 2, 3]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_gpu_gives_the_same_in_order_while_its_copies_overlap(precision: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    gpu = torch.device("cuda")
    batches = [images(4, size=32) + shift for shift in range(5)]
    forward = make_forward(RESNET, ForwardPass(("input", "layer2"), "map", precision=precision), device=gpu)
    pinned = [batch.pin_memory() for batch in batches]
    results = forward_batches(lambda batch: {name: (kept,) for name, kept in forward(batch).items()}, pinned, gpu)
    found = [{name: tensors[0].clone() for name, tensors in result.items()} for result in results]
    RESNET.module.cpu()
    reference = make_forward(RESNET, ForwardPass(("layer2",), "map"), device=CPU)
    for batch, result in zip(batches, found, strict=True):
        assert result["input"].device.type == "cpu"
        difference = (result["layer2"] - reference(batch)["layer2"]).square().mean().sqrt()
        assert float(difference) < 0.03 * float(reference(batch)["layer2"].square().mean().sqrt())
