"""The identity of six stores and their keys, as version 0.1 wrote them: what took hours to compute is found again."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from galaxies.backbones.spec import BackboneSpec, ExtractParams, Transform
from galaxies.data.catalog import digest_images
from galaxies.features.identity import Identity

CATALOG_DIGEST = digest_images(np.repeat(np.array([[0x11], [0x22]], np.uint8), 32, axis=1))
"""Two galaxies; a store's identity holds the sha256 over the digests of their images."""

PARAMS: dict[str, Any] = {
    "backbone": "resnet18_half",
    "weights": "galaxies-v1",
    "weights_sha256": None,
    "seed": 0,
    "layers": ("layer3+layer4",),
    "pool": "avg",
    "views": 1,
    "image_size": None,
    "mean": None,
    "std": None,
    "precision": "float32",
    "dtype": "auto",
    "version": 2,
}
OURS = Transform(96, (0.15, 0.15, 0.15), (0.2, 0.2, 0.2), "bilinear")
FROM_FILE = {
    "backbone": "mobilenet_v2",
    "weights": "weights/mobilenet_v2.pth",
    "weights_sha256": "4" * 64,
    "image_size": 160,
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
}
FILE = Transform(160, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear")
STORES: dict[str, tuple[str, dict[str, Any], Transform]] = {
    "pooled": ("layer4", {}, OURS),
    "joined layers": ("layer3+layer4", {}, OURS),
    "map": ("layer3", {"pool": "map"}, OURS),
    "input": ("input", {}, OURS),
    "eight views": ("layer4", {"views": 8}, OURS),
    "weights from a file": ("features.18", FROM_FILE, FILE),
}
"""Layer, parameters that differ from PARAMS, and the transform as used."""


def identity_of(store: str) -> Identity:
    layer, changes, transform = STORES[store]
    expected = Identity.expected(ExtractParams(**{**PARAMS, **changes}), layer, CATALOG_DIGEST)
    return expected.found("5" * 64 if layer == "features.18" else "3" * 64, transform)


EXPECTED = {
    "pooled": (
        '{"catalog": "f010287b35f18d5064ad68310c9178d47eb3b893105a97ad86cdd2a4d9db62cc", "layer": "layer4", '
        '"params": {"backbone": "resnet18_half", "dtype": "auto", "image_size": null, "mean": null, "pool": "avg", '
        '"precision": "float32", "seed": 0, "std": null, "version": 2, "views": 1, "weights": "galaxies-v1", '
        '"weights_sha256": null}, "transform": {"image_size": 96, "interpolation": "bilinear", "mean": [0.15, 0.15, '
        '0.15], "std": [0.2, 0.2, 0.2]}, "weights_digest": '
        '"3333333333333333333333333333333333333333333333333333333333333333"}',
        "8077390afa0b420efc2778290e502d59e73dfb9e4e42f31136c7cebd959dae4e",
        "f29aac18543c4602f830a1832d65bd807d305924fd796cb83e34748e407f1e42",
    ),
    "joined layers": (
        '{"catalog": "f010287b35f18d5064ad68310c9178d47eb3b893105a97ad86cdd2a4d9db62cc", "layer": "layer3+layer4", '
        '"params": {"backbone": "resnet18_half", "dtype": "auto", "image_size": null, "mean": null, "pool": "avg", '
        '"precision": "float32", "seed": 0, "std": null, "version": 2, "views": 1, "weights": "galaxies-v1", '
        '"weights_sha256": null}, "transform": {"image_size": 96, "interpolation": "bilinear", "mean": [0.15, 0.15, '
        '0.15], "std": [0.2, 0.2, 0.2]}, "weights_digest": '
        '"3333333333333333333333333333333333333333333333333333333333333333"}',
        "be97823b8c469cb66159fc33f9db9926fcc25b9efd24b75740f790ca1acdd24d",
        "f29aac18543c4602f830a1832d65bd807d305924fd796cb83e34748e407f1e42",
    ),
    "map": (
        '{"catalog": "f010287b35f18d5064ad68310c9178d47eb3b893105a97ad86cdd2a4d9db62cc", "layer": "layer3", '
        '"params": {"backbone": "resnet18_half", "dtype": "auto", "image_size": null, "mean": null, "pool": "map", '
        '"precision": "float32", "seed": 0, "std": null, "version": 2, "views": 1, "weights": "galaxies-v1", '
        '"weights_sha256": null}, "transform": {"image_size": 96, "interpolation": "bilinear", "mean": [0.15, 0.15, '
        '0.15], "std": [0.2, 0.2, 0.2]}, "weights_digest": '
        '"3333333333333333333333333333333333333333333333333333333333333333"}',
        "6f813bf771e83f6351dd84b7f877caf932f0ad91574ee1bc95b8c1c1c0fabf5b",
        "faaf142c141d5a86598e090db647be53eb2d43a6deb62f02ccf9bbdb89c1b7fd",
    ),
    "input": (
        '{"catalog": "f010287b35f18d5064ad68310c9178d47eb3b893105a97ad86cdd2a4d9db62cc", "layer": "input", "params": '
        '{"image_size": null, "version": 2}, "transform": {"image_size": 96, "interpolation": "bilinear"}}',
        "a0a9cd254b54c0ef9caf83c2bedfa844dfff6a981f8894c7315bdee015dc6070",
        "139afcafbe7e87c97b3834ffa1f54452f36ff2a8f7ba661f04fb2a1e60aee2e2",
    ),
    "eight views": (
        '{"catalog": "f010287b35f18d5064ad68310c9178d47eb3b893105a97ad86cdd2a4d9db62cc", "layer": "layer4", '
        '"params": {"backbone": "resnet18_half", "dtype": "auto", "image_size": null, "mean": null, "pool": "avg", '
        '"precision": "float32", "seed": 0, "std": null, "version": 2, "views": 8, "weights": "galaxies-v1", '
        '"weights_sha256": null}, "transform": {"image_size": 96, "interpolation": "bilinear", "mean": [0.15, 0.15, '
        '0.15], "std": [0.2, 0.2, 0.2]}, "weights_digest": '
        '"3333333333333333333333333333333333333333333333333333333333333333"}',
        "0da5d40fe7aa7954e7e948c61f5a726434a539c1a968658aa14001c08dc5b4c8",
        "0b2f596f07a535222342f33c677dad9ec393ee0de28714115f9c87a1fc5f0426",
    ),
    "weights from a file": (
        '{"catalog": "f010287b35f18d5064ad68310c9178d47eb3b893105a97ad86cdd2a4d9db62cc", "layer": "features.18", '
        '"params": {"backbone": "mobilenet_v2", "dtype": "auto", "image_size": 160, "mean": [0.5, 0.5, 0.5], "pool": '
        '"avg", "precision": "float32", "seed": 0, "std": [0.5, 0.5, 0.5], "version": 2, "views": 1, "weights": '
        '"weights/mobilenet_v2.pth", "weights_sha256": '
        '"4444444444444444444444444444444444444444444444444444444444444444"}, "transform": {"image_size": 160, '
        '"interpolation": "bilinear", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}, "weights_digest": '
        '"5555555555555555555555555555555555555555555555555555555555555555"}',
        "0ee5eac7ce2bc781298a2964664e549167e88a286e21e06276458ae7245f3f5b",
        "6b663ceb65b37b358b2e642caff559189ecd3d4e03986d163eb8113995633fd3",
    ),
}
"""The JSON of the identity, its key, and that of the forward pass, which says nothing of the layer."""


@pytest.mark.parametrize("store", STORES)
def test_the_identity_and_the_key_are_those_of_version_0_1(store: str) -> None:
    identity = identity_of(store)
    text, key, key_of_pass = EXPECTED[store]
    assert json.dumps(identity.to_json(), sort_keys=True) == text
    assert identity.key == key
    assert identity.pass_key == key_of_pass


@pytest.mark.parametrize("store", STORES)
def test_an_identity_survives_a_file(store: str) -> None:
    identity = identity_of(store)
    assert Identity.from_json(json.loads(json.dumps(identity.to_json()))) == identity


def test_the_json_names_what_0_1_named_and_a_later_field_only_where_it_is_not_at_its_default() -> None:
    # A field that is added to one of the three types must keep this test and the literals above as they are.
    identity = Identity("c0ffee", "layer4", BackboneSpec("resnet18")).found("3" * 64, OURS).to_json()
    assert set(identity) == {"catalog", "layer", "params", "transform", "weights_digest"}
    # In this order, for it is that of the bytes in a store's attributes.
    assert list(identity["params"]) == [name for name in PARAMS if name != "layers"]
    assert list(identity["transform"]) == ["image_size", "mean", "std", "interpolation"]


ZOOBOT = "timm:hf_hub:mwalmsley/zoobot-encoder-convnext_nano"


@pytest.mark.parametrize("layer", ["head.flatten", "input"])
def test_a_key_of_the_transform_is_in_the_identity_where_it_is_not_at_its_default(layer: str) -> None:
    asked = ExtractParams(**{**PARAMS, "zoom": 1.5, "interpolation": "bicubic"})
    transform = replace(OURS, zoom=1.5, interpolation="bicubic")
    identity = Identity.expected(asked, layer, CATALOG_DIGEST).found("3" * 64, transform)
    content = identity.to_json()
    assert {name: content["params"][name] for name in ("zoom", "interpolation")} == {"zoom": 1.5, "interpolation": "bicubic"}
    assert content["transform"]["zoom"] == 1.5
    assert Identity.from_json(json.loads(json.dumps(content))) == identity
    assert identity.key != Identity.expected(ExtractParams(**PARAMS), layer, CATALOG_DIGEST).found("3" * 64, OURS).key


@pytest.mark.parametrize("layer", ["head.flatten", "input"])
def test_a_store_made_with_another_transform_than_the_presets_is_told_apart_by_its_name(layer: str) -> None:
    """Version 0.1 took the normalisation from the config.json of Zoobot's repositories, and its stores have the same params."""
    asked = ExtractParams(**{**PARAMS, "backbone": ZOOBOT, "weights": "DEFAULT"})
    wrong = Transform(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bicubic")
    old = Identity.expected(asked, layer, CATALOG_DIGEST).found("3" * 64, wrong)
    differences = old.differences(Identity.expected(asked, layer, CATALOG_DIGEST))
    assert "transform.interpolation: the store has 'bicubic', wanted is 'bilinear'" in differences
    assert "transform.zoom: the store has None, wanted is 1.2" in differences
    assert any("transform.mean: the store has [0.485" in line for line in differences) == (layer != "input")


def test_what_a_later_version_wrote_is_not_taken_for_less() -> None:
    later = {**identity_of("pooled").to_json(), "filter": "z"}
    with pytest.raises(ValueError, match="fields that this program does not know"):
        Identity.from_json(later)


def test_differences_name_the_field_and_both_values() -> None:
    identity = identity_of("pooled")
    assert identity.differences(replace(identity, pool="cls")) == ["params.pool: the store has 'avg', wanted is 'cls'"]
    assert not identity.differences(Identity.expected(ExtractParams(**PARAMS), "layer4", CATALOG_DIGEST))
