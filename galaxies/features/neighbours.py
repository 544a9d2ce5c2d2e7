"""Which galaxies look alike to the backbone: nearest neighbours among standardised features.

Of our own, because scikit-learn's ``NearestNeighbors`` puts equal distances in no certain order, and to leave out a galaxy's
sky group it would have to find as many more neighbours as the largest group has galaxies.

Legend: N rows of the catalog, C channels, B rows asked about, J neighbours of each.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm, trange

from galaxies.features.reader import Batch, read_batches
from galaxies.features.standardisation import standardise
from galaxies.features.store import Store

# 256 rows against 17,736 are 18 MB of distances.
_BLOCK_ROWS = 256


def read_standardised(store: Store, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the feature vectors of some rows of the store, (B, C) float32, each feature with mean 0 and standard deviation 1.

    Views and positions are averaged first, so that every store can be asked. A constant feature is 0. Raises InputError when a
    row is not finite.
    """
    return standardise(read_averaged(store, rows, num_views=store.num_views))


def read_averaged(store: Store, rows: NDArray[np.int64], *, num_views: int) -> NDArray[np.float32]:
    """Return the mean over the first views and all positions (of maps or tokens) of some rows, (B, C) float32.

    Memory grows by the result alone, not by the maps. Raises InputError when a row is not finite.
    """
    features = np.empty((len(rows), store.activations.shape[_channel_axis(store)]), np.float32)
    with tqdm(total=len(rows), desc="read features", unit="galaxy", delay=2) as progress:
        for places, averaged in average_batches(store, rows, num_views=num_views):
            features[places] = averaged
            progress.update(len(places))
    return features


def average_batches(store: Store, rows: NDArray[np.int64], *, num_views: int) -> Iterator[Batch]:
    """Yield what :func:`read_averaged` returns batch by batch: places in ``rows``, (B,), and features, (B, C) float32."""
    axes = tuple(axis for axis in range(1, store.activations.ndim) if axis != _channel_axis(store))
    for places, activations in read_batches(store, rows, batch_size=_BLOCK_ROWS):
        yield places, activations[:, :num_views].mean(axis=axes, dtype=np.float32)


def _channel_axis(store: Store) -> int:
    """Channels stand last in pooled features (N, V, C) and tokens (N, V, T, C), third in maps (N, V, C, H, W)."""
    return 2 if store.activations.ndim == 5 else store.activations.ndim - 1


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
    return find_neighbours_of(features[rows], group[rows], features, group=group, num_neighbours=num_neighbours)


def find_neighbours_of(
    queries: NDArray[np.float32],
    query_group: NDArray[np.int64],
    features: NDArray[np.float32],
    *,
    group: NDArray[np.int64],
    num_neighbours: int,
) -> NDArray[np.int64]:
    """Return the nearest rows of galaxies that need not be among them, as :func:`find_neighbours` does.

    Args:
        queries: features of the galaxies to ask about, (B, C), standardised as ``features`` were.
        query_group: their sky groups, (B,).
        features: among which to look, (N, C).
        group: sky group of each of these, (N,).
        num_neighbours: J.

    Returns:
        (B, J) rows of ``features``.
    """
    num_neighbours = min(num_neighbours, len(features) - int(np.bincount(group).max(initial=0)))
    squares = np.square(features).sum(axis=1)
    neighbours = np.empty((len(queries), num_neighbours), np.int64)
    for start in trange(0, len(queries), _BLOCK_ROWS, desc="find neighbours", unit="block", delay=2):
        block = slice(start, start + _BLOCK_ROWS)
        # What is left out, the square of the galaxy itself, changes no order.
        distances = squares - 2 * (queries[block] @ features.T)  # (B, N)
        distances[query_group[block][:, None] == group] = np.inf
        neighbours[block] = _smallest(distances, num_neighbours)
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
