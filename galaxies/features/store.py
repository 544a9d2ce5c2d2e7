"""The activation store: a Zarr v3 group with one array, ``activations``, that says what it is.

Legend: N rows of the catalog, V views, C channels, T tokens, H x W positions. Row i of the array is row i of the catalog.
Pooled features are (N, V, C), maps keep the node's own shape: (N, V, C, H, W) or (N, V, T, C).
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Zstd
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec
from zarr.storage import LocalStore

from galaxies.errors import InputError
from galaxies.features.identity import Identity

ARRAY_NAME = "activations"

# By the number of axes. Written where Zarr keeps them, so that xarray and others open a store as it is.
_DIMENSION_NAMES = {
    3: ("galaxy", "view", "channel"),
    4: ("galaxy", "view", "token", "channel"),
    5: ("galaxy", "view", "channel", "y", "x"),
}

# A shard is one file and the unit of writing and of resuming: few files for DVC, small enough that a kill costs little.
_MAX_SHARD_ROWS = 512
_MAX_SHARD_BYTES = 64 << 20
# A chunk is the unit of reading: shuffled blocks of at most 64 rows train as well as a full shuffle (measured).
_MAX_CHUNK_ROWS = 64
_MAX_CHUNK_BYTES = 4 << 20
ZSTD_LEVEL = 1


@dataclass(frozen=True)
class Layout:
    """Shapes of one store. They follow from the layer's own shape only, so the shards of several layers nest."""

    row_shape: tuple[int, ...]  # (V, C), (V, C, H, W) or (V, T, C)
    dtype: str
    compressed: bool

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, uncompressed."""
        return math.prod(self.row_shape) * np.dtype(self.dtype).itemsize

    @property
    def shard_rows(self) -> int:
        """Rows in a shard: a power of two."""
        return _power_of_two(_MAX_SHARD_ROWS, _MAX_SHARD_BYTES // self.row_bytes)

    @property
    def chunk_rows(self) -> int:
        """Rows in a chunk: a power of two that divides the rows of a shard."""
        return min(self.shard_rows, _power_of_two(_MAX_CHUNK_ROWS, _MAX_CHUNK_BYTES // self.row_bytes))

    def compressed_fraction(self, rows: NDArray[Any]) -> float:
        """Return bytes on disk as a fraction of the bytes in memory, measured on a few rows, (B, V, ...)."""
        if not self.compressed:
            return 1.0
        with np.errstate(over="ignore"):  # Whether the numbers fit is for the writer to say.
            content = rows.astype(self.dtype).tobytes()
        return len(Zstd(level=ZSTD_LEVEL).encode(content)) / len(content)


def plan_layout(activation: NDArray[Any], dtype: str) -> Layout:
    """Return the layout of the store of a layer that gives ``activation``, (B, V, ...).

    Args:
        activation: float32; uint8 is kept as it is.
        dtype: ``float32``, ``float16``, or ``auto``: features float32 and maps float16. Effect on a linear head's accuracy
            of float16 instead of float32: 0.0008 (measured). Zarr has no bfloat16.
    """
    row_shape, is_map = tuple(activation.shape[1:]), activation.ndim > 3
    if activation.dtype == np.uint8:
        return Layout(row_shape, "uint8", compressed=True)
    return Layout(row_shape, ("float16" if is_map else "float32") if dtype == "auto" else dtype, compressed=is_map)


def _power_of_two(at_most: int, wanted: int) -> int:
    """Return the largest power of two not above ``at_most`` and ``wanted``, and at least 1."""
    return 1 << (max(1, min(at_most, wanted)).bit_length() - 1)


def create_store(path: Path, *, num_rows: int, layout: Layout, identity: Identity) -> "zarr.Array[Any]":
    """Make an empty store of ``num_rows`` rows at ``path`` and return its array, to be written in whole shards."""
    group = zarr.open_group(LocalStore(path), mode="w-", zarr_format=3)
    group.attrs.update({"identity": identity.to_json(), "key": identity.key})
    return group.create_array(
        ARRAY_NAME,
        shape=(num_rows, *layout.row_shape),
        dtype=layout.dtype,
        shards=(layout.shard_rows, *layout.row_shape),
        chunks=(layout.chunk_rows, *layout.row_shape),
        chunk_key_encoding={"name": "default", "separator": "."},
        # zstd 1 without shuffle: maps after a ReLU are mostly zeros; pooled features are dense and not worth it (measured).
        compressors=ZstdCodec(level=ZSTD_LEVEL) if layout.compressed else None,
        filters=None,
        dimension_names=_DIMENSION_NAMES[1 + len(layout.row_shape)],
        # Without this an all-zero shard would leave no file, and could not be told from one that is missing.
        config={"write_empty_chunks": True},
    )


def shard_path(path: Path, shard: int, num_axes: int) -> Path:
    """Return the file of one shard of the store at ``path``, whose array has ``num_axes`` axes."""
    return path / ARRAY_NAME / shard_name(shard, num_axes)


def shard_name(shard: int, num_axes: int) -> str:
    """Return the name of the file of one shard of an array of ``num_axes`` axes."""
    return ".".join(["c", str(shard), *["0"] * (num_axes - 1)])


class Store:
    """A finished store, opened for reading.

    Attributes:
        identity: what determines its numbers.
        key: the hash of the identity.
        activations: the Zarr array, (N, V, ...).
    """

    def __init__(self, path: Path) -> None:
        try:
            group = zarr.open_group(LocalStore(path, read_only=True), mode="r", zarr_format=3)
            array = group[ARRAY_NAME]
            self.identity = Identity.from_json(group.attrs["identity"])  # type: ignore[arg-type]
            self.key = str(group.attrs["key"])
        except (FileNotFoundError, KeyError, ValueError, TypeError) as error:
            raise InputError(f"{path} is not an activation store ({error}); `dvc repro` makes it.") from error
        if not isinstance(array, zarr.Array) or self.key != self.identity.key:
            raise InputError(
                f"{path}: the attributes were edited: the key {self.key[:12]} is not the hash of the identity. Delete the "
                "folder and run `dvc repro`."
            )
        self.path = path
        self.activations = array

    @property
    def is_pooled(self) -> bool:
        """Whether the store holds features, (N, V, C), and not maps."""
        return self.activations.ndim == 3

    @property
    def num_views(self) -> int:
        """Views of each galaxy, in the order of :func:`galaxies.backbones.transform.turn`."""
        return int(self.activations.shape[1])

    def require(self, expected: Identity) -> None:
        """Raise InputError that names each field of ``expected`` in which the store's identity differs."""
        differences = self.identity.differences(expected)
        if differences:
            listing = "\n".join(f"  {line}" for line in differences)
            raise InputError(
                f"{self.path} holds activations made under other settings:\n{listing}\n"
                "`dvc repro` makes them again under the present ones."
            )


def holds_store(path: Path, identity: Identity) -> bool:
    """Tell whether the store of an identity is at ``path``."""
    try:
        Store(path).require(identity)
    except InputError:
        return False
    return True
