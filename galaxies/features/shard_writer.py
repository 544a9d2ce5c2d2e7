"""Activations of one layer on their way to disk: collected row by row, written a whole shard at a time.

Legend: B rows in a batch, R rows in a shard, V views.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from torch import Tensor
from zarr.storage import LocalStore

from galaxies.errors import InputError
from galaxies.features.selfcheck import describe_not_finite
from galaxies.features.shard_encoder import encode_shard
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


@dataclass(frozen=True)
class Shard:
    """All rows of one shard, ready to be written."""

    number: int
    rows: NDArray[Any]  # (R, V, ...); fewer at the end of the store


class ShardWriter:
    """Writes the shards of one store in the making; a shard that is on record already is left as it is.

    Attributes:
        dtype: of the store.
        is_compressed: whether writing is work for several threads.
        shard_rows: in a shard.
    """

    def __init__(self, store: UnfinishedStore, precision: str) -> None:
        """Take the store, which is opened, and the precision of the forward pass."""
        self._store, self._precision = store, precision
        array = zarr.open_array(LocalStore(store.path), path=ARRAY_NAME, mode="r", zarr_format=3)
        assert array.shards is not None
        self.dtype, self.is_compressed = str(array.dtype), bool(array.compressors)
        self._num_rows, self._num_axes = array.shape[0], array.ndim
        self._shard_shape, self._chunk_rows = array.shards, array.chunks[0]
        self.shard_rows: int = array.shards[0]
        self._rows: NDArray[Any] | None = None  # of the shard that is collected

    def has_row(self, row: int) -> bool:
        """Tell whether the shard of a row is finished."""
        return self._store.has_shard(self._name(row // self._shard_shape[0]))

    def make_rows(self, num_rows: int) -> Tensor:
        """Return rows of zeros, (B, V, ...)."""
        return torch.zeros(num_rows, *self._shard_shape[1:], dtype=_TORCH_DTYPES[self.dtype])

    def find_misfits(self, rows: Tensor, largest: Tensor) -> dict[int, str]:
        """Return which of the rows that :func:`pack` made are not finite or do not fit the store's dtype, with the reason."""
        if self._complain("", float(largest)) is None:
            return {}
        largest_of_row = rows.flatten(1).float().abs().amax(dim=1)
        bad = torch.nonzero(~torch.isfinite(largest_of_row)).flatten()
        return dict.fromkeys(bad.tolist(), f"the network gives numbers that {self.dtype} cannot hold")

    def add(self, start: int, rows: Tensor, largest: Tensor) -> Shard | None:
        """Take what :func:`pack` made of the activation of the rows from ``start`` on, and return the shard that they complete.

        Rows come in order. Raises InputError for an activation that is not finite or does not fit the store's dtype.
        """
        if self.has_row(start):
            return None
        stop = start + len(rows)
        if complaint := self._complain(f"layer {self._store.layer}, rows {start} to {stop - 1}", float(largest)):
            raise InputError(complaint)
        number, first = divmod(start, self._shard_shape[0])
        if self._rows is None:
            self._rows = np.empty(self._shard_shape, self.dtype)
        last = first + len(rows)
        self._rows[first:last] = rows.numpy()
        if last < self._shard_shape[0] and stop < self._num_rows:
            return None
        shard, self._rows = Shard(number, self._rows[:last]), None  # Whoever writes it may take longer than the next rows.
        return shard

    def write(self, shard: Shard, then: Callable[[str], None] | None = None) -> None:
        """Write a shard, call ``then`` with its digest, and put it on record; several threads may write at the same time."""
        content = encode_shard(
            shard.rows,
            chunk_rows=self._chunk_rows,
            num_chunks=self._shard_shape[0] // self._chunk_rows,
            compressed=self.is_compressed,
        )
        self._store.write_shard(self._name(shard.number), content, then)

    def _name(self, shard: int) -> str:
        return shard_name(shard, self._num_axes)

    def _complain(self, where: str, largest: float) -> str | None:
        """Return what is wrong with rows of which the largest number was ``largest``, None where they fit."""
        if not np.isfinite(largest):
            return describe_not_finite(where, self._precision)
        if self.dtype == "float16" and largest > _LARGEST_FLOAT16:
            return (
                f"{where}: an activation of {largest:.6g} does not fit float16 (at most 65504); use `-S extract.dtype=float32` "
                "(Zarr has no bfloat16)."
            )
        return None
