"""Where minibatches come from: a tensor on the device that holds all rows, or the shuffled reader of a store that is too large.

Which of the two depends on the bytes of the rows alone, never on the machine, for they shuffle differently: the same
parameters give the same head everywhere.

Legend: N rows, B rows in a batch, S seeds, V views, C features.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galaxies.backbones.spec import NUM_VIEWS
from galaxies.errors import InputError
from galaxies.features.reader import read_batches, read_shuffled_batches
from galaxies.features.store import Store

# Rows in one batch where their order does not matter and nothing is kept of them but a few numbers.
_ROWS_IN_ORDER = 8192

_CPU = torch.device("cpu")

Batch = tuple[Tensor, Tensor]
"""Activations of one view a row, and the index of each row's class."""


@dataclass(frozen=True)
class BatchOptions:
    """How rows become batches."""

    batch_size: int  # rows in a batch that trains; the last one may be shorter
    augment: bool = False  # a batch that trains takes a view of each row by chance; else it is the first
    device: torch.device = _CPU  # where the batches are wanted
    num_workers: int = 1  # threads that read chunks
    resident_bytes: int = 4 << 30  # so many stay on the device: features of 500,000 galaxies, or Galaxy10's images at 224 px


class ResidentBatches:
    """Rows that stand on the device as one tensor: a batch is a selection of it."""

    def __init__(self, activations: Tensor, targets: Tensor, options: BatchOptions) -> None:
        """Take activations (N, V, ...), which may be changed, and targets (N,), both on the device.

        With ``options.augment`` activations are of all views; images are of the first, for theirs are made here.
        """
        self.activations, self.targets = activations, targets
        self.num_batches = -(-len(targets) // options.batch_size)
        self._options = options
        self._flat = activations.flatten(0, 1)  # (N * V, ...)

    def standardise(self, mean: Tensor, std: Tensor) -> None:
        """Take mean and standard deviation (C,) out of activations that are features: once, and not in every batch."""
        self.activations.sub_(mean).div_(std)

    def shuffled(self, generators: Sequence[torch.Generator]) -> Iterator[Batch]:
        """Yield one epoch: (S, B, ...) activations and (S, B) targets, in an order of its own for each of S generators."""
        augments, device, (num_rows, num_stored) = self._options.augment, self.targets.device, self.activations.shape[:2]
        orders = torch.stack([torch.randperm(num_rows, generator=generator) for generator in generators])
        views = _draw_views(orders.shape, generators, augments)
        places = orders * num_stored + views * (num_stored > 1)
        epoch = (places.to(device), self.targets[orders.to(device)], views)
        parts = (torch.split(tensor, self._options.batch_size, 1) for tensor in epoch)
        for rows, targets, turned in zip(*parts, strict=True):
            # index_select was measured 1.5 to 3 times faster than brackets.
            activations = self._flat.index_select(0, rows.flatten())
            if augments and num_stored == 1:
                activations = _turn(activations, turned.flatten())
            yield activations.view(*rows.shape, *activations.shape[1:]), targets

    def whole(self) -> Batch:
        """Return all rows, of the first view or, with ``augment``, of each: (1, N, ...) activations and (1, N) targets."""
        num_views = self.activations.shape[1] if self._options.augment else 1
        activations = self.activations[:, :num_views].flatten(0, 1)
        return activations.unsqueeze(0), self.targets.repeat_interleave(num_views, 0).unsqueeze(0)

    def in_order(self) -> Iterator[Batch]:
        """Yield all rows once, of the first view: (B, ...) and (B,)."""
        size = _ROWS_IN_ORDER if self.activations.ndim == 3 else self._options.batch_size
        for start in range(0, len(self.targets), size):
            yield self.activations[start : start + size, 0], self.targets[start : start + size]


class StoredBatches:
    """Rows that are read from a store again in every epoch, for one seed."""

    def __init__(self, store: Store, rows: NDArray[np.int64], targets: Tensor, options: BatchOptions) -> None:
        """Take the ``rows`` of a store, ascending, and their targets (N,) on the device."""
        self.targets = targets
        self.num_batches = -(-len(rows) // options.batch_size)
        self._store, self._rows, self._options = store, rows, options
        self._statistics: tuple[Tensor, Tensor] | None = None

    def standardise(self, mean: Tensor, std: Tensor) -> None:
        """Take mean and standard deviation (C,) out of the batches to come, whose activations are features."""
        self._statistics = mean, std

    def shuffled(self, generators: Sequence[torch.Generator]) -> Iterator[Batch]:
        """Yield one epoch: (1, B, ...) activations and (1, B) targets."""
        (generator,) = generators
        seed = int(torch.randint(2**62, (1,), generator=generator))
        batches = read_shuffled_batches(
            self._store,
            self._rows,
            batch_size=self._options.batch_size,
            generator=np.random.default_rng(seed),
            num_workers=self._options.num_workers,
        )
        for positions, stored in batches:
            (views,), num_stored = _draw_views((1, len(positions)), generators, self._options.augment), stored.shape[1]
            chosen = stored[np.arange(len(positions)), views.numpy() * (num_stored > 1)]
            activations, targets = self._place(chosen, positions)
            if self._options.augment and num_stored == 1:
                activations = _turn(activations, views)
            yield activations.unsqueeze(0), targets.unsqueeze(0)

    def whole(self) -> Batch:
        """Raise InputError."""
        raise InputError(
            f"train.optimizer: found lbfgs, which needs all {len(self.targets):,} train rows in memory at once, and they are "
            "too large; use adamw."
        )

    def in_order(self) -> Iterator[Batch]:
        """Yield all rows once, of the first view: (B, ...) and (B,)."""
        batches = read_batches(
            self._store, self._rows, batch_size=self._options.batch_size, num_workers=self._options.num_workers
        )
        for positions, stored in batches:
            yield self._place(stored[:, 0], positions)

    def _place(self, stored: NDArray[np.float32], positions: NDArray[np.int64]) -> Batch:
        """Return activations (B, ...) and targets (B,) on the device."""
        activations = torch.from_numpy(stored).to(self.targets.device)
        if self._statistics:
            mean, std = self._statistics
            activations = (activations.float() - mean) / std
        return activations, self.targets[torch.from_numpy(positions).to(self.targets.device)]


Batches = ResidentBatches | StoredBatches


def open_batches(store: Store, rows: NDArray[np.int64], targets: NDArray[np.int64], options: BatchOptions) -> Batches:
    """Return the batches of the ``rows`` of a store, ascending, whose classes have the indices ``targets``, (N,)."""
    stored_views, *shape = store.activations.shape[1:]
    num_views = stored_views if options.augment else 1
    on_device = torch.from_numpy(targets).to(options.device)
    dtype = np.dtype(np.float32) if store.is_pooled else store.activations.dtype
    resident = (len(rows), num_views, *shape)
    if int(np.prod(resident)) * dtype.itemsize > options.resident_bytes:
        return StoredBatches(store, rows, on_device, options)
    activations = np.empty(resident, dtype)
    for positions, stored in read_batches(store, rows, batch_size=1024, num_workers=options.num_workers):
        activations[positions] = stored[:, :num_views]
    return ResidentBatches(torch.from_numpy(activations).to(options.device), on_device, options)


def _draw_views(shape: Sequence[int], generators: Sequence[torch.Generator], augments: bool) -> Tensor:
    """Return views from 0 to 7 drawn by chance, (S, N); all 0 unless the batches are augmented."""
    if not augments:
        return torch.zeros(*shape, dtype=torch.int64)
    return torch.stack([torch.randint(NUM_VIEWS, (shape[-1],), generator=generator) for generator in generators])


def _turn(images: Tensor, views: Tensor) -> Tensor:
    """Return images (B, 3, s, s) in the ``views``, (B,), that were drawn for them."""
    # The code of the transform takes seconds to import, and most trainings do without.
    from galaxies.backbones.transform import turn_each

    return turn_each(images, views.to(images.device))
