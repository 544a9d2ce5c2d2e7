"""The store of other people's embeddings: their bytes, its identity, and what it is not mistaken for."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from galaxies.backbones.spec import EMBEDDINGS, ExtractParams
from galaxies.data.catalog import image_sha256
from galaxies.data.catalog_images import CatalogImages
from galaxies.data.embedding_writer import EmbeddingBlock, write_embeddings
from galaxies.data.embeddings_origin import EmbeddingsOrigin
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.errors import InputError
from galaxies.features.embeddings import identify_embeddings, store_embeddings
from galaxies.features.identity import Identity
from galaxies.features.passes import open_unfinished
from galaxies.features.store import Store
from tests.toys import open_rows, toy_catalog, toy_images, toy_rows, write_toy_galaxies

ORIGIN = EmbeddingsOrigin("5" * 64, ("f0", "f1", "f2"))


def toy_embeddings(num_galaxies: int) -> "np.typing.NDArray[np.float32]":
    return np.random.default_rng(0).standard_normal((num_galaxies, 3)).astype(np.float32)


def write_toy_embeddings(path: Path, embeddings: "np.typing.NDArray[np.float32]") -> None:
    num_galaxies = len(embeddings)
    unknown, ids = np.full(num_galaxies, np.nan), tuple(f"g{index}" for index in range(num_galaxies))
    block = EmbeddingBlock(embeddings, np.zeros(num_galaxies, np.int16), unknown, unknown, np.full(num_galaxies, -1), ids)
    write_embeddings(path, [block], num_galaxies=num_galaxies, num_features=3, class_names=["a"], origin=ORIGIN)


def publish(folder: Path, *, used: slice = slice(None)) -> Store:
    """Store the embeddings of the galaxies in use, as the stage does."""
    with GalaxyFile(folder / "galaxies.h5", needs_images=False) as galaxies:
        indices = np.arange(galaxies.num_galaxies)[used]
        embeddings = galaxies.read_content(indices)
        catalog = open_rows(replace(toy_rows([image_sha256(row) for row in embeddings]), galaxy=indices))
        rows = CatalogImages(galaxies, catalog)
        identity = identify_embeddings(Identity.expected(ExtractParams(), EMBEDDINGS, catalog.digest), rows)
        with open_unfinished(folder, identity) as stores:
            stores.begin({})
            store_embeddings(rows, identity=identity, store=stores[EMBEDDINGS])
            stores[EMBEDDINGS].publish(folder / "a.zarr")
    return Store(folder / "a.zarr")


@pytest.mark.parametrize("num_galaxies", [1, 512, 1025])
def test_the_store_holds_the_rows_of_the_catalog_as_they_came(tmp_path: Path, num_galaxies: int) -> None:
    embeddings = toy_embeddings(num_galaxies)
    write_toy_embeddings(tmp_path / "galaxies.h5", embeddings)
    store = publish(tmp_path, used=slice(None, None, 2))
    np.testing.assert_array_equal(store.activations, embeddings[::2][:, None])
    assert store.activations.dtype == np.float32


def test_the_identity_is_digest_and_columns_and_no_parameter_of_the_backbone(tmp_path: Path) -> None:
    write_toy_embeddings(tmp_path / "galaxies.h5", toy_embeddings(5))
    identity = publish(tmp_path).identity
    assert identity.to_json() == {
        "catalog": identity.catalog,
        "layer": EMBEDDINGS,
        "params": {},
        "embeddings": {"sha256": "5" * 64, "columns": ["f0", "f1", "f2"]},
    }
    assert Identity.from_json(json.loads(json.dumps(identity.to_json()))) == identity
    other = ExtractParams(backbone="resnet50", weights="random", seed=3, pool="cls", views=8, image_size=64)
    assert not identity.differences(Identity.expected(other, EMBEDDINGS, identity.catalog))
    assert identity.differences(replace(identity, embeddings=EmbeddingsOrigin("6" * 64, ORIGIN.columns)))


def test_an_embedding_that_is_not_the_one_of_the_catalog_is_refused(tmp_path: Path) -> None:
    embeddings = toy_embeddings(5)
    write_toy_embeddings(tmp_path / "galaxies.h5", embeddings + 1)
    catalog = open_rows(toy_rows([image_sha256(row) for row in embeddings]))
    with (
        GalaxyFile(tmp_path / "galaxies.h5", needs_images=False) as galaxies,
        pytest.raises(InputError, match="the file changed after `split` had run"),
    ):
        CatalogImages(galaxies, catalog).read(0, 5)


def test_a_file_of_images_has_no_such_layer(tmp_path: Path) -> None:
    images = toy_images(3)
    write_toy_galaxies(tmp_path / "galaxies.h5", images)
    catalog = toy_catalog(images)
    with (
        GalaxyFile(tmp_path / "galaxies.h5") as galaxies,
        pytest.raises(InputError, match=r"found embeddings, but .* holds images; name layers of the backbone"),
    ):
        identify_embeddings(Identity.expected(ExtractParams(), EMBEDDINGS, catalog.digest), CatalogImages(galaxies, catalog))
