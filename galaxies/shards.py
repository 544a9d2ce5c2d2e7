"""Activations of one layer on their way to disk: collected row by row, written a whole shard at a time."""

import numpy as np
import torch
import zarr
from torch import Tensor
from zarr.storage import LocalStore

from galaxies.errors import InputError
from galaxies.scratch import LayerScratch
from galaxies.store import ARRAY_NAME, Layout


class ShardWriter:
    """Writes the shards of one store; a shard that the scratch has already is left as it is."""

    def __init__(self, scratch: LayerScratch, layout: Layout, layer: str) -> None:
        self._scratch, self._layout, self._layer = scratch, layout, layer
        self._array = zarr.open_array(LocalStore(scratch.path), path=ARRAY_NAME, mode="r+", zarr_format=3)
        self._num_rows = self._array.shape[0]
        self._shard = np.empty((layout.shard_rows, *layout.row_shape), layout.dtype)

    def has_row(self, row: int) -> bool:
        """Tell whether the shard of a row is finished."""
        return self._scratch.has_shard(row // self._layout.shard_rows)

    def add(self, start: int, activation: Tensor) -> None:
        """Take the activation of the rows from ``start`` on, (B, V, ...) float32; write the shard with its last row.

        Raises InputError for an activation that is not finite or does not fit the store's dtype.
        """
        if self.has_row(start):
            return
        shard, first = divmod(start, self._layout.shard_rows)
        rows = self._shard[first : first + len(activation)]
        with np.errstate(over="ignore"):
            rows[...] = activation.numpy()
        if not np.isfinite(rows).all():
            self._refuse(start, activation)
        stop = start + len(activation)
        if first + len(activation) == self._layout.shard_rows or stop == self._num_rows:
            shard_start = shard * self._layout.shard_rows
            self._array[shard_start:stop] = self._shard[: stop - shard_start]
            self._scratch.finish_shard(shard)

    def _refuse(self, start: int, activation: Tensor) -> None:
        where = f"layer {self._layer}, rows {start} to {start + len(activation) - 1}"
        if bool(torch.isfinite(activation).all()):
            largest = float(activation.abs().max())
            raise InputError(
                f"{where}: an activation of {largest:.6g} does not fit {self._layout.dtype} (at most 65504); use "
                "`-S extract.dtype=float32`."
            )
        raise InputError(
            f"{where}: the backbone gives NaN or infinity; check extract.mean and extract.std, and that extract.weights is "
            "not damaged, or use `-S extract.precision=float32`."
        )
