"""What a trained head says of rows of a store: streamed, so that memory does not depend on their number.

Legend: B rows, V views, K classes.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from galaxies.errors import InputError
from galaxies.features.reader import read_batches
from galaxies.features.store import Store
from galaxies.heads.calibration import fit_confidence_threshold, fit_temperature
from galaxies.heads.conformal import fit_set_thresholds
from galaxies.heads.head import TrainedHead


def predict_rows(
    trained: TrainedHead,
    store: Store,
    rows: NDArray[np.int64],
    *,
    device: torch.device | None = None,
    batch_size: int = 256,
    view: int = 0,
) -> NDArray[np.float64]:
    """Return calibrated probabilities (B, K); the arguments and errors are those of :func:`predict_logits`."""
    logits = predict_logits(trained, store, rows, device=device, batch_size=batch_size, view=view)
    return torch.softmax(torch.from_numpy(logits) / trained.temperature, dim=1).numpy()


def predict_logits(
    trained: TrainedHead,
    store: Store,
    rows: NDArray[np.int64],
    *,
    device: torch.device | None = None,
    batch_size: int = 256,
    view: int = 0,
) -> NDArray[np.float64]:
    """Return logits (B, K), whatever the head is: with or without ending, of features, maps or images.

    Args:
        trained: the head; it is moved to the device.
        store: of activations made as ``trained.identity`` says.
        rows: of the store, (B,), ascending and without repeats.
        device: to compute on; None is the CPU.
        batch_size: rows in one forward pass.
        view: which of the V stored views; average over them for test-time augmentation.

    Raises:
        InputError: the store has no such view, holds maps that this head cannot use, or is damaged.
    """
    width = len(trained.class_names)
    return _map_rows(trained, trained.logits, width, store, rows, device, batch_size, view).double().numpy()


def read_features(
    trained: TrainedHead,
    store: Store,
    rows: NDArray[np.int64],
    *,
    device: torch.device | None = None,
    batch_size: int = 256,
    view: int = 0,
) -> Tensor:
    """Return the features that the head sees, (B, C) float32 on the CPU; arguments and errors as of :func:`predict_logits`."""
    width = trained.head.num_features
    return _map_rows(trained, trained.features, width, store, rows, device, batch_size, view)


def _map_rows(
    trained: TrainedHead,
    function: Callable[[Tensor], Tensor],
    width: int,
    store: Store,
    rows: NDArray[np.int64],
    device: torch.device | None,
    batch_size: int,
    view: int,
) -> Tensor:
    """Return what a function gives for each row, (B, width) float32."""
    num_views = store.activations.shape[1]
    if not 0 <= view < num_views:
        raise InputError(f"{store.path}: found {num_views} view(s) of each galaxy, wanted is view {view}.")
    if trained.ending is None and not store.is_pooled:
        raise InputError(
            f"{store.path} holds maps of shape {store.activations.shape[1:]}, but a head without ending reads pooled features; "
            "use `-S extract.pool=avg`."
        )
    trained.to(device or torch.device("cpu"))
    results = torch.empty(len(rows), width)
    with tqdm(total=len(rows), desc="predict", unit="galaxy", delay=2) as progress:
        for positions, activations in read_batches(store, rows, batch_size=batch_size):
            batch = torch.from_numpy(np.ascontiguousarray(activations[:, view])).to(device or "cpu")
            results[torch.from_numpy(positions)] = function(batch).cpu()
            progress.update(len(positions))
    return results


def calibrate(
    trained: TrainedHead,
    store: Store,
    rows: NDArray[np.int64],
    targets: NDArray[np.int64],
    *,
    device: torch.device | None = None,
) -> TrainedHead:
    """Return the head with the temperature, the thresholds of prediction sets and that of the confidence that ``rows`` ask for.

    Args:
        trained: a head whose numbers mean nothing yet.
        store: of its activations.
        rows: that chose nothing, (B,), ascending.
        targets: their classes, (B,).
        device: to compute on; None is the CPU.
    """
    logits = predict_logits(trained, store, rows, device=device)
    temperature = fit_temperature(torch.from_numpy(logits), torch.from_numpy(targets))
    probabilities = torch.softmax(torch.from_numpy(logits) / temperature, dim=1).numpy()
    return replace(
        trained,
        temperature=temperature,
        set_thresholds=tuple(fit_set_thresholds(targets, probabilities).tolist()),
        confidence_threshold=fit_confidence_threshold(targets, probabilities),
    )
