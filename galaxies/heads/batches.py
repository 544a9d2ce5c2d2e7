"""Where minibatches come from: a tensor on the device that holds all rows, or the shuffled reader of a store that is too large.

Which of the two depends on the bytes of the rows alone, never on the machine, for they shuffle differently: the same
parameters give the same head everywhere.

Legend: N rows, B rows in a batch, S seeds, V views, C features.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galaxies.features.reader import read_batches, read_shuffled_batches
from galaxies.features.store import Store

NUM_VIEWS = 8

# Features of 500,000 galaxies, or all images of Galaxy10 at 224 px.
RESIDENT_BYTES = 4 << 30

# Rows in one batch where their order does not matter and nothing is kept of them but a few numbers.
_ROWS_IN_ORDER = 8192

Batch = tuple[Tensor, Tensor]
"""Activations of one view a row, and the index of each row's class."""


class ResidentBatches:
    """Rows that stand on the device as one tensor: a batch is a selection of it."""

    def __init__(
        self, activations: Tensor, targets: Tensor, *, batch_size: int, augment: bool = False, turns: bool = False
    ) -> None:
        """Take activations (N, V, ...), which may be changed, and targets (N,), both on the device.

        Args:
            activations: with ``augment``, of eight views or, with ``turns``, of one.
            targets: indices of classes.
            batch_size: rows in a batch that trains; the last one may be shorter.
            augment: whether a batch that trains takes a view of each row by chance; else it is the first.
            turns: whether the views are made here, which images allow and activations do not.
        """
        self.activations, self.targets = activations, targets
        self.num_batches = -(-len(targets) // batch_size)
        self._batch_size, self._augments, self._turns = batch_size, augment, turns
        self._num_stored = activations.shape[1]
        self._flat = activations.flatten(0, 1)  # (N * V, ...)

    def shuffled(self, generators: Sequence[torch.Generator]) -> Iterator[Batch]:
        """Yield one epoch: (S, B, ...) activations and (S, B) targets, in an order of its own for each of S generators."""
        num_rows, device = len(self.targets), self.targets.device
        orders = torch.stack([torch.randperm(num_rows, generator=generator) for generator in generators]).to(device)
        views = _draw_views(orders.shape, generators).to(device) if self._augments else torch.zeros_like(orders)
        for rows, view in zip(torch.split(orders, self._batch_size, 1), torch.split(views, self._batch_size, 1), strict=True):
            flat_rows, flat_view = rows.flatten(), view.flatten()
            stored = flat_rows * self._num_stored + (0 if self._turns else flat_view)
            # index_select was measured 1.5 to 3 times faster than brackets.
            activations = self._flat.index_select(0, stored)
            if self._turns and self._augments:
                activations = turn_each(activations, flat_view)
            yield torch.unflatten(activations, 0, rows.shape), self.targets[rows]

    def in_order(self) -> Iterator[Batch]:
        """Yield all rows once, of the first view: (B, ...) and (B,)."""
        size = _ROWS_IN_ORDER if self.activations.ndim == 3 else self._batch_size
        for start in range(0, len(self.targets), size):
            yield self.activations[start : start + size, 0], self.targets[start : start + size]


class StoredBatches:
    """Rows that are read from a store again in every epoch, for one seed."""

    def __init__(
        self,
        store: Store,
        rows: NDArray[np.int64],
        targets: Tensor,
        *,
        batch_size: int,
        augment: bool = False,
        turns: bool = False,
        num_workers: int = 1,
    ) -> None:
        """Take the ``rows`` of a store, ascending, and their targets (N,) on the device; the rest is as for ResidentBatches."""
        self.targets = targets
        self.num_batches = -(-len(rows) // batch_size)
        self._store, self._rows, self._batch_size, self._num_workers = store, rows, batch_size, num_workers
        self._augments, self._turns = augment, turns

    def shuffled(self, generators: Sequence[torch.Generator]) -> Iterator[Batch]:
        """Yield one epoch: (1, B, ...) activations and (1, B) targets."""
        (generator,) = generators
        seed = int(torch.randint(2**62, (1,), generator=generator))
        batches = read_shuffled_batches(
            self._store,
            self._rows,
            batch_size=self._batch_size,
            generator=np.random.default_rng(seed),
            num_workers=self._num_workers,
        )
        for positions, activations in batches:
            view = _draw_views((len(positions),), [generator])[0] if self._augments else torch.zeros(len(positions)).long()
            chosen = activations[np.arange(len(positions)), 0 if self._turns else view.numpy()]
            batch = torch.from_numpy(chosen).to(self.targets.device)
            if self._turns and self._augments:
                batch = turn_each(batch, view.to(batch.device))
            yield batch.unsqueeze(0), self.targets[torch.from_numpy(positions).to(self.targets.device)].unsqueeze(0)

    def in_order(self) -> Iterator[Batch]:
        """Yield all rows once, of the first view: (B, ...) and (B,)."""
        batches = read_batches(self._store, self._rows, batch_size=self._batch_size, num_workers=self._num_workers)
        for positions, activations in batches:
            device = self.targets.device
            yield torch.from_numpy(activations[:, 0]).to(device), self.targets[torch.from_numpy(positions).to(device)]


Batches = ResidentBatches | StoredBatches


def open_batches(
    store: Store,
    rows: NDArray[np.int64],
    targets: NDArray[np.int64],
    *,
    batch_size: int,
    augment: bool,
    device: torch.device,
    num_workers: int = 1,
    resident_bytes: int = RESIDENT_BYTES,
) -> Batches:
    """Return the batches of some rows of a store.

    Args:
        store: of features, maps or images.
        rows: ascending.
        targets: index of the class of each of ``rows``.
        batch_size: rows in a batch.
        augment: whether to draw views by chance: the stored ones, or those of images.
        device: where the batches are wanted.
        num_workers: threads that read chunks.
        resident_bytes: rows of up to so many bytes are read once and stay on the device.
    """
    turns = store.activations.dtype == np.uint8
    on_device = torch.from_numpy(targets).to(device)
    num_views = NUM_VIEWS if augment and not turns else 1
    shape = (len(rows), num_views, *store.activations.shape[2:])
    if int(np.prod(shape)) * store.activations.dtype.itemsize > resident_bytes:
        return StoredBatches(
            store, rows, on_device, batch_size=batch_size, augment=augment, turns=turns, num_workers=num_workers
        )
    activations = np.empty(shape, store.activations.dtype)
    for positions, read in read_batches(store, rows, batch_size=1024, num_workers=num_workers):
        activations[positions] = read[:, :num_views]
    resident = torch.from_numpy(activations).to(device)
    return ResidentBatches(resident, on_device, batch_size=batch_size, augment=augment, turns=turns)


def turn_each(images: Tensor, views: Tensor) -> Tensor:
    """Return each of (B, 3, s, s) images in the view that ``views`` (B,) names.

    View v is mirrored left to right if v >= 4, then turned counter-clockwise by v % 4 quarter turns, as extraction's are.
    """
    turned = torch.empty_like(images)
    for view in range(NUM_VIEWS):
        chosen = views == view
        mirrored = images[chosen].flip(-1) if view >= 4 else images[chosen]
        turned[chosen] = mirrored.rot90(view % 4, (-2, -1))
    return turned


def _draw_views(shape: Sequence[int], generators: Sequence[torch.Generator]) -> Tensor:
    """Return views from 0 to 7, (S, N)."""
    return torch.stack([torch.randint(NUM_VIEWS, (shape[-1],), generator=generator) for generator in generators])
