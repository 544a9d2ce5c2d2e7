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
from matplotlib.figure import Figure
from numpy.typing import NDArray

from galaxies.data.galaxy_file import GalaxyFile
from galaxies.errors import InputError
from galaxies.evaluation.plots import BACKGROUND, FAINT, INK
from galaxies.features.survey import open_survey
from galaxies.files import replacing
from galaxies.heads.inference import read_features
from galaxies.paths import GALAXIES
from galaxies.prediction.model import Model
from galaxies.sources.decoding import decode
from galaxies.sources.inputs import list_inputs

_logger = logging.getLogger(__name__)

_DPI = 100
_TILE, _CAPTION, _HEADER = 2.0, 0.55, 0.55  # inches: the side of a galaxy, its caption, the title


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
    (decoded,) = decode(list(itertools.islice(list_inputs(source), 1)), model.trained.field)
    if decoded.image is None:
        raise InputError(f"{source}: {decoded.error}.")
    for note in decoded.notes:
        _logger.warning("%s: %s", source, note)
    survey = open_survey(model.trained.identity.layer, model.trained.identity, folder=folder)
    features = read_features(model.trained, survey.store, np.arange(len(survey.catalog)), device=model.device)
    distances = _measure_distances(features, model, decoded.image)
    nearest = np.argsort(distances, kind="stable")[:number]
    with GalaxyFile(folder / GALAXIES) as galaxies:
        listed = survey.catalog.take(nearest)
        found = [
            SimilarGalaxy(
                float(distances[row]),
                row,
                name,
                galaxies.class_names[int(galaxies.labels[galaxy])],
                float(galaxies.ra[galaxy]),
                float(galaxies.dec[galaxy]),
                galaxies.read_images(np.array([galaxy]))[0],
            )
            for row, galaxy, name in zip(nearest.tolist(), listed.galaxy.tolist(), listed.ids.to_pylist(), strict=True)
        ]
    return decoded.image, found


@torch.inference_mode()
def _measure_distances(features: torch.Tensor, model: Model, image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the distance of each row's features (N, C) from those of an image, (N,)."""
    head = model.trained.head
    difference = head.standardise(features.to(model.device)) - head.standardise(model.compute_features([image]))
    distances: NDArray[np.float64] = difference.double().square().mean(dim=1).sqrt().cpu().numpy()
    return distances


def format_similar(similar: Sequence[SimilarGalaxy]) -> Iterator[str]:
    """Yield a line for each, the most similar first."""
    for galaxy in similar:
        yield f"{galaxy.distance:6.3f}  row {galaxy.row:<6} {galaxy.id:<12} {galaxy.class_name}"


def draw_similar(
    path: Path, image: NDArray[np.uint8], similar: Sequence[SimilarGalaxy], *, title: str, columns: int = 6
) -> None:
    """Draw a PNG: the image, then the galaxies like it, with class, id and distance below each."""
    captions = [("asked about", ""), *((g.class_name, f"{g.id}   {g.distance:.2f}") for g in similar)]
    images = [image, *(galaxy.image for galaxy in similar)]
    num_rows = -(-len(images) // columns)
    width, height = columns * _TILE, _HEADER + num_rows * (_TILE + _CAPTION)
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor=BACKGROUND)
    text: dict[str, Any] = {"ha": "center", "va": "center", "family": "DejaVu Sans"}
    figure.text(0.5, 1 - 0.5 * _HEADER / height, title, color=INK, fontsize=14, parse_math=False, **text)
    for index, (picture, lines) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(index, columns)
        bottom = height - _HEADER - (row + 1) * (_TILE + _CAPTION) + _CAPTION
        axes = figure.add_axes(((column + 0.03) / columns, bottom / height, 0.94 / columns, 0.94 * _TILE / height))
        axes.imshow(picture, interpolation="lanczos")
        axes.set_xticks([])
        axes.set_yticks([])
        for number, (line, colour) in enumerate(zip(lines, (INK, FAINT), strict=True)):
            place = ((column + 0.5) / columns, (bottom - 0.14 - 0.2 * number) / height)
            figure.text(*place, line, color=colour, fontsize=9, parse_math=False, **text)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", facecolor=BACKGROUND, metadata={"Software": None})
