"""What a trained head makes of rows of a store: streamed, so that memory does not depend on their number.

Legend: B rows, K outputs, or classes.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from galaxies.features.reader import read_batches
from galaxies.features.store import Store
from galaxies.heads.head import TrainedHead

_BATCH_ROWS = 256


def map_rows(
    function: Callable[[Tensor], Tensor],
    store: Store,
    rows: NDArray[np.int64],
    *,
    width: int,
    view: int = 0,
    device: torch.device | None = None,
) -> Tensor:
    """Return what a function makes of each row of a store, (B, width) float32 on the CPU.

    Args:
        function: from activations of one view, as the store gives them, to (B, width); it computes on the device.
        store: to read.
        rows: of the store, (B,), ascending and without repeats.
        width: of a result.
        view: which of the stored views; average over them for test-time augmentation.
        device: where the function wants the activations; None is the CPU.

    Raises:
        InputError: the store is damaged.
    """
    results = torch.empty(len(rows), width)
    with tqdm(total=len(rows), desc="predict", unit="galaxy", delay=2) as progress, torch.inference_mode():
        for positions, activations in read_batches(store, rows, batch_size=_BATCH_ROWS):
            batch = torch.from_numpy(np.ascontiguousarray(activations[:, view])).to(device or "cpu")
            results[torch.from_numpy(positions)] = function(batch).cpu()
            progress.update(len(positions))
    return results


def read_outputs(trained: TrainedHead, store: Store, rows: NDArray[np.int64], *, view: int = 0) -> Tensor:
    """Return a head's outputs (B, K) for rows of a store made as ``trained.identity`` says, computed on the CPU.

    The other arguments and errors are those of :func:`map_rows`.
    """
    return map_rows(trained.outputs, store, rows, width=trained.meaning.num_outputs, view=view)


def predict_rows(trained: TrainedHead, store: Store, rows: NDArray[np.int64], *, view: int = 0) -> NDArray[np.float64]:
    """Return calibrated probabilities (B, K) of classes; arguments and errors as of :func:`read_outputs`."""
    return trained.calibration.probabilities(read_outputs(trained, store, rows, view=view)).numpy()
