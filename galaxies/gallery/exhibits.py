"""What the gallery shows of galaxies before any head has said something of them: facts, pictures, neighbours, suspicions.

Legend: N rows of the catalog, B test rows, G galaxies on the page, J neighbours.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from galaxies.data.catalog import CatalogRows
from galaxies.data.catalog_images import CatalogImages
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.splits import SPLIT_NAMES, Splits
from galaxies.evaluation.label_errors import Suspect
from galaxies.features.neighbours import find_neighbours
from galaxies.gallery.thumbnails import choose_side, encode_thumbnails

NUM_NEIGHBOURS = 8
"""Shown of each galaxy."""

# As many as one looks through in a sitting; the suspects beyond are in the CSV.
_MAX_SUSPECTS = 200
# Together with the text they keep the page under 25 MB (2,000 simulated test galaxies: 14.6 MB, `benchmarks/gallery.py`).
_MAX_CHARS_SHOWN, _MAX_CHARS_NEIGHBOURS = 14_000_000, 6_000_000
_LARGEST_NEIGHBOUR_PX = 96
_DIGITS = 4
_NO_IMAGES = "These galaxies came as embeddings, without images, so there are no pictures of them to look at."


def collect_exhibits(
    images: CatalogImages,
    splits: Splits,
    *,
    features: NDArray[np.float32],
    suspects: Sequence[Suspect],
    facts: Mapping[str, str],
    num_workers: int,
) -> dict[str, Any]:
    """Return, as JSON values, the classes, the facts and each galaxy on the page in order of rows.

    On the page are the test galaxies, suspects, and the neighbours of both. Each has row, id, label (a class's index), split
    and thumbnail (WebP in base64), where known ra, dec (deg) and redshift, and where it is shown for itself its neighbours, as
    indices into this list, and what is suspected of its label. Without images there are none, and a ``reason``.

    Args:
        images: of the N rows, with positions and redshifts.
        splits: their labels and splits.
        features: of the labelled rows, standardised: what neighbours are near in.
        suspects: the most striking first; the first 200 are shown.
        facts: what stands below the page's title, by name.
        num_workers: threads that encode thumbnails.
    """
    if not images.galaxies.has_images:
        return {"classes": list(splits.classes), "facts": dict(facts), "galaxies": [], "reason": _NO_IMAGES}
    suspects = suspects[:_MAX_SUSPECTS]
    shown = np.union1d(splits.rows("test"), np.array([suspect.row for suspect in suspects], np.int64))
    labelled = splits.labelled
    places, group = np.searchsorted(labelled, shown), splits.group[labelled]
    neighbours = labelled[find_neighbours(features, places, group=group, num_neighbours=NUM_NEIGHBOURS)]
    rows = np.union1d(shown, neighbours)  # (G,)
    listed = images.catalog.take(rows)
    entries = describe_rows(rows, images.galaxies, listed, splits)
    for row, near in zip(np.searchsorted(rows, shown), np.searchsorted(rows, neighbours).tolist(), strict=True):
        entries[row]["neighbours"] = near
    for rank, suspect in enumerate(suspects):
        entries[np.searchsorted(rows, suspect.row)]["suspicion"] = _describe_suspect(suspect, rank)
    add_thumbnails(entries, images.galaxies, listed.galaxy, np.isin(rows, shown), num_workers)
    return {"classes": list(splits.classes), "facts": dict(facts), "galaxies": entries}


def describe_rows(rows: NDArray[np.int64], galaxies: GalaxyFile, listed: CatalogRows, splits: Splits) -> list[dict[str, Any]]:
    """Return what is known of each galaxy of ascending rows: what is unknown is left out."""
    entries = []
    columns = (rows, listed.galaxy, splits.targets[rows], splits.split[rows])
    for row, index, target, split, name in zip(*(column.tolist() for column in columns), listed.ids.to_pylist(), strict=True):
        entry = {"row": row, "id": name, "label": None if target < 0 else target, "split": SPLIT_NAMES[split]}
        numbers = {"ra": galaxies.ra[index], "dec": galaxies.dec[index], "redshift": galaxies.redshift[index]}
        entries.append(entry | {name: float(number) for name, number in numbers.items() if np.isfinite(number)})
    return entries


def _describe_suspect(suspect: Suspect, rank: int) -> dict[str, Any]:
    return {
        "rank": rank,
        "suggested": suspect.suggested,
        "confidence": round(suspect.confidence, _DIGITS),
        "labelConfidence": round(suspect.label_confidence, _DIGITS),
        "numAgreeing": suspect.num_agreeing,
        "numNeighbours": suspect.num_neighbours,
    }


def add_thumbnails(
    entries: Sequence[dict[str, Any]],
    galaxies: GalaxyFile,
    indices: NDArray[np.int64],
    is_shown: NDArray[np.bool_],
    num_workers: int,
) -> None:
    """Give each entry its picture: as large as fits of galaxies shown for themselves, a small one of mere neighbours."""
    large = choose_side(galaxies, indices[is_shown], max_chars=_MAX_CHARS_SHOWN)
    small = choose_side(galaxies, indices[~is_shown], max_chars=_MAX_CHARS_NEIGHBOURS)
    sides = np.where(is_shown, large, min(small, large, _LARGEST_NEIGHBOUR_PX))
    thumbnails = encode_thumbnails(galaxies, indices, sides, num_workers=num_workers)
    for entry, thumbnail in zip(entries, tqdm(thumbnails, "thumbnails", len(indices), unit="galaxy", delay=2), strict=True):
        entry["thumbnail"] = thumbnail
