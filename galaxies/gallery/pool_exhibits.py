"""What the gallery shows of the pool: the galaxies of a short list, with what a head says of them and what looks like them.

Legend: B galaxies of the short list, K classes, G galaxies on the page, C features.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galaxies.data.catalog_images import CatalogImages
from galaxies.data.splits import NEARNESS, Splits
from galaxies.features.neighbours import find_neighbours_of, read_averaged
from galaxies.features.standardisation import measure_features
from galaxies.features.store import Store
from galaxies.gallery.exhibits import NUM_NEIGHBOURS, add_thumbnails, describe_rows

_DIGITS = 4


def collect_pool_exhibits(
    images: CatalogImages,
    splits: Splits,
    store: Store,
    *,
    lists: Mapping[str, Sequence[int]],
    answers: Mapping[int, tuple[NDArray[np.float64], float, bool]],
    num_workers: int,
) -> dict[str, Any]:
    """Return, as JSON values, the galaxies of the pool on the page and the labelled ones that look like them.

    Each is described as `galaxies.gallery.exhibits` does it. Those of the short list also have probabilities, novelty, isNovel,
    what they are to a labelled galaxy (near), and the lists they stand in with their place there; their neighbours are
    labelled galaxies, as places in the list of all. Pictures are made of these alone, however large the pool is; where galaxies
    have no images nothing is shown.

    Args:
        images: of all rows, with positions and redshifts.
        splits: their labels and splits.
        store: their activations: what neighbours are near in.
        lists: rows of the pool by the name of a list, in order.
        answers: by row, the probabilities (K,), the novelty and whether it is novel.
        num_workers: threads that encode thumbnails.
    """
    num_pool = len(splits.rows("pool"))
    if not images.galaxies.has_images:
        return {"pool": num_pool, "galaxies": []}
    shown = np.unique(np.array([row for rows in lists.values() for row in rows], np.int64))  # (B,)
    neighbours = _find_labelled_neighbours(store, splits, shown)
    rows = np.union1d(shown, neighbours)  # (G,)
    listed = images.catalog.take(rows)
    entries = describe_rows(rows, images.galaxies, listed, splits)
    places = np.searchsorted(rows, shown)
    for place, row, near in zip(places.tolist(), shown.tolist(), np.searchsorted(rows, neighbours).tolist(), strict=True):
        probabilities, novelty, is_novel = answers[row]
        entries[place] |= {
            "probabilities": [round(float(number), _DIGITS) for number in probabilities],
            "novelty": round(novelty, _DIGITS),
            "isNovel": is_novel,
            "near": NEARNESS[splits.near[row]],
            "neighbours": near,
            "lists": {},
        }
    for name, members in lists.items():
        for rank, place in enumerate(np.searchsorted(rows, np.array(members, np.int64)).tolist()):
            entries[place]["lists"][name] = rank
    add_thumbnails(entries, images.galaxies, listed.galaxy, np.isin(rows, shown), num_workers)
    return {"pool": num_pool, "galaxies": entries}


def _find_labelled_neighbours(store: Store, splits: Splits, shown: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the nearest labelled rows of some rows of the pool, (B, J)."""
    if not len(shown):
        return np.empty((0, 0), np.int64)
    labelled = splits.labelled
    known = read_averaged(store, labelled, num_views=store.num_views)
    asked = read_averaged(store, shown, num_views=store.num_views)
    mean, std = measure_features([known])
    found = find_neighbours_of(
        (asked - mean) / std,
        splits.group[shown],
        (known - mean) / std,
        group=splits.group[labelled],
        num_neighbours=NUM_NEIGHBOURS,
    )
    return labelled[found]
