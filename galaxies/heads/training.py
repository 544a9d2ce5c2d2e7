"""Train heads, and the ending before them where it is kept: one pass over the data serves every seed and every setting.

Legend: N rows, B rows in a batch, C features, K classes, S seeds, G settings.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm import trange

from galaxies.errors import InputError
from galaxies.heads.batches import Batches, ResidentBatches
from galaxies.heads.checkpoint import Checkpoint
from galaxies.heads.ensemble import Ensemble
from galaxies.heads.head import Head, TrainedHead
from galaxies.heads.sweep import Setting, choose_setting, expand_sweep, tabulate_sweep
from galaxies.heads.train_params import TrainParams

if TYPE_CHECKING:
    from galaxies.backbones.ending import Ending


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to. Losses are cross-entropies, weighted by class where the training is."""

    epoch: int  # counted from 1
    learning_rate: float
    train_loss: float  # mean over the epoch's minibatches, while the head was changing; with label smoothing
    train_accuracy: float
    val_loss: float  # after the epoch, without label smoothing
    val_accuracy: float


@dataclass(frozen=True)
class Fit:
    """The head of the best epoch, on the CPU in eval mode, and how training went."""

    head: Head
    best_epoch: int
    epochs: tuple[Epoch, ...]


@dataclass(frozen=True)
class Fits:
    """What training came to: the heads of the best setting, one a seed, and how all settings did."""

    seeds: tuple[Fit, ...]
    settings: pd.DataFrame  # as galaxies.heads.sweep.tabulate_sweep says


def fit_head(
    features: NDArray[np.float32],
    targets: NDArray[np.int64],
    *,
    train_rows: NDArray[np.int64],
    val_rows: NDArray[np.int64],
    class_names: Sequence[str],
    params: TrainParams,
    device: torch.device | None = None,
) -> Fit:
    """Train on features in memory, (N, C), and return the head of the first seed; see :func:`fit_heads`."""
    device = device or torch.device("cpu")

    def batches(rows: NDArray[np.int64]) -> ResidentBatches:
        chosen, own = (torch.from_numpy(array[rows]).to(device) for array in (features, targets))
        return ResidentBatches(chosen.unsqueeze(1), own, batch_size=params.batch_size)

    return fit_heads(batches(train_rows), batches(val_rows), class_names=class_names, params=params).seeds[0]


def fit_heads(
    train: Batches,
    val: Batches,
    *,
    class_names: Sequence[str],
    params: TrainParams,
    ending: "Ending | None" = None,
    start: TrainedHead | None = None,
    checkpoint: Checkpoint | None = None,
) -> Fits:
    """Train a head for every seed and setting, and keep of each the epoch with the lowest validation loss.

    The loss chooses, not the accuracy: it moves with every galaxy, where the accuracy moves with the few that cross the
    line, and it asks for honest probabilities too. The same seed gives the same head, bit for bit on one CPU, with and without
    an interruption.

    Args:
        train: everything is fitted on these rows, standardisation included. Features that are resident are standardised in
            place.
        val: choose the epoch and the setting, and lower the learning rate. Changed as ``train`` is.
        class_names: of the K classes.
        params: how to train.
        ending: from activations to features, on the device of the batches; it is trained in place, for one seed and setting.
        start: a head to start from, with its standardisation and its ending.
        checkpoint: where to continue from, and to keep the state.

    Raises:
        InputError: a class has no train row, there are no val rows, ``start`` does not fit, or the loss is not finite.
    """
    _require_rows(train.targets.cpu().numpy(), len(val.targets), class_names)
    settings = expand_sweep(params)
    saved = checkpoint.load() if checkpoint else None
    with _own_randomness(train.targets.device):
        ensemble = Ensemble(train, val, len(class_names), params, settings, ending=ending, start=start, saved=saved)
        with trange(1, params.num_epochs + 1, desc="train", unit="epoch", initial=ensemble.epoch) as progress:
            for _ in range(ensemble.epoch, params.num_epochs):
                if not ensemble.schedule.is_active.any():
                    break
                record = ensemble.run_epoch()
                # Without a refresh of its own: a line an epoch would cost time and fill logs.
                progress.set_postfix({"val_loss": f"{record.val_loss.min():.3f}"}, refresh=False)
                progress.update()
                if checkpoint:
                    checkpoint.save(ensemble.state(), is_last=ensemble.epoch == params.num_epochs)
        return _collect(ensemble, settings, params.num_seeds)


def _collect(ensemble: Ensemble, settings: Sequence[Setting], num_seeds: int) -> Fits:
    """Return the heads of the best setting, and how all did; the ending becomes that of the best epoch."""
    schedule, history = ensemble.schedule, ensemble.history
    chosen = choose_setting(schedule.best_loss)
    ensemble.restore_best_ending()
    seeds = [
        Fit(
            ensemble.best_head(seed, chosen),
            int(schedule.best_epoch[seed, chosen]),
            tuple(
                Epoch(number, *(float(values[seed, chosen]) for values in record))
                for number, record in enumerate(history[: int(schedule.last_epoch[seed, chosen])], 1)
            ),
        )
        for seed in range(num_seeds)
    ]
    accuracy = np.array([record.val_accuracy for record in history])  # (epochs, S, G)
    best = np.maximum(schedule.best_epoch - 1, 0)
    table = tabulate_sweep(
        settings,
        val_loss=schedule.best_loss,
        val_accuracy=np.take_along_axis(accuracy, best[None], 0)[0],
        best_epoch=schedule.best_epoch,
    )
    return Fits(tuple(seeds), table)


def require_start(start: TrainedHead, params: TrainParams, backbone: str, class_names: Sequence[str]) -> None:
    """Raise InputError, which names each difference, unless ``start`` is a head that these parameters could have made."""
    trained_on = start.ending.spec if start.ending else start.identity.backbone
    pairs = {
        "extract.backbone": (trained_on.name, backbone),
        "train.layer": (start.identity.layer, params.layer),
        "train.ending": ("keep" if start.ending else "drop", params.ending),
        "train.hidden_layers": (list(start.head.hidden_layers), list(params.hidden_layers)),
        "classes": (list(start.class_names), list(class_names)),
    }
    differences = [
        f"  {name}: it has {found}, wanted is {wanted}" for name, (found, wanted) in pairs.items() if found != wanted
    ]
    if params.sweep.hidden_layers:
        differences.append("  train.sweep.hidden_layers: a head to start from has one architecture; wanted is []")
    if differences:
        listing = "\n".join(differences)
        raise InputError(f"train.start_from: {params.start_from} is a head of another kind:\n{listing}")


@contextmanager
def _own_randomness(device: torch.device) -> Iterator[None]:
    """Leave the global generators alone, which dropout in an ending draws from."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def _require_rows(train_targets: NDArray[np.int64], num_val: int, class_names: Sequence[str]) -> None:
    absent = [name for target, name in enumerate(class_names) if not (train_targets == target).any()]
    if absent:
        raise InputError(
            f"train: no galaxy to train on in {', '.join(absent)}; add galaxies of that class, or leave the class out."
        )
    if not num_val:
        raise InputError("train: no galaxy to validate with; raise split.val_fraction.")
