"""Other people's embeddings on their way into a ``galaxies.h5`` without images, block by block.

N galaxies, C features, B galaxies in a block.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from galaxies.data.embeddings_origin import EmbeddingsOrigin
from galaxies.data.galaxy_schema import EMBEDDINGS, GROUP, UNLABELLED_VALUE
from galaxies.data.hdf5_files import open_hdf5
from galaxies.data.splits import UNLABELLED
from galaxies.files import replacing


@dataclass(frozen=True)
class EmbeddingBlock:
    """Consecutive galaxies on their way into a file."""

    embeddings: NDArray[np.float32]  # (B, C)
    labels: NDArray[np.int16]  # (B,) index into the class names; -1: none
    ra: NDArray[np.float64]  # (B,) deg, NaN where unknown
    dec: NDArray[np.float64]  # (B,) deg
    group: NDArray[np.int64]  # (B,) galaxies of one number are never divided; -1: none
    ids: tuple[str, ...]  # (B,)


def write_embeddings(
    path: Path,
    blocks: Iterable[EmbeddingBlock],
    *,
    num_galaxies: int,
    num_features: int,
    class_names: Sequence[str],
    origin: EmbeddingsOrigin,
) -> None:
    """Stream ``blocks`` into a new file at ``path``; memory does not grow with ``num_galaxies``.

    Its attribute ``images`` says that there are none, and ``embeddings`` where these come from.
    """
    start = 0
    with replacing(path) as temporary, open_hdf5(temporary, "w") as file:
        file.create_dataset(EMBEDDINGS, (num_galaxies, num_features), np.float32)
        file.create_dataset("ans", (num_galaxies,), np.int16)
        for name in ("ra", "dec"):
            file.create_dataset(name, (num_galaxies,), np.float64)
        file.create_dataset(GROUP, (num_galaxies,), np.int64)
        file.create_dataset("ids", (num_galaxies,), h5py.string_dtype())
        file.attrs["class_names"] = np.array(class_names, dtype=h5py.string_dtype())
        file.attrs["images"] = "none"
        file.attrs[UNLABELLED_VALUE] = UNLABELLED
        file.attrs[EMBEDDINGS] = json.dumps(asdict(origin))
        for block in blocks:
            stop = start + len(block.ids)
            file[EMBEDDINGS][start:stop] = block.embeddings
            file["ans"][start:stop] = block.labels
            file["ra"][start:stop], file["dec"][start:stop] = block.ra, block.dec
            file[GROUP][start:stop], file["ids"][start:stop] = block.group, block.ids
            start = stop
    assert start == num_galaxies
