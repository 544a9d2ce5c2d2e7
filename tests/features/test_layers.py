"""The layers of a backbone are listed with what keeping them costs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from galaxies.__main__ import main
from galaxies.backbones.backbone import load_backbone
from galaxies.backbones.spec import BackboneSpec
from galaxies.features.layers import Layer, example_images, format_layers, measure_layers
from tests.toys import toy_images, write_toy_galaxies


@pytest.fixture(scope="module")
def layers() -> dict[str, Layer]:
    backbone = load_backbone(BackboneSpec("resnet18", weights="random", image_size=64), layers=[])
    return {layer.name: layer for layer in measure_layers(backbone, torch.from_numpy(toy_images(2)))}


def test_each_layer_has_its_shape_and_its_bytes(layers: dict[str, Layer]) -> None:
    layer = layers["layer2"]
    assert (layer.shape, layer.is_cut, layer.pooled_bytes, layer.map_bytes) == ((128, 8, 8), True, 512, 16384)
    assert layers["flatten"].shape == (512,)


def test_a_node_that_a_path_leads_past_cannot_be_a_cut(layers: dict[str, Layer]) -> None:
    assert not layers["layer1.0.conv1"].is_cut
    assert "fc" not in layers


def test_a_map_after_a_relu_compresses_better_than_one_before(layers: dict[str, Layer]) -> None:
    assert layers["relu"].compressed_fraction < 0.8 * layers["bn1"].compressed_fraction


def test_the_table_says_what_n_galaxies_take(layers: dict[str, Layer]) -> None:
    heading, line = format_layers([layers["layer2"]], 1024)
    assert heading.split() == ["layer", "activation", "cut", "pooled", "maps", "compressed"]
    assert line.split()[:10] == ["layer2", "128", "x", "8", "x", "8", "yes", "512.0", "KiB", "16.0"]


def test_the_examples_are_the_users_own_where_there_are_some(tmp_path: Path) -> None:
    images, whose = example_images(tmp_path / "galaxies.h5")
    assert (images.shape[1:], whose) == ((256, 256, 3), "8 simulated galaxies")
    own = toy_images(20)
    write_toy_galaxies(tmp_path / "galaxies.h5", own)
    images, whose = example_images(tmp_path / "galaxies.h5")
    assert whose.startswith("8 galaxies of ")
    np.testing.assert_array_equal(images[-1], own[-1])


def test_the_command_prints_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    write_toy_galaxies(tmp_path / "data" / "galaxies.h5", toy_images(3))
    assert main(["layers", "resnet18", "--image-size", "32", "--num-galaxies", "1000"]) == 0
    printed = capsys.readouterr().out
    assert "layer3" in printed
    assert "layer1.0.conv1" not in printed
    assert "was measured on 3 galaxies of data/galaxies.h5 with weights random" in printed


def test_a_mistyped_backbone_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["layers", "resnet81"]) == 1
    assert "the nearest are resnet" in capsys.readouterr().err
