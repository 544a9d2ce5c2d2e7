"""Galaxies in two dimensions: what is alike stays near, the same seed gives the same places, and nothing is too small."""

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from galaxies.errors import InputError
from galaxies.features.projection import (
    ProjectionParams,
    project_store,
    read_projection,
    reduce_features,
    write_projection,
)
from galaxies.features.store import Layout, Store, create_store
from tests.toys import toy_catalog, toy_identity, toy_images


def write_store(path: Path, features: NDArray[np.floating]) -> Store:
    """Write features (N, C), or maps (N, C, H, W), of one view."""
    layout = Layout((1, *features.shape[1:]), "float32", compressed=False)
    create_store(path, num_rows=len(features), layout=layout, identity=toy_identity())[:] = features[:, None]
    return Store(path)


def clouds(num_each: int = 30) -> NDArray[np.float32]:
    noise = np.random.default_rng(0).standard_normal((3 * num_each, 12))
    return (noise + 6 * np.repeat(np.eye(3, 12), num_each, axis=0)).astype(np.float32)


def test_the_reduced_features_are_principal_components_of_standardised_ones(tmp_path: Path) -> None:
    features = np.random.default_rng(1).standard_normal((600, 9)) @ np.diag([100, 1, 1, 1, 1, 1, 1, 1e-3, 0]) + 5
    features[:, 1] += features[:, 2]
    reduced = reduce_features(write_store(tmp_path / "a.zarr", features), 4)
    standardised = (features[:, :8] - features[:, :8].mean(0)) / features[:, :8].std(0)
    expected = PCA(4, svd_solver="full").fit_transform(standardised)
    np.testing.assert_allclose(
        np.abs(reduced), np.abs(expected), atol=2e-3
    )  # Those of a feature that hardly varies are rounded in the store.


@pytest.mark.parametrize(("method", "share"), [("tsne", 0.95), ("pca", 0.75)])
def test_what_is_alike_is_near_and_the_same_seed_gives_the_same_places(tmp_path: Path, method: str, share: float) -> None:
    store, params = write_store(tmp_path / "a.zarr", clouds()), ProjectionParams(method)  # type: ignore[arg-type]
    places = project_store(store, params)
    assert places.shape == (90, 2)
    assert places.dtype == np.float32
    distances = ((places[:, None] - places) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (distances.argmin(axis=1) // 30 == np.arange(90) // 30).mean() > share
    np.testing.assert_array_equal(project_store(store, params), places)


@pytest.mark.parametrize(("num_galaxies", "num_features"), [(1, 3), (2, 1), (9, 1), (9, 2), (700, 3)])
def test_nothing_is_too_small_to_be_laid_out(tmp_path: Path, num_galaxies: int, num_features: int) -> None:
    features = np.random.default_rng(0).standard_normal((num_galaxies, num_features))
    places = project_store(write_store(tmp_path / "a.zarr", features), ProjectionParams())
    assert places.shape == (num_galaxies, 2)
    assert np.isfinite(places).all()


def test_maps_are_averaged_over_their_positions(tmp_path: Path) -> None:
    maps = np.repeat(clouds()[:, :, None, None], 2, axis=3) + np.array([-1.0, 1.0])
    first = project_store(write_store(tmp_path / "a.zarr", maps), ProjectionParams("pca"))
    second = project_store(write_store(tmp_path / "b.zarr", clouds()), ProjectionParams("pca"))
    np.testing.assert_allclose(first, second, atol=1e-4)


def test_places_are_kept_with_their_catalog(tmp_path: Path) -> None:
    catalog, places = toy_catalog(toy_images(5)), np.arange(10, dtype=np.float32).reshape(5, 2)
    write_projection(tmp_path / "a.parquet", places, catalog=catalog.digest, method="tsne")
    found, method = read_projection(tmp_path / "a.parquet", catalog)
    np.testing.assert_array_equal(found, places)
    assert method == "tsne"
    with pytest.raises(InputError, match=r"is of another catalog than .*; `dvc repro --force project`"):
        read_projection(tmp_path / "a.parquet", toy_catalog(toy_images(5, seed=1)))


def test_a_method_that_is_not_installed_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pacmap", None)
    with pytest.raises(InputError, match=r"pacmap is not installed here .*requirements-pacmap\.txt"):
        project_store(write_store(tmp_path / "a.zarr", clouds()), ProjectionParams("pacmap"))
