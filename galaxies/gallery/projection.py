"""A page with all galaxies as points in two dimensions: coloured by class, confidence or novelty; a click shows the galaxy.

Like the gallery it is one file that asks for nothing from the network. Columns go into it as base64 of little-endian numbers:
100,000 galaxies take 5 MB, and are read in a tenth of a second. The pictures are there already: a new head encodes none anew.
Legend: N rows of the catalog, K classes.
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

from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.splits import SPLIT_NAMES
from galaxies.features.survey import Survey
from galaxies.files import write_text
from galaxies.gallery.page import fill_template
from galaxies.gallery.projection_pictures import PLANE, scale_places
from galaxies.heads.class_meaning import ClassMeaning
from galaxies.heads.head import TrainedHead
from galaxies.heads.inference import map_rows

PROJECTION_SCRIPTS = ("points.js", "plane.js", "projection.js")


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
    """Where the galaxies lie in the plane, by which method, and what they look like."""

    places: NDArray[np.float32]  # (N, 2)
    method: str
    chars: NDArray[np.uint32]  # (N,) how many characters each galaxy's picture has, 0 for none
    pictures: str  # of all galaxies, one after the other


def write_projection_page(path: Path, survey: Survey, galaxies: GalaxyFile, projection: Projection, answers: Answers) -> None:
    """Write the page.

    Args:
        path: of the page.
        survey: all galaxies, with labels and splits.
        galaxies: their positions.
        projection: of the rows.
        answers: of a head.
    """
    listed = survey.catalog.read(0, len(survey.catalog))
    plane = scale_places(projection.places)
    columns: dict[str, NDArray[Any]] = {
        "x": plane[:, 0],
        "y": plane[:, 1],
        "label": survey.splits.targets.astype("<i2"),
        "split": survey.splits.split,
        "novelty": np.clip(answers.novelty * 1000, 0, PLANE).astype("<u2"),  # thousandths
        "ra": galaxies.ra[listed.galaxy].astype("<f4"),
        "dec": galaxies.dec[listed.galaxy].astype("<f4"),
        "chars": projection.chars,
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
    write_text(path, fill_template("projection.html", "projection.css", PROJECTION_SCRIPTS, content, projection.pictures))


def _say_facts(num_galaxies: int, layer: str, method: str) -> str:
    names: Mapping[str, str] = {"tsne": "t-SNE", "pca": "principal components", "pacmap": "PaCMAP"}
    return f"{num_galaxies:,} galaxies by their features of {layer}, {names[method]}: near each other is alike to the network"


def _to_base64(column: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(column).tobytes()).decode("ascii")
