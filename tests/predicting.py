"""A trained toy model, on any cut and with or without ending, and the files of its head, made in a second."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from galaxies.backbones.backbone import make_ending
from galaxies.backbones.ending import make_features
from galaxies.backbones.spec import ExtractParams
from galaxies.data.field_of_view import FieldOfView
from galaxies.features.standardisation import measure_features
from galaxies.features.store import Store
from galaxies.heads.calibration import Calibration
from galaxies.heads.class_meaning import ClassMeaning
from galaxies.heads.head import Head, TrainedHead, save_head
from galaxies.heads.inference import map_rows, predict_rows
from galaxies.heads.novelty import fit_novelty
from tests.toys import EXTRACT, run_extract, toy_images

CLASS_NAMES = ("round", "=spiral", "edge-on")
NUM_GALAXIES = 40
FIELD = FieldOfView(32, None, None, None)
"""Of the toy images, whose scale on the sky nobody knows."""


def save_toy_head(
    folder: Path,
    *,
    layer: str = "layer1",
    keep: bool = False,
    field: FieldOfView = FIELD,
    images: NDArray[Any] | None = None,
    num_features: int = 512,
    **extract: Any,
) -> NDArray[np.float64]:
    """Extract galaxies in ``folder``, with changes of EXTRACT, and write a head of them to ``models/head.pt``.

    They are toys where no ``images`` (40, S, S, 3) are given; ``num_features`` come out of a kept ending. Returns the
    probabilities of all rows that the evaluate stage would find, (40, 3).
    """
    changes: dict[str, Any] = {"layers": (layer,), "pool": "map" if keep else "avg", **extract}
    store = Store(run_extract(folder, toy_images(NUM_GALAXIES) if images is None else images, **changes)[layer])
    ending = make_ending(ExtractParams(**{**EXTRACT, **changes}).spec, layer) if keep else None
    rows = np.arange(NUM_GALAXIES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = Head(store.activations.shape[-1] if ending is None else num_features, len(CLASS_NAMES))
    features = map_rows(partial(make_features, ending), store, rows, width=head.num_features)
    for buffer, measured in zip((head.mean, head.std), measure_features([features.numpy()]), strict=True):
        buffer.copy_(torch.from_numpy(measured))
    trained = TrainedHead(
        head.eval(),
        ClassMeaning(Calibration(0.5, (0.4, 0.5, 0.6), 0.6), CLASS_NAMES, (10, 20, 10)),
        store.identity,
        field,
        fit_novelty(features[:20], features[20:]),
        ending,
    )
    (folder / "models").mkdir(exist_ok=True)
    save_head(folder / "models" / "head.pt", trained)
    probabilities = predict_rows(trained, store, rows)
    assert np.isfinite(probabilities).all()
    return probabilities
