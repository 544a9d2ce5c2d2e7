"""A page with all galaxies as points in two dimensions: coloured by class, confidence or novelty; a click shows the galaxy.

Like the gallery it is one file that asks for nothing from the network. Columns go into it as base64 of little-endian numbers:
100,000 galaxies take 5 MB, and are read in a tenth of a second. Pictures take what is left of 25 MB: of all galaxies where they
fit, else of some, spread evenly over the plane. Legend: N rows of the catalog, P of them with a picture, K classes.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.splits import SPLIT_NAMES
from galaxies.features.survey import Survey
from galaxies.files import write_text
from galaxies.gallery.page import fill_template
from galaxies.gallery.thumbnails import choose_side, encode_thumbnails
from galaxies.heads.class_meaning import ClassMeaning
from galaxies.heads.head import TrainedHead
from galaxies.heads.inference import map_rows

PROJECTION_SCRIPTS = ("points.js", "plane.js", "projection.js")

_MAX_CHARS = 15_000_000
_LARGEST_PX, _SMALLEST_PX = 128, 48
_CHARS_OF_SMALLEST = 1_000  # of a picture of 48 px, rather more than it has
_PLANE = 65_535  # Places are whole numbers up to here, a twentieth of a pixel on the screen.
_NUM_CELLS = 96  # along a side, to spread the pictures


@dataclass(frozen=True)
class Answers:
    """What a head says of all galaxies."""

    novelty: NDArray[np.float32]  # (N,) relative to the threshold: above 1 unlike those of training
    probabilities: NDArray[np.float32] | None  # (N, K); None of a head that tells no classes


def ask_head(trained: TrainedHead, survey: Survey) -> Answers:
    """Ask a head about every row of the store that it was trained on; no forward pass."""
    rows, is_of_classes = np.arange(len(survey.catalog)), isinstance(trained.meaning, ClassMeaning)
    width = 1 + (trained.meaning.num_outputs if is_of_classes else 0)
    answers = map_rows(partial(_ask, trained, is_of_classes), survey.store, rows, width=width).numpy()
    threshold = max(trained.novelty.threshold, np.finfo(np.float32).tiny)
    return Answers(answers[:, 0] / threshold, answers[:, 1:] if is_of_classes else None)


def _ask(trained: TrainedHead, is_of_classes: bool, activations: Tensor) -> Tensor:
    features = trained.features(activations)
    novelty = trained.novelty.score(features)[:, None]
    return torch.cat([novelty, trained.classify(features)], 1).float() if is_of_classes else novelty.float()


@dataclass(frozen=True)
class Projection:
    """Where the galaxies lie in the plane, and by which method."""

    places: NDArray[np.float32]  # (N, 2)
    method: str


def write_projection_page(
    path: Path, survey: Survey, galaxies: GalaxyFile, projection: Projection, answers: Answers, *, num_workers: int
) -> None:
    """Write the page.

    Args:
        path: of the page.
        survey: all galaxies, with labels and splits.
        galaxies: their positions, and pictures where the file has any.
        projection: of the rows.
        answers: of a head.
        num_workers: threads that encode pictures.
    """
    listed = survey.catalog.read(0, len(survey.catalog))
    plane = scale_places(projection.places)
    chars, thumbnails = _encode_pictures(galaxies, listed.galaxy, plane, num_workers)
    columns: dict[str, NDArray[Any]] = {
        "x": plane[:, 0],
        "y": plane[:, 1],
        "label": survey.splits.targets.astype("<i2"),
        "split": survey.splits.split,
        "novelty": np.clip(answers.novelty * 1000, 0, _PLANE).astype("<u2"),  # thousandths
        "ra": galaxies.ra[listed.galaxy].astype("<f4"),
        "dec": galaxies.dec[listed.galaxy].astype("<f4"),
        "chars": chars,
    }
    if answers.probabilities is not None:
        columns["predicted"] = answers.probabilities.argmax(axis=1).astype("<i2")
        columns["confidence"] = np.rint(answers.probabilities.max(axis=1) * 1000).astype("<u2")
    content = {
        "facts": _say_facts(len(plane), survey.store.identity.layer, projection.method),
        "classes": list(survey.splits.classes),
        "splits": list(SPLIT_NAMES),
        "ids": listed.ids.to_pylist(),
        "columns": {name: _to_base64(column) for name, column in columns.items()},
    }
    write_text(path, fill_template("projection.html", "projection.css", PROJECTION_SCRIPTS, content, thumbnails))


def scale_places(places: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return places in a square of 65,535 steps, (N, 2) little-endian uint16, by one scale for both axes."""
    if not len(places):
        return np.empty((0, 2), "<u2")
    low, high = places.min(axis=0), places.max(axis=0)
    span = max(float((high - low).max()), np.finfo(np.float32).tiny)
    centred = (places - (low + high) / 2) / span + 0.5
    scaled: NDArray[np.uint16] = np.rint(np.clip(centred, 0, 1) * _PLANE).astype("<u2")
    return scaled


def choose_pictured(plane: NDArray[np.uint16], number: int, *, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return ``number`` rows, ascending, spread over the plane: of every cell about as many, while it has any.

    Args:
        plane: places, (N, 2), as :func:`scale_places` gives them.
        number: of rows; all where there are not as many.
        generator: draws which galaxies of a cell.
    """
    cell = (plane.astype(np.int64) * _NUM_CELLS // (_PLANE + 1)) @ np.array([_NUM_CELLS, 1])
    order = generator.permutation(len(plane))
    order = order[np.argsort(cell[order], kind="stable")]
    _, first, counts = np.unique(cell[order], return_index=True, return_counts=True)
    turn = np.arange(len(order)) - np.repeat(first, counts)  # 0 for the first of its cell, 1 for the second, ...
    return np.sort(order[np.argsort(turn, kind="stable")[:number]])


def _encode_pictures(
    galaxies: GalaxyFile, indices: NDArray[np.int64], plane: NDArray[np.uint16], num_workers: int
) -> tuple[NDArray[np.uint32], str]:
    """Return how many characters each galaxy's picture has, (N,), 0 for none, and all pictures as one text."""
    chars = np.zeros(len(indices), "<u4")
    if not galaxies.has_images:
        return chars, ""
    pictured = choose_pictured(plane, _MAX_CHARS // _CHARS_OF_SMALLEST, generator=np.random.default_rng(0))
    side = min(_LARGEST_PX, max(_SMALLEST_PX, choose_side(galaxies, indices[pictured], max_chars=_MAX_CHARS)))
    sides = np.full(len(pictured), side)
    texts = encode_thumbnails(galaxies, indices[pictured], sides, num_workers=num_workers)
    thumbnails = list(tqdm(texts, "pictures", len(pictured), unit="galaxy", delay=2))
    chars[pictured] = [len(text) for text in thumbnails]
    return chars, "".join(thumbnails)


def _say_facts(num_galaxies: int, layer: str, method: str) -> str:
    names: Mapping[str, str] = {"tsne": "t-SNE", "pca": "principal components", "pacmap": "PaCMAP"}
    return f"{num_galaxies:,} galaxies by their features of {layer}, {names[method]}: near each other is alike to the network"


def _to_base64(column: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(column).tobytes()).decode("ascii")
