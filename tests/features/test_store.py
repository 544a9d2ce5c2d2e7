"""The store says what it is, refuses to be read under other settings, and keeps its shapes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

from galaxies.backbones.spec import BackboneSpec
from galaxies.errors import InputError
from galaxies.features.store import Layout, Store, create_store, plan_layout, shard_path
from tests.toys import toy_identity

IDENTITY = toy_identity()
FEATURES = Layout((1, 8), "float32", compressed=False)


def filled_store(path: Path, num_rows: int = 5) -> Store:
    array = create_store(path, num_rows=num_rows, layout=FEATURES, identity=IDENTITY)
    array[:] = np.arange(num_rows * 8, dtype=np.float32).reshape(num_rows, 1, 8)
    return Store(path)


@pytest.mark.parametrize(
    ("row_shape", "dtype", "shard_rows", "chunk_rows"),
    [
        pytest.param((1, 2048), "float32", 512, 64, id="features-of-a-resnet50"),
        pytest.param((1, 2048, 7, 7), "float16", 256, 16, id="layer4-maps"),
        pytest.param((1, 512, 28, 28), "float16", 64, 4, id="layer2-maps"),
        pytest.param((1, 64, 1024, 1024), "float32", 1, 1, id="a-row-larger-than-a-shard"),
    ],
)
def test_shards_and_chunks_are_powers_of_two_within_their_bytes(
    row_shape: tuple[int, ...], dtype: str, shard_rows: int, chunk_rows: int
) -> None:
    layout = Layout(row_shape, dtype, compressed=False)
    assert (layout.shard_rows, layout.chunk_rows) == (shard_rows, chunk_rows)
    assert layout.shard_rows % layout.chunk_rows == 0


@pytest.mark.parametrize("num_rows", [1, 511, 512, 513])
def test_rows_come_back_in_order(tmp_path: Path, num_rows: int) -> None:
    store = filled_store(tmp_path / "a.zarr", num_rows)
    np.testing.assert_array_equal(store.activations, np.arange(num_rows * 8).reshape(num_rows, 1, 8))


@pytest.mark.parametrize(
    ("activation", "dtype", "expected"),
    [
        (np.zeros((2, 1, 8), np.float32), "auto", Layout((1, 8), "float32", compressed=False)),
        (np.zeros((2, 1, 8, 3, 3), np.float32), "auto", Layout((1, 8, 3, 3), "float16", compressed=True)),
        (np.zeros((2, 1, 8, 3, 3), np.float32), "float32", Layout((1, 8, 3, 3), "float32", compressed=True)),
        (np.zeros((2, 1, 3, 9, 9), np.uint8), "float16", Layout((1, 3, 9, 9), "uint8", compressed=True)),
    ],
    ids=["features", "maps", "maps-in-float32", "images"],
)
def test_a_layout_follows_from_the_activation(activation: "np.ndarray[Any, Any]", dtype: str, expected: Layout) -> None:
    assert plan_layout(activation, dtype) == expected


@pytest.mark.parametrize(
    ("row_shape", "names"),
    [
        pytest.param((2, 8), ("galaxy", "view", "channel"), id="features"),
        pytest.param((2, 5, 8), ("galaxy", "view", "token", "channel"), id="tokens"),
        pytest.param((2, 8, 4, 3), ("galaxy", "view", "channel", "y", "x"), id="maps"),
    ],
)
def test_xarray_opens_a_store_and_knows_its_dimensions(
    tmp_path: Path, row_shape: tuple[int, ...], names: tuple[str, ...]
) -> None:
    path, layout = tmp_path / "a.zarr", Layout(row_shape, "float32", compressed=len(row_shape) > 2)
    rows = np.random.default_rng(0).standard_normal((3, *row_shape), np.float32)
    create_store(path, num_rows=3, layout=layout, identity=IDENTITY)[:] = rows
    with xarray.open_zarr(path, consolidated=False, chunks=None) as opened:
        activations = opened["activations"]
        assert activations.sizes == dict(zip(names, rows.shape, strict=True))
        np.testing.assert_array_equal(activations.isel(galaxy=1), rows[1])
        assert opened.attrs["key"] == IDENTITY.key


def test_the_bytes_on_disk_are_measured() -> None:
    layout = Layout((1, 64, 8, 8), "float16", compressed=True)
    assert layout.compressed_fraction(np.zeros((4, 1, 64, 8, 8), np.float32)) < 0.01
    noise = np.random.default_rng(0).standard_normal((4, 1, 64, 8, 8)).astype(np.float32)
    assert 0.8 < layout.compressed_fraction(noise) < 1.01
    assert FEATURES.compressed_fraction(np.zeros((4, 1, 8), np.float32)) == 1


def test_an_all_zero_shard_is_a_file(tmp_path: Path) -> None:
    """The older project took "all zero" for "not computed yet"; Zarr's default leaves no file for it."""
    array = create_store(tmp_path / "a.zarr", num_rows=3, layout=FEATURES, identity=IDENTITY)
    array[:] = 0
    assert shard_path(tmp_path / "a.zarr", 0, 3).is_file()


def test_equal_parameters_are_accepted_and_each_difference_is_named(tmp_path: Path) -> None:
    store = filled_store(tmp_path / "a.zarr")
    store.require(IDENTITY)
    expected = replace(IDENTITY, layer="layer3", backbone=BackboneSpec("resnet50"))
    with pytest.raises(InputError, match=r"(?s)layer: the store has 'layer4', wanted is 'layer3'.*params\.backbone"):
        store.require(expected)


def test_edited_attributes_are_refused(tmp_path: Path) -> None:
    filled_store(tmp_path / "a.zarr")
    metadata = tmp_path / "a.zarr" / "zarr.json"
    metadata.write_text(metadata.read_text().replace("resnet18", "resnet50"))
    with pytest.raises(InputError, match="attributes were edited"):
        Store(tmp_path / "a.zarr")


@pytest.mark.parametrize("make", ["nothing", "an empty folder", "a file"])
def test_what_is_no_store_is_refused(tmp_path: Path, make: str) -> None:
    path = tmp_path / "a.zarr"
    if make == "an empty folder":
        path.mkdir()
    elif make == "a file":
        path.write_text("no store")
    with pytest.raises(InputError, match="not an activation store"):
        Store(path)
