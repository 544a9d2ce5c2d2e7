"""From one to eight bands to features: the channels of a network are those asked for, and nothing else is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from galaxies.backbones.backbone import load_backbone
from galaxies.backbones.spec import BackboneSpec, ExtractParams, Transform
from galaxies.backbones.transform import prepare
from galaxies.backbones.weights import set_channels
from galaxies.data.catalog_images import CatalogImages
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.galaxy_writer import GalaxyBlock, write_galaxies
from galaxies.errors import InputError
from galaxies.features.store import Store
from galaxies.params import parse_section
from tests.toys import EXTRACT, run_extract, toy_catalog

UGRIZ = ("u", "g", "r", "i", "z")
FIVE: dict[str, Any] = {"bands": UGRIZ, "mean": (0.0,) * 5, "std": (1.0,) * 5}


def noise(num_bands: int, dtype: str = "uint8") -> NDArray[Any]:
    levels = np.random.default_rng(0).integers(0, 256, (6, 32, 32, num_bands), dtype=np.uint8)
    return levels if dtype == "uint8" else (levels / 255).astype(dtype)


def write(folder: Path, images: NDArray[Any], bands: tuple[str, ...]) -> None:
    folder.mkdir(exist_ok=True)
    unknown = np.full(len(images), np.nan)
    block = GalaxyBlock(images, np.zeros(len(images), np.uint8), unknown, unknown, unknown, unknown, bands=bands)
    write_galaxies(folder / "galaxies.h5", [block], num_galaxies=len(images), image_size=32, class_names=["one"])


def features(folder: Path, images: NDArray[Any], names: tuple[str, ...], **changes: Any) -> NDArray[np.float32]:
    """Extract from a file of bands with these names, and return what the store holds, (N, C)."""
    write(folder, images, names)
    (layer,) = run_extract(folder, images, **changes)
    stored: NDArray[np.float32] = np.asarray(Store(folder / "features" / f"{layer}.zarr").activations[:, 0])
    return stored


def test_three_bands_of_five_are_the_features_of_a_file_of_these_three(tmp_path: Path) -> None:
    images = noise(5)
    chosen = features(tmp_path / "five", images, UGRIZ, bands=("z", "r", "g"))
    alone = features(tmp_path / "three", np.ascontiguousarray(images[..., [4, 2, 1]]), ("R", "G", "B"))
    np.testing.assert_array_equal(chosen, alone)


def test_five_bands_are_five_channels(tmp_path: Path) -> None:
    images = noise(5)
    first = features(tmp_path, images, UGRIZ, **FIVE)
    images[..., 0] = 0
    other = features(tmp_path / "dark u", images, UGRIZ, **FIVE)
    assert np.isfinite(first).all()
    assert not np.array_equal(first, other)


def test_floats_from_0_to_1_give_the_features_of_their_grey_levels(tmp_path: Path) -> None:
    levels = features(tmp_path / "uint8", noise(3), ("R", "G", "B"))
    floats = features(tmp_path / "float16", noise(3, "float16"), ("R", "G", "B"))
    np.testing.assert_allclose(floats, levels, atol=2e-3 * np.abs(levels).max())


@pytest.mark.parametrize(
    ("num_bands", "bands"), [(3, None), (1, None), (5, ("r",)), (5, ("z", "r", "g"))], ids=["picture", "one", "r", "z, r, g"]
)
def test_greyscale_zoobot_takes_one_band_or_makes_one_of_three(
    tmp_path: Path, num_bands: int, bands: tuple[str, ...] | None
) -> None:
    names = {1: ("VIS",), 3: ("R", "G", "B"), 5: UGRIZ}[num_bands]
    changes = {"backbone": "zoobot-greyscale-nano", "layers": ("stages.0",), "bands": bands}
    assert features(tmp_path, noise(num_bands), names, **changes).shape == (6, 80)


@pytest.mark.parametrize(
    ("num_bands", "dtype", "changes", "message"),
    [
        (
            5,
            "uint8",
            {},
            r"has 5 bands \(u, g, r, i, z\), but resnet18 takes images of 3; say which, as in `-S 'extract\.bands=\[",
        ),
        (
            1,
            "uint8",
            {},
            r"has 1 bands \(u\), but resnet18 takes images of 3; say which, as in `-S 'extract\.bands=\[u,u,u\]'`",
        ),
        (5, "uint8", {"bands": ("y",)}, r"extract\.mean: found .* takes images of 1 channels; allowed is one number for each"),
        (5, "uint8", {"bands": ("y", "r", "g")}, r"extract\.bands: .* has the bands u, g, r, i, z, and not y"),
    ],
)
def test_bands_that_do_not_fit_are_named(
    tmp_path: Path, num_bands: int, dtype: str, changes: dict[str, Any], message: str
) -> None:
    names = UGRIZ[:num_bands] if num_bands != 3 else ("R", "G", "B")
    with pytest.raises(InputError, match=message):
        features(tmp_path, noise(num_bands, dtype), names, **changes)


def test_a_file_whose_bands_changed_places_has_another_key(tmp_path: Path) -> None:
    """The images, and so the catalog, would be the same."""
    keys = []
    for bands in (("g", "r", "z"), ("z", "r", "g")):
        write(tmp_path, noise(3), bands)
        with GalaxyFile(tmp_path / "galaxies.h5") as galaxies:
            keys.append(CatalogImages(galaxies, toy_catalog(noise(3)), ("z", "r", "g")).places)
    assert keys == [(2, 1, 0), (0, 1, 2)]


def test_published_weights_take_more_channels_only_when_asked_for() -> None:
    spec = BackboneSpec("resnet18_half", weights="galaxies-v1", **FIVE)
    with pytest.raises(
        InputError, match=r"galaxies-v1 is for images of 3 channels, and these have 5.*extract\.adapt_weights=true"
    ):
        load_backbone(spec, layers=["layer4"])
    backbone = load_backbone(replace(spec, adapt_weights=True), layers=["layer4"])
    assert backbone.transform.channels == 5
    with torch.inference_mode():
        assert backbone.module(torch.rand(1, 5, 96, 96)).shape == (1, 1000)


def test_a_grey_image_gives_through_more_channels_what_it_gave_through_three() -> None:
    own, wide = (load_backbone(BackboneSpec("resnet18", weights="random"), layers=[]).module for _ in range(2))
    assert set_channels(wide, 5) == 3
    image = torch.rand(1, 1, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(wide(image.repeat(1, 5, 1, 1)), own(image.repeat(1, 3, 1, 1)), atol=1e-4, rtol=1e-4)


def test_preparing_leaves_the_images_alone() -> None:
    images = torch.rand(1, 3, 8, 8)
    before = images.clone()
    prepare(images, Transform(8, (0.5,) * 3, (0.5,) * 3, "bilinear"))
    assert torch.equal(images, before)


def test_the_number_of_bands_is_limited() -> None:
    with pytest.raises(InputError, match=r"extract\.bands: found .* allowed are 1 to 8 names"):
        parse_section(ExtractParams, {**EXTRACT, "layers": ["layer2"], "bands": []}, "extract")
