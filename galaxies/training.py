"""Train a head on features that are resident on the device: minibatches are slices, not DataLoader items.

Legend: N rows of the catalog, B rows in a batch, C features, K classes.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from tqdm import trange

from galaxies.errors import InputError
from galaxies.head import ACTIVATIONS, Head, HiddenLayers
from galaxies.params import Limits

# A feature that hardly varies on the train rows carries nothing; dividing by its deviation would blow up noise.
_SMALLEST_STD = 1e-6


@dataclass(frozen=True)
class TrainParams:
    """The section ``train`` of params.yaml."""

    layer: str  # one of extract.layers
    ending: Literal["drop"]  # the backbone's blocks after the layer
    hidden_layers: tuple[int | str, ...]  # widths and activation names; empty: a linear probe
    optimizer: Literal["adamw", "sgd"]  # sgd has momentum 0.9
    learning_rate: Annotated[float, Limits(1e-10, 1e3)]
    decrease_on_plateau: Annotated[float, Limits(0.0, 1.0)]  # factor of the learning rate; 1: never
    patience: Annotated[int, Limits(0, 10_000)]  # epochs without a lower validation loss before the decrease
    weight_decay: Annotated[float, Limits(0.0, 1e3)]
    num_epochs: Annotated[int, Limits(1, 100_000)]
    batch_size: Annotated[int, Limits(1, 1_000_000)]
    class_weight: Literal["none", "balanced"]  # balanced: every class weighs the same in the loss
    seed: int

    def problems(self) -> Iterator[str]:
        """Yield what the types cannot say."""
        for element in self.hidden_layers:
            if (isinstance(element, int) and element < 1) or (isinstance(element, str) and element not in ACTIVATIONS):
                yield f"hidden_layers: found {element!r}, allowed are widths of at least 1 and {', '.join(ACTIVATIONS)}"


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to."""

    epoch: int  # counted from 1
    learning_rate: float
    train_loss: float  # mean over the epoch's minibatches
    train_accuracy: float
    val_loss: float  # after the epoch
    val_accuracy: float


@dataclass(frozen=True)
class Fit:
    """The head of the best epoch, and how training went."""

    head: Head
    best_epoch: int
    epochs: tuple[Epoch, ...]


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
    """Train a head and keep the epoch with the lowest validation loss.

    The loss chooses, not the accuracy: it moves with every galaxy, so it does not depend on a few that cross the line.

    Args:
        features: (N, C); only the given rows are read.
        targets: index into ``class_names``, (N,).
        train_rows: everything is fitted on these, standardisation included.
        val_rows: choose the epoch and lower the learning rate.
        class_names: of the K classes.
        params: how to train.
        device: to train on; None is the CPU.

    Raises:
        InputError: a class has no train row; the loss is not finite.
    """
    _require_all_classes(targets[train_rows], class_names)
    device = device or torch.device("cpu")
    train_features, val_features = (torch.from_numpy(features[rows]).to(device) for rows in (train_rows, val_rows))
    train_targets, val_targets = (torch.from_numpy(targets[rows]).to(device) for rows in (train_rows, val_rows))
    head = _make_head(train_features, len(class_names), params.hidden_layers, params.seed).to(device)
    # Standardised once, not in every step.
    train_features, val_features = head.standardise(train_features), head.standardise(val_features)
    weight = _class_weight(train_targets, len(class_names)) if params.class_weight == "balanced" else None
    optimizer = _make_optimizer(head, params)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=min(params.decrease_on_plateau, 0.999999), patience=params.patience
    )
    generator = torch.Generator().manual_seed(params.seed)
    epochs: list[Epoch] = []
    best_loss, best_state = float("inf"), copy.deepcopy(head.state_dict())
    progress = trange(1, params.num_epochs + 1, desc="train", unit="epoch")
    for number in progress:
        learning_rate = float(optimizer.param_groups[0]["lr"])
        order = torch.randperm(len(train_rows), generator=generator).to(device)
        train_loss, train_accuracy = _train_epoch(
            head, optimizer, train_features[order], train_targets[order], weight, params.batch_size
        )
        with torch.inference_mode():
            logits = head.layers(val_features)
            val_loss = float(functional.cross_entropy(logits, val_targets))
            val_accuracy = float((logits.argmax(1) == val_targets).float().mean())
        if not np.isfinite([train_loss, val_loss]).all():
            raise InputError(
                f"train: the loss is not finite in epoch {number} (learning rate {learning_rate:g}); lower "
                "train.learning_rate, e.g. to a tenth."
            )
        epochs.append(Epoch(number, learning_rate, train_loss, train_accuracy, val_loss, val_accuracy))
        progress.set_postfix(val_loss=f"{val_loss:.3f}", val_accuracy=f"{val_accuracy:.3f}")
        if val_loss < best_loss:
            best_loss, best_state = val_loss, copy.deepcopy(head.state_dict())
        if params.decrease_on_plateau < 1:
            scheduler.step(val_loss)
    head.load_state_dict(best_state)
    best = min(epochs, key=lambda epoch: epoch.val_loss)
    return Fit(head.cpu().eval(), best.epoch, tuple(epochs))


def _train_epoch(
    head: Head,
    optimizer: torch.optim.Optimizer,
    features: Tensor,  # (N, C) standardised, in the order of this epoch
    targets: Tensor,  # (N,)
    weight: Tensor | None,
    batch_size: int,
) -> tuple[float, float]:
    """Return the mean loss and the accuracy of one pass over the rows."""
    head.train()
    total_loss = torch.zeros((), device=features.device)
    num_correct = torch.zeros((), device=features.device)
    for batch, batch_targets in zip(torch.split(features, batch_size), torch.split(targets, batch_size), strict=True):
        logits = head.layers(batch)
        loss = functional.cross_entropy(logits, batch_targets, weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        # Summed on the device: asking for the number here would make a GPU wait in every step.
        total_loss += loss.detach() * len(batch)
        num_correct += (logits.detach().argmax(1) == batch_targets).sum()
    head.eval()
    return float(total_loss) / len(features), float(num_correct) / len(features)


def _make_head(train_features: Tensor, num_classes: int, hidden_layers: HiddenLayers, seed: int) -> Head:
    """Return a head with seeded weights and the standardisation of the train rows."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = Head(train_features.shape[1], num_classes, hidden_layers)
    std, mean = torch.std_mean(train_features.double(), dim=0, correction=0)
    head.mean.copy_(mean)
    # A constant feature becomes 0, whatever its value is elsewhere.
    head.std.copy_(torch.where(std > _SMALLEST_STD, std, torch.inf))
    return head


def _make_optimizer(head: Head, params: TrainParams) -> torch.optim.Optimizer:
    if params.optimizer == "sgd":
        return torch.optim.SGD(
            head.parameters(), params.learning_rate, momentum=0.9, weight_decay=params.weight_decay, nesterov=True
        )
    return torch.optim.AdamW(head.parameters(), params.learning_rate, weight_decay=params.weight_decay, fused=True)


def _class_weight(targets: Tensor, num_classes: int) -> Tensor:
    counts = torch.bincount(targets, minlength=num_classes)
    return len(targets) / (num_classes * counts.float())


def _require_all_classes(targets: NDArray[np.int64], class_names: Sequence[str]) -> None:
    absent = [name for target, name in enumerate(class_names) if not (targets == target).any()]
    if absent:
        raise InputError(
            f"train: no galaxy to train on in {', '.join(absent)}; add galaxies of that class, or leave the class out."
        )
