"""Which galaxies look alike to the backbone: nearest neighbours among standardised features.

Legend: N rows of the catalog, C channels, B rows asked about, J neighbours of each.
"""

import numpy as np
from numpy.typing import NDArray
from tqdm import trange

from galaxies.errors import InputError
from galaxies.features.store import Store

# 256 rows against 17,736 are 18 MB of distances.
_BLOCK_ROWS = 256
# A feature that varies less than this, relative to its size, is constant up to rounding.
_SMALLEST_STD = 1e-6


def read_standardised(store: Store) -> NDArray[np.float32]:
    """Return a feature vector a row of the store, (N, C) float32, each feature with mean 0 and standard deviation 1.

    Views and positions are averaged first, so that every store can be asked. A constant feature is 0. Raises InputError when a
    row is not finite.
    """
    return standardise(read_averaged(store, num_views=store.num_views))


def read_averaged(store: Store, *, num_views: int) -> NDArray[np.float32]:
    """Return the mean over the first views and all positions (of maps or tokens) of each row, (N, C) float32.

    Memory grows by the result alone, not by the maps. Raises InputError when a row is not finite.
    """
    array = store.activations
    num_rows = array.shape[0]
    # Channels stand last in pooled features (N, V, C) and tokens (N, V, T, C), third in maps (N, V, C, H, W).
    channel_axis = 2 if array.ndim == 5 else array.ndim - 1
    averaged = tuple(axis for axis in range(1, array.ndim) if axis != channel_axis)
    features = np.empty((num_rows, array.shape[channel_axis]), np.float32)
    block_rows = (array.shards or array.chunks)[0]
    for start in trange(0, num_rows, block_rows, desc="read features", unit="shard", delay=2):
        block = np.asarray(array[start : start + block_rows])[:, :num_views]
        features[start : start + block_rows] = block.mean(axis=averaged, dtype=np.float32)
    broken = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(broken):
        raise InputError(f"{store.path}: row {broken[0]} is not finite; the store is damaged. Delete it and run `dvc repro`.")
    return features


def standardise(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return features (N, C) with mean 0 and standard deviation 1 over the rows; a constant feature becomes 0."""
    mean = features.mean(axis=0)
    centred = features - mean
    std = np.sqrt(np.square(centred).mean(axis=0))
    constant = std <= _SMALLEST_STD * np.maximum(np.abs(mean), 1)
    result: NDArray[np.float32] = centred / np.where(constant, np.inf, std).astype(np.float32)
    return result


def find_neighbours(
    features: NDArray[np.float32], rows: NDArray[np.int64], *, group: NDArray[np.int64], num_neighbours: int
) -> NDArray[np.int64]:
    """Return the nearest rows of some rows by Euclidean distance, nearest first; of equal distances the smaller row.

    Rows of the galaxy's own sky group do not count: what overlaps it on the sky is alike for no reason of its own.

    Args:
        features: (N, C), as `read_standardised` gives.
        rows: to ask about, (B,).
        group: sky group of every row, (N,).
        num_neighbours: J; fewer come back where there are fewer rows outside the largest group.

    Returns:
        (B, J) rows.
    """
    num_neighbours = min(num_neighbours, len(features) - int(np.bincount(group).max(initial=0)))
    squares = np.square(features).sum(axis=1)
    neighbours = np.empty((len(rows), num_neighbours), np.int64)
    for start in trange(0, len(rows), _BLOCK_ROWS, desc="find neighbours", unit="block", delay=2):
        block = rows[start : start + _BLOCK_ROWS]
        # What is left out, the square of the row itself, changes no order.
        distances = squares - 2 * (features[block] @ features.T)  # (B, N)
        distances[group[block][:, None] == group] = np.inf
        neighbours[start : start + _BLOCK_ROWS] = _smallest(distances, num_neighbours)
    return neighbours


def _smallest(distances: NDArray[np.float32], number: int) -> NDArray[np.int64]:
    """Return the columns of the smallest ``number`` distances of each row, (B, J), in ascending order."""
    if number == 0:
        return np.empty((len(distances), 0), np.int64)
    # Everything up to the last distance that can count, so that ties are decided by the column and not by the partition.
    last = np.partition(distances, number - 1, axis=1)[:, number - 1]
    columns = np.empty((len(distances), number), np.int64)
    for index, (row, limit) in enumerate(zip(distances, last, strict=True)):
        candidates = np.flatnonzero(row <= limit)
        columns[index] = candidates[np.argsort(row[candidates], kind="stable")[:number]]
    return columns
