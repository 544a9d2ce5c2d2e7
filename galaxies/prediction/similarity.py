"""The stored galaxies that look most like an image to the network: nearest in the features that the head sees.

Legend: N rows of a survey, B of a block, C features, S image size in pixels.
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
from torch import Tensor
from tqdm import tqdm

from galaxies.data.bands import to_pictures
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.errors import InputError
from galaxies.evaluation.contact_sheet import FAINT, INK, Tile, draw_sheet, save_sheet
from galaxies.features.reader import read_shards
from galaxies.prediction.answers import ask_model
from galaxies.prediction.model import Model
from galaxies.prediction.stored_survey import StoredSurvey
from galaxies.sources.decoding import decode
from galaxies.sources.image_reader import ReadOptions
from galaxies.sources.inputs import Input, list_inputs

_logger = logging.getLogger(__name__)

_COLUMNS = 6
_NUM_READERS = 2


@dataclass(frozen=True)
class SimilarGalaxy:
    """One stored galaxy."""

    distance: float  # in standardised features, a feature: galaxies drawn by chance are about 1.4 apart
    row: int  # of the survey
    id: str
    class_name: str  # or ``no label``
    ra: float  # deg, NaN where unknown
    dec: float  # deg
    image: NDArray[np.uint8] | None  # (S, S, 3); None where its file is gone


def find_similar(
    source: str, model: Model, survey: StoredSurvey, *, number: int
) -> tuple[NDArray[np.uint8], list[SimilarGalaxy]]:
    """Return the image in ``source`` as the backbone sees it, and the most similar galaxies, nearest first.

    What was assumed or done to the image is logged.

    Args:
        source: an image or FITS file.
        model: whose features are compared.
        survey: to look through, block by block: memory is constant. 1,000,000 x 512 features in the page cache take 1 s.
        number: of galaxies to return; fewer where there are fewer.

    Raises:
        InputError: the image cannot be read, or the survey's features are of another identity than the head's.
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
    if said := survey.require(model.trained):
        _logger.warning("%s", said)
    distances, rows = find_nearest(model, survey, model.compute_features([decoded.image]), number)
    found = zip(distances.tolist(), rows.tolist(), strict=True)
    picture = to_pictures(decoded.image[None], model.trained.bands)[0]
    return picture, [_describe(survey, model, row, distance) for distance, row in found]


@torch.inference_mode()
def find_nearest(
    model: Model, survey: StoredSurvey, wanted: Tensor, number: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return distances and rows, (number,) each, of the galaxies nearest to features (1, C); of equal ones the smaller row."""
    head, wanted = model.trained.head, wanted.to(model.device)
    weights = 1 / (head.std.square() * head.num_features)  # Of a constant feature 0.
    best = np.empty(0), np.empty(0, np.int64)
    has_features = survey.has_features
    progress = tqdm(total=len(survey), desc="compare", unit="galaxy", delay=2)
    for start, activations in read_shards(survey.store, num_workers=_NUM_READERS):
        progress.update(len(activations))
        first = torch.from_numpy(np.ascontiguousarray(activations[:, 0])).to(model.device)
        # Squares of differences, not differences of squares, which would lose what small distances are made of.
        squares = ((model.trained.features(first) - wanted).square_() @ weights).double().cpu().numpy()
        places = np.flatnonzero(has_features[start : start + len(squares)])
        if not np.isfinite(squares[places]).all():
            raise InputError(f"{survey.store.path}: rows from {start} on are not finite; the store is damaged. Make it again.")
        together = np.concatenate([best[0], squares[places]]), np.concatenate([best[1], start + places])
        if len(best[0]) == number and len(places) and squares[places].min() >= best[0][-1]:
            continue
        order = np.argsort(together[0], kind="stable")[:number]
        best = together[0][order], together[1][order]
    progress.close()
    # Exact at last, so that a galaxy is at no distance from itself.
    features = survey.head_features(ask_model(model), np.sort(best[1])).to(model.device)
    difference = head.standardise(features) - head.standardise(wanted)
    exact: NDArray[np.float64] = difference.double().square().mean(dim=1).sqrt().cpu().numpy()
    order = np.argsort(exact, kind="stable")
    return exact[order], np.sort(best[1])[order]


def _describe(survey: StoredSurvey, model: Model, row: int, distance: float) -> SimilarGalaxy:
    """Return what is known of the galaxy in a row, and its picture."""
    (known,) = survey.galaxies.read(row, row + 1).to_pylist()
    ra, dec = (np.nan if known[name] is None else known[name] for name in ("ra", "dec"))
    return SimilarGalaxy(distance, row, known["id"], known["label"] or "no label", ra, dec, _read_picture(known, model))


def _read_picture(known: dict[str, Any], model: Model) -> NDArray[np.uint8] | None:
    """Return the picture of a galaxy, (S, S, 3), None where its file is gone or no longer readable."""
    path = Path(known["path"])
    if known["index"] is not None:
        if not path.is_file():
            return None
        with GalaxyFile(path) as galaxies:
            picture: NDArray[np.uint8] = galaxies.read_pictures(np.array([known["index"]]))[0]
        return picture
    ra, dec, pxscale = (np.nan if known[name] is None else float(known[name]) for name in ("ra", "dec", "pxscale"))
    bands = model.trained.bands
    (decoded,) = decode([Input(known["id"], (path,), None, ra, dec, pxscale)], model.trained.field, ReadOptions(bands=bands))
    return None if decoded.image is None else to_pictures(decoded.image[None], bands)[0]


def format_similar(similar: Sequence[SimilarGalaxy]) -> Iterator[str]:
    """Yield a line for each, the most similar first."""
    for galaxy in similar:
        yield f"{galaxy.distance:6.3f}  row {galaxy.row:<6} {galaxy.id:<12} {galaxy.class_name}"


def draw_similar(path: Path, image: NDArray[np.uint8], similar: Sequence[SimilarGalaxy], *, title: str) -> None:
    """Draw a PNG: the image, then the galaxies like it, with class, id and distance below each."""
    captions = [("asked about", ""), *((galaxy.class_name, f"{galaxy.id}   {galaxy.distance:.2f}") for galaxy in similar)]
    gone = np.full((8, 8, 3), 128, np.uint8)
    images = [image, *(gone if galaxy.image is None else galaxy.image for galaxy in similar)]
    tiles = [Tile(picture, ((name, INK), (detail, FAINT))) for picture, (name, detail) in zip(images, captions, strict=True)]
    figure, _ = draw_sheet(tiles, columns=_COLUMNS, title=title, key="below each galaxy: its class, its id and its distance")
    save_sheet(path, figure)
