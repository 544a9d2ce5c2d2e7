"""A shard that is encoded here is, to the byte, the one that zarr-python writes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from galaxies.features.shard_encoder import encode_shard
from galaxies.features.store import Layout, create_store, shard_path
from tests.toys import toy_identity

SHAPES = {
    "features": ((1, 3000), "float32", False),
    "maps": ((2, 64, 32, 32), "float16", True),
    "images": ((1, 3, 9, 9), "uint8", True),
}


def sparse_rows(num_rows: int, row_shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Return rows of which half the numbers, and the whole first row, are 0."""
    rows = np.maximum(np.random.default_rng(0).normal(size=(num_rows, *row_shape)), 0) * 100
    rows[0] = 0
    return rows.astype(dtype)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("extra_rows", [-1, 0, 1], ids=["a row less", "whole", "a row more"])
def test_a_shard_has_the_bytes_that_zarr_writes(tmp_path: Path, kind: str, extra_rows: int) -> None:
    row_shape, dtype, compressed = SHAPES[kind]
    layout = Layout(row_shape, dtype, compressed=compressed)
    rows = sparse_rows(layout.shard_rows + extra_rows, row_shape, dtype)
    array = create_store(tmp_path / "a.zarr", num_rows=len(rows), layout=layout, identity=toy_identity())
    array[:] = rows
    for number, start in enumerate(range(0, len(rows), layout.shard_rows)):
        shard = encode_shard(
            rows[start : start + layout.shard_rows],
            chunk_rows=layout.chunk_rows,
            num_chunks=layout.shard_rows // layout.chunk_rows,
            compressed=compressed,
        )
        assert b"".join(shard) == shard_path(tmp_path / "a.zarr", number, array.ndim).read_bytes()
