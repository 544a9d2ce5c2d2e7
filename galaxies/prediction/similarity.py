"""The galaxies of the catalogue that look most like an image to the network: nearest in the features that the head sees.

Legend: N rows of the catalogue, C features, S image size in pixels.
"""

import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from galaxies.data.bands import to_pictures
from galaxies.data.catalog import Catalog
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.galaxy_schema import UNLABELLED
from galaxies.errors import InputError
from galaxies.evaluation.contact_sheet import FAINT, INK, Tile, draw_sheet, save_sheet
from galaxies.features.survey import open_survey
from galaxies.heads.inference import map_rows
from galaxies.paths import GALAXIES
from galaxies.prediction.model import Model
from galaxies.sources.decoding import decode
from galaxies.sources.image_reader import ReadOptions
from galaxies.sources.inputs import list_inputs

_logger = logging.getLogger(__name__)

_COLUMNS = 6


@dataclass(frozen=True)
class SimilarGalaxy:
    """One galaxy of the catalogue."""

    distance: float  # in standardised features, a feature: galaxies drawn by chance are about 1.4 apart
    row: int  # of the catalogue
    id: str
    class_name: str
    ra: float  # deg, NaN where unknown
    dec: float  # deg
    image: NDArray[np.uint8]  # (S, S, 3)


def find_similar(source: str, model: Model, *, folder: Path, number: int) -> tuple[NDArray[np.uint8], list[SimilarGalaxy]]:
    """Return the image in ``source`` as the backbone sees it, and the most similar galaxies, nearest first.

    What was assumed or done to the image is logged.

    Args:
        source: an image or FITS file.
        model: whose features are compared.
        folder: the repository, with data/ and features/ as the pipeline writes them.
        number: of galaxies to return; fewer where the catalogue has fewer.

    Raises:
        InputError: the image cannot be read, or the features are missing or of another identity than the head's.
    """
    if Path(source).is_dir():
        raise InputError(f"{source} is a folder; give one image in it.")
    field = model.trained.field
    asked = list(itertools.islice(list_inputs(source, bands=field.channels.names_of_files), 1))
    (decoded,) = decode(asked, field, ReadOptions(bands=model.trained.bands))
    if decoded.image is None:
        raise InputError(f"{source}: {decoded.error}.")
    for note in decoded.notes:
        _logger.warning("%s: %s", source, note)
    trained = model.trained
    survey = open_survey(trained.identity.layer, trained.identity, folder=folder)
    rows, width = np.arange(len(survey.catalog)), trained.head.num_features
    features = map_rows(trained.features, survey.store, rows, width=width, device=model.device)
    distances = _measure_distances(features, model, decoded.image)
    nearest = np.argsort(distances, kind="stable")[:number]
    with GalaxyFile(folder / GALAXIES) as galaxies:
        found = list(_describe(galaxies, survey.catalog, nearest, distances[nearest]))
    return to_pictures(decoded.image[None], trained.bands)[0], found


def _describe(
    galaxies: GalaxyFile, catalog: Catalog, rows: NDArray[np.int64], distances: NDArray[np.float64]
) -> Iterator[SimilarGalaxy]:
    """Yield what is known of the galaxies in some rows, whose distances are given."""
    listed = catalog.take(rows)
    columns = (distances.tolist(), rows.tolist(), listed.ids.to_pylist(), listed.galaxy.tolist())
    for distance, row, name, index in zip(*columns, strict=True):
        label = int(galaxies.labels[index])
        class_name = "no label" if label == UNLABELLED else galaxies.class_names[label]
        (image,) = galaxies.read_pictures(np.array([index]))
        yield SimilarGalaxy(distance, row, name, class_name, float(galaxies.ra[index]), float(galaxies.dec[index]), image)


@torch.inference_mode()
def _measure_distances(features: torch.Tensor, model: Model, image: NDArray[Any]) -> NDArray[np.float64]:
    """Return the distance of each row's features (N, C) from those of an image, (N,)."""
    head = model.trained.head
    difference = head.standardise(features.to(model.device)) - head.standardise(model.compute_features([image]))
    distances: NDArray[np.float64] = difference.double().square().mean(dim=1).sqrt().cpu().numpy()
    return distances


def format_similar(similar: Sequence[SimilarGalaxy]) -> Iterator[str]:
    """Yield a line for each, the most similar first."""
    for galaxy in similar:
        yield f"{galaxy.distance:6.3f}  row {galaxy.row:<6} {galaxy.id:<12} {galaxy.class_name}"


def draw_similar(path: Path, image: NDArray[np.uint8], similar: Sequence[SimilarGalaxy], *, title: str) -> None:
    """Draw a PNG: the image, then the galaxies like it, with class, id and distance below each."""
    captions = [("asked about", ""), *((galaxy.class_name, f"{galaxy.id}   {galaxy.distance:.2f}") for galaxy in similar)]
    images = [image, *(galaxy.image for galaxy in similar)]
    tiles = [Tile(picture, ((name, INK), (detail, FAINT))) for picture, (name, detail) in zip(images, captions, strict=True)]
    figure, _ = draw_sheet(tiles, columns=_COLUMNS, title=title, key="below each galaxy: its class, its id and its distance")
    save_sheet(path, figure)
