"""A trained toy model, and the files of its head, made in a second."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from galaxies.framing import FieldOfView
from galaxies.head import Head, TrainedHead, save_head
from galaxies.novelty import fit_novelty
from galaxies.store import Store
from tests.toys import run_extract, toy_images

CLASS_NAMES = ("round", "=spiral", "edge-on")
NUM_GALAXIES = 40


def save_toy_head(folder: Path, *, field: FieldOfView | None = None) -> NDArray[np.float64]:
    """Extract toy galaxies in ``folder`` and write a head of them to ``models/head.pt``.

    Returns the probabilities of all rows that the evaluate stage would find, (40, 3).
    """
    stores = run_extract(folder, toy_images(NUM_GALAXIES), layers=("layer1",))
    store = Store(stores["layer1"])
    features = torch.from_numpy(store.read_features())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = Head(features.shape[1], len(CLASS_NAMES))
    head.mean.copy_(features.mean(0))
    head.std.copy_(features.std(0))
    trained = TrainedHead(
        head.eval(),
        CLASS_NAMES,
        0.5,
        (0.4, 0.5, 0.6),
        store.identity,
        train_counts=(10, 20, 10),
        field=field,
        novelty=fit_novelty(features[:20], features[20:]),
    )
    (folder / "models").mkdir(exist_ok=True)
    save_head(folder / "models" / "head.pt", trained)
    return trained.probabilities(features).numpy()
