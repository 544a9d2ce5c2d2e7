"""Nearest neighbours in feature space, held against a plain loop, and read from stores of every shape."""

from pathlib import Path

import numpy as np
import pytest

from galaxies.errors import InputError
from galaxies.features.neighbours import find_neighbours, read_averaged, read_standardised
from galaxies.features.standardisation import standardise
from galaxies.features.store import Layout, Store, create_store
from tests.toys import toy_identity

APART = np.arange(700)


def write_store(path: Path, activations: np.ndarray) -> Store:
    layout = Layout(activations.shape[1:], str(activations.dtype), compressed=False)
    create_store(path, num_rows=len(activations), layout=layout, identity=toy_identity())[:] = activations
    return Store(path)


def test_neighbours_are_those_of_a_plain_loop() -> None:
    features = np.random.default_rng(0).normal(size=(700, 5)).astype(np.float32)
    rows = np.arange(0, 700, 2)  # More than one block.
    found = find_neighbours(features, rows, group=APART, num_neighbours=4)
    for row, neighbours in zip(rows, found, strict=True):
        distances = np.linalg.norm(features - features[row], axis=1)
        distances[row] = np.inf
        assert neighbours.tolist() == np.argsort(distances)[:4].tolist()


def test_equal_distances_are_told_apart_by_row() -> None:
    features = np.ones((9, 2), np.float32)
    found = find_neighbours(features, np.array([0, 4]), group=APART[:9], num_neighbours=3)
    assert found.tolist() == [[1, 2, 3], [0, 1, 2]]


def test_what_overlaps_on_the_sky_is_no_neighbour() -> None:
    features = np.array([[0.0], [0.1], [0.2], [5.0], [9.0]], np.float32)
    found = find_neighbours(features, np.array([0, 3]), group=np.array([0, 0, 0, 1, 2]), num_neighbours=9)
    assert found.tolist() == [[3, 4], [4, 2]]


def test_one_group_has_no_neighbours() -> None:
    assert find_neighbours(np.ones((3, 1), np.float32), np.array([1]), group=np.zeros(3, int), num_neighbours=2).shape == (1, 0)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4, 5), (2, 6, 3)], ids=["pooled", "maps", "tokens"])
def test_a_store_of_any_shape_gives_a_vector_a_galaxy(tmp_path: Path, shape: tuple[int, ...]) -> None:
    wanted = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    places = {2: wanted[:, None, :], 4: wanted[:, None, :, None, None], 3: wanted[:, None, None, :]}
    noise = np.random.default_rng(1).normal(size=(5, *shape)).astype(np.float32)
    averaged = {2: (1,), 4: (1, 3, 4), 3: (1, 2)}[len(shape)]
    noise -= noise.mean(axis=averaged, keepdims=True)
    store = write_store(tmp_path / "x.zarr", places[len(shape)] + noise)
    np.testing.assert_allclose(read_standardised(store, np.arange(5)), standardise(wanted), atol=1e-5)


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    activations = np.ones((3, 1, 2), np.float32)
    activations[1, 0, 1] = np.nan
    with pytest.raises(InputError, match="row 1 is not finite"):
        read_standardised(write_store(tmp_path / "x.zarr", activations), np.arange(len(activations)))


def test_the_average_of_some_rows_and_one_view_leaves_the_others_out(tmp_path: Path) -> None:
    maps = np.random.default_rng(0).random((5, 8, 3, 2, 2), np.float32)
    store = write_store(tmp_path / "maps.zarr", maps)
    rows = np.array([0, 2, 3])
    np.testing.assert_allclose(read_averaged(store, rows, num_views=1), maps[rows, 0].mean(axis=(2, 3)), rtol=1e-5)
    np.testing.assert_allclose(read_averaged(store, rows, num_views=8), maps[rows].mean(axis=(1, 3, 4)), rtol=1e-5)
