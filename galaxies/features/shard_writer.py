"""Activations of one layer on their way to disk: collected row by row, written a whole shard at a time.

Legend: B rows in a batch, V views.
"""

import numpy as np
import torch
import zarr
from torch import Tensor
from zarr.storage import LocalStore

from galaxies.errors import InputError
from galaxies.features.selfcheck import describe_not_finite
from galaxies.features.store import ARRAY_NAME, shard_name
from galaxies.features.unfinished import UnfinishedStore

_LARGEST_FLOAT16 = 65504.0
_TORCH_DTYPES = {"float32": torch.float32, "float16": torch.float16, "uint8": torch.uint8}


Packed = tuple[Tensor, Tensor]
"""Rows as a store holds them, (B, V, ...), and the largest absolute value among them before they were rounded to its dtype."""


def pack(activation: Tensor, dtype: str) -> Packed:
    """Prepare an activation, (B, V, ...), for a store of ``dtype``, on the device where it is.

    The largest value is NaN or infinite if one of them is, so this one number tells whether all of them fit.
    """
    low, high = torch.aminmax(activation)
    largest = torch.maximum(-low, high) if activation.is_floating_point() else high
    return activation.to(_TORCH_DTYPES[dtype]).contiguous(), largest


class ShardWriter:
    """Writes the shards of one store in the making; a shard that is on record already is left as it is."""

    def __init__(self, store: UnfinishedStore, precision: str) -> None:
        """Take the store, which is opened, and the precision of the forward pass."""
        self._store, self._precision = store, precision
        self._array = zarr.open_array(LocalStore(store.path), path=ARRAY_NAME, mode="r+", zarr_format=3)
        assert self._array.shards is not None
        self._shard = np.empty(self._array.shards, self._array.dtype)

    @property
    def dtype(self) -> str:
        """Of the store."""
        return str(self._array.dtype)

    def has_row(self, row: int) -> bool:
        """Tell whether the shard of a row is finished."""
        return self._store.has_shard(self._name(row // len(self._shard)))

    def add(self, start: int, rows: Tensor, largest: Tensor) -> None:
        """Take what :func:`pack` made of the activation of the rows from ``start`` on; write the shard with its last row.

        Raises InputError for an activation that is not finite or does not fit the store's dtype.
        """
        if self.has_row(start):
            return
        stop = start + len(rows)
        self._require_fit(f"layer {self._store.layer}, rows {start} to {stop - 1}", float(largest))
        shard, first = divmod(start, len(self._shard))
        self._shard[first : first + len(rows)] = rows.numpy()
        if first + len(rows) == len(self._shard) or stop == self._array.shape[0]:
            shard_start = shard * len(self._shard)
            self._array[shard_start:stop] = self._shard[: stop - shard_start]
            self._store.finish_shard(self._name(shard))

    def _name(self, shard: int) -> str:
        return shard_name(shard, self._array.ndim)

    def _require_fit(self, where: str, largest: float) -> None:
        if not np.isfinite(largest):
            raise InputError(describe_not_finite(where, self._precision))
        if self.dtype == "float16" and largest > _LARGEST_FLOAT16:
            raise InputError(
                f"{where}: an activation of {largest:.6g} does not fit float16 (at most 65504); use `-S extract.dtype=float32` "
                "(Zarr has no bfloat16)."
            )
