"""The reader gives every row asked for exactly once, well shuffled and seeded, in bounded memory, and nothing damaged."""

import threading
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from galaxies.errors import InputError
from galaxies.features.reader import Batch, read_batches, read_shuffled_batches
from galaxies.features.store import Layout, Store, create_store, shard_path
from tests.toys import toy_identity

FEATURES = Layout((1, 4), "float32", compressed=False)
MAPS = Layout((8, 3, 2, 2), "float16", compressed=True)
IMAGES = Layout((1, 4, 4, 3), "uint8", compressed=False)


def numbered_store(path: Path, num_rows: int, layout: Layout = FEATURES) -> Store:
    """Make a store in which every number of row i is i, modulo 251."""
    array = create_store(path, num_rows=num_rows, layout=layout, identity=toy_identity())
    numbers = (np.arange(num_rows) % 251).reshape(-1, *[1] * len(layout.row_shape))
    array[:] = np.broadcast_to(numbers, (num_rows, *layout.row_shape)).astype(layout.dtype)
    return Store(path)


def shuffled(store: Store, rows: NDArray[np.int64], *, batch_size: int = 8, seed: int = 0, **options: Any) -> list[Batch]:
    generator = np.random.default_rng(seed)
    return list(read_shuffled_batches(store, rows, batch_size=batch_size, generator=generator, **options))


def order_of(batches: list[Batch]) -> list[int]:
    return [int(position) for positions, _ in batches for position in positions]


@pytest.mark.parametrize("layout", [FEATURES, MAPS, IMAGES], ids=["features", "maps-of-8-views", "images"])
@pytest.mark.parametrize(
    ("num_rows", "step", "batch_size", "buffer_rows"),
    [
        pytest.param(1, 1, 8, None, id="one-row"),
        pytest.param(63, 1, 8, 0, id="less-than-a-chunk-without-buffer"),
        pytest.param(512, 1, 64, 100, id="one-shard"),
        pytest.param(1100, 1, 48, 200, id="shards-and-chunks-not-whole"),
        pytest.param(1100, 7, 48, 100, id="some-rows-of-each-chunk"),
        pytest.param(1100, 99, 5, None, id="no-row-of-some-chunks"),
        pytest.param(300, 1, 1000, None, id="a-batch-larger-than-all"),
    ],
)
def test_every_row_asked_for_comes_exactly_once(
    tmp_path: Path, layout: Layout, num_rows: int, step: int, batch_size: int, buffer_rows: int | None
) -> None:
    store, rows = numbered_store(tmp_path / "a.zarr", num_rows, layout), np.arange(0, num_rows, step)
    batches = shuffled(store, rows, batch_size=batch_size, buffer_rows=buffer_rows)
    assert sorted(order_of(batches)) == list(range(len(rows)))
    assert [len(positions) for positions, _ in batches[:-1]] == [batch_size] * (len(batches) - 1)
    for positions, activations in batches:
        assert activations.shape == (len(positions), *layout.row_shape)
        assert activations.dtype == layout.dtype
        assert (activations.reshape(len(positions), -1) == rows[positions, None] % 251).all()


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_rows_in_order_are_those_of_the_store(tmp_path: Path, batch_size: int) -> None:
    store, rows = numbered_store(tmp_path / "a.zarr", 600), np.arange(3, 600, 5)
    batches = list(read_batches(store, rows, batch_size=batch_size))
    assert order_of(batches) == list(range(len(rows)))
    assert {len(positions) for positions, _ in batches[:-1]} <= {batch_size}
    np.testing.assert_array_equal(np.concatenate([activations[:, 0, 0] for _, activations in batches]), rows % 251)


def test_no_rows_are_no_batches(tmp_path: Path) -> None:
    store = numbered_store(tmp_path / "a.zarr", 10)
    assert shuffled(store, np.arange(0)) == []
    assert list(read_batches(store, np.arange(0), batch_size=4)) == []


def test_the_seed_alone_makes_the_order(tmp_path: Path) -> None:
    store, rows = numbered_store(tmp_path / "a.zarr", 1100), np.arange(1100)
    first = order_of(shuffled(store, rows))
    assert first[:8] == [69, 905, 122, 184, 67, 678, 534, 384]
    assert order_of(shuffled(store, rows, num_workers=4)) == first
    assert order_of(shuffled(store, rows, seed=1)) != first


def test_each_epoch_has_its_own_order_and_draws_one_number(tmp_path: Path) -> None:
    """A checkpoint keeps the generator's state between two epochs: it must not depend on how far a thread has read."""
    store, rows = numbered_store(tmp_path / "a.zarr", 300), np.arange(300)
    generator, counting = np.random.default_rng(0), np.random.default_rng(0)
    epochs = [read_shuffled_batches(store, rows, batch_size=8, generator=generator) for _ in range(2)]
    counting.integers(1 << 63, size=2)
    assert generator.bit_generator.state == counting.bit_generator.state
    first, second = (order_of(list(epoch)) for epoch in epochs)
    assert first != second


def test_batches_are_mixed_even_where_the_store_is_sorted_by_class(tmp_path: Path) -> None:
    """Galaxy10 is sorted by class. A quarter of the rows are of class 0: so must be about a quarter of each batch."""
    num_rows = 8192
    store, rows = numbered_store(tmp_path / "a.zarr", num_rows), np.arange(num_rows)
    shares = [(positions < num_rows // 4).mean() for positions, _ in shuffled(store, rows, batch_size=64)]
    # A full shuffle has a standard deviation of 0.054; a chunk a batch, or none at all, has 0.43.
    assert np.std(shares) < 0.15
    assert abs(np.mean(shares[: len(shares) // 2]) - 0.25) < 0.1


def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path) -> None:
    layout = Layout((1, 1024), "float32", compressed=False)
    peaks = []
    for num_rows in (2048, 8192):
        store = numbered_store(tmp_path / f"{num_rows}.zarr", num_rows, layout)
        tracemalloc.start()
        for _ in read_shuffled_batches(store, np.arange(num_rows), batch_size=32, generator=np.random.default_rng(0)):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1] / layout.row_bytes)
        tracemalloc.stop()
    # The buffer, a batch in hand and those made in advance, and a few chunks.
    assert max(peaks) < 1024 + 5 * 32 + 4 * 64
    assert peaks[1] - peaks[0] < 128


def test_an_epoch_left_early_ends_its_threads(tmp_path: Path) -> None:
    store, before = numbered_store(tmp_path / "a.zarr", 1100), threading.active_count()
    batches = read_shuffled_batches(store, np.arange(1100), batch_size=8, generator=np.random.default_rng(0))
    next(batches)
    assert threading.active_count() > before
    del batches
    assert threading.active_count() == before


def test_a_row_that_is_not_finite_is_named_when_it_is_asked_for(tmp_path: Path) -> None:
    for layout, value in ((FEATURES, np.nan), (MAPS, np.inf), (MAPS, -np.inf)):
        store = numbered_store(tmp_path / f"{value}{layout.dtype}.zarr", 70, layout)
        array = zarr.open_array(store.path / "activations", mode="r+")
        array[65, ..., 1] = value
        with pytest.raises(InputError, match="row 65 is not finite; the store is damaged"):
            shuffled(store, np.arange(70))
        assert len(order_of(shuffled(store, np.delete(np.arange(70), 65)))) == 69


def test_the_largest_float16_is_finite(tmp_path: Path) -> None:
    store = numbered_store(tmp_path / "a.zarr", 3, MAPS)
    zarr.open_array(store.path / "activations", mode="r+")[:] = -65504
    assert shuffled(store, np.arange(3))[0][1].min() == -65504


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param("missing", "No such file", id="no-file"),
        pytest.param("empty", "the file is truncated", id="empty"),
        pytest.param("truncated", "the checksum of its index is wrong", id="truncated"),
        pytest.param("overwritten", "rows 64 to 127 cannot be read", id="a-chunk-of-other-bytes"),
    ],
)
def test_a_damaged_shard_is_refused(tmp_path: Path, damage: str, message: str) -> None:
    store = numbered_store(tmp_path / "a.zarr", 200, MAPS)
    shard = shard_path(store.path, 0, 5)
    content = shard.read_bytes()
    if damage == "missing":
        shard.unlink()
    elif damage == "overwritten":
        # The chunks stand one after the other, the second one in the middle.
        index = np.frombuffer(content[-(8 * 16 + 4) : -4], "<u8").reshape(8, 2)
        start, length = index[1].tolist()
        shard.write_bytes(content[:start] + b"\xff" * length + content[start + length :])
    else:
        shard.write_bytes({"empty": b"", "truncated": content[:-20]}[damage])
    with pytest.raises(InputError, match=message):
        shuffled(store, np.arange(200))


def test_a_chunk_that_was_never_written_is_refused(tmp_path: Path) -> None:
    array = create_store(tmp_path / "a.zarr", num_rows=128, layout=FEATURES, identity=toy_identity())
    array[:64] = 1
    store = Store(tmp_path / "a.zarr")
    assert len(order_of(shuffled(store, np.arange(64)))) == 64
    with pytest.raises(InputError, match=r"rows 64 to 127 cannot be read \(the chunk was never written\)"):
        shuffled(store, np.arange(128))


def test_a_store_of_another_layout_is_refused(tmp_path: Path) -> None:
    store = numbered_store(tmp_path / "a.zarr", 10)
    store.activations = zarr.create_array({}, shape=(10, 1, 4), chunks=(5, 1, 4), dtype="float32")
    with pytest.raises(InputError, match="expected are shards of plain or zstd-compressed chunks"):
        shuffled(store, np.arange(10))


@pytest.mark.parametrize("rows", [[1, 1], [2, 1], [-1, 3], [3, 10]], ids=["repeated", "descending", "negative", "too-many"])
def test_rows_that_do_not_ascend_within_the_store_are_refused(tmp_path: Path, rows: list[int]) -> None:
    store = numbered_store(tmp_path / "a.zarr", 10)
    with pytest.raises(ValueError, match="rows must ascend without repeats from 0 or more to less than 10"):
        read_batches(store, np.array(rows), batch_size=2)
