"""A small gallery whose every number is known, with ids and class names that try to break out of the page."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galaxies.data.catalog import Catalog
from galaxies.data.catalog_images import CatalogImages
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.galaxy_writer import GalaxyBlock, write_galaxies
from galaxies.data.splits import Splits
from galaxies.evaluation.label_errors import Suspect
from galaxies.features.standardisation import standardise
from galaxies.gallery.exhibits import collect_exhibits
from galaxies.gallery.page import write_gallery
from tests.toys import open_rows, toy_images, toy_rows, toy_splits

CLASS_NAMES = ("Ring", "</script><script>window.broken = 1</script>", '{{script}} "a", b')
NUM_GALAXIES = 150  # more cards than are made at once

LABELS = np.arange(NUM_GALAXIES) * 3 // NUM_GALAXIES
IS_TEST = np.arange(NUM_GALAXIES) % 2 == 1
TEST = np.flatnonzero(IS_TEST)
IDS = tuple(
    {0: '<img src=x onerror="window.broken = 1">', 2: "0007", 4: 'a,"b"\n\u2028c'}.get(row, f"galaxy {row}")
    for row in range(NUM_GALAXIES)
)
SUSPECTS = [Suspect(row, (int(LABELS[row]) + 1) % 3, 0.9 - row / 1000, 0.05, 7, 10) for row in (2, 0, 4, 51)]


def predict() -> NDArray[np.float64]:
    """Return probabilities of the test rows, (B, 3): every fifth is wrong, and each a little more confident than the last."""
    probabilities = np.empty((len(TEST), 3))
    for position, row in enumerate(TEST):
        confidence = 0.45 + 0.5 * position / len(TEST)
        first = (LABELS[row] + (position % 5 == 0)) % 3
        probabilities[position] = (1 - confidence) * 0.25
        probabilities[position, first] = confidence
        probabilities[position, (first + 1) % 3] = (1 - confidence) * 0.75
    return probabilities


def make_tables() -> tuple[Catalog, Splits]:
    """Return the catalog and its splits: every second row is a test galaxy."""
    catalog = open_rows(toy_rows([bytes(32)] * NUM_GALAXIES, ids=IDS))
    return catalog, toy_splits(LABELS, np.where(IS_TEST, "test", "train"), names=CLASS_NAMES)


def make_pool(labelled: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what `galaxies.gallery.pool_exhibits` would of four galaxies without a label, and of two that look like them.

    One of these two stands on the page already; a galaxy of the pool in row 200 + n.
    """
    known = {name: labelled[7][name] for name in ("row", "id", "label", "split", "thumbnail")}
    pool: list[dict[str, Any]] = [known, {**known, "row": 199, "id": "train galaxy", "split": "train"}]
    for number, probabilities in enumerate(([0.4, 0.35, 0.25], [0.1, 0.1, 0.8], [0.9, 0.05, 0.05], [0.2, 0.5, 0.3])):
        pool.append(
            {
                **{"row": 200 + number, "id": f'pool "{number}", <i>', "label": None, "split": "pool"},
                **{
                    "probabilities": probabilities,
                    "novelty": 1.0 + number,
                    "isNovel": number == 3,
                    "near": "twin" if number == 1 else "",
                },
                **{"neighbours": [0, 1], "thumbnail": labelled[number]["thumbnail"]},
                "lists": {"unsure": number, "novel": 3 - number} | ({"confident": number} if number in (1, 2) else {}),
            }
        )
    return {"pool": 12345, "galaxies": pool}


def make_gallery(folder: Path) -> Path:
    """Write the page; row n lies between rows n - 1 and n + 1 in feature space, and where n % 4 is 1 at ra = n deg."""
    rows = np.arange(NUM_GALAXIES)
    known = np.where(rows % 4 == 1, rows, np.nan)
    block = GalaxyBlock(toy_images(NUM_GALAXIES), LABELS.astype(np.uint8), known, -known / 10, rows / 1000, known, IDS)
    path = folder / "galaxies.h5"
    write_galaxies(path, [block], num_galaxies=NUM_GALAXIES, image_size=32, class_names=CLASS_NAMES)
    catalog, splits = make_tables()
    page = folder / "report.html"
    with GalaxyFile(path) as galaxies:
        exhibits = collect_exhibits(
            CatalogImages(galaxies, catalog),
            splits,
            features=standardise(rows[:, None].astype(np.float32)),
            suspects=SUSPECTS,
            facts={"backbone": "<b>toy</b>"},
            num_workers=1,
        )
    write_gallery(page, json.loads(json.dumps(exhibits)), predict().tolist(), make_pool(exhibits["galaxies"]))
    return page
