"""All galaxies in two dimensions, by their features: ``data/projection.parquet``. What is alike to the network is near there.

Features are standardised and reduced to 50 principal components, in a stream; then one of three methods lays them out. Measured
on two busy cores, the share of ten nearest neighbours that stay neighbours, seconds, and megabytes that the method adds:

    method           2,979 x 384 (simulated survey)   100,000 x 512 (twelve clouds)   installed
    pca              0.11, 0 s                        0.02, 0 s                       0
    tsne, openTSNE   0.52, 6 to 40 s                  0.17, 133 s                     12
    pacmap           0.33, 45 s                       0.03, 40 s                      250 (numba, llvmlite, faiss)
    UMAP             0.39, 138 s                      0.04, 161 s                     200 (numba, llvmlite)

So t-SNE is the default, PaCMAP an extra for surveys of millions, and UMAP, which is beaten in all columns, is left out.
Legend: N rows of the catalog, B of a batch, C features, R reduced ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.linalg import eigh

from galaxies.data.catalog import Catalog
from galaxies.data.table_file import TableFile, slice_groups, write_table
from galaxies.errors import InputError
from galaxies.features.neighbours import average_batches
from galaxies.features.standardisation import measure_features
from galaxies.features.store import Store
from galaxies.params import Limits

Method = Literal["tsne", "pca", "pacmap"]

_NUM_REDUCED = 50
_PERPLEXITY = 30.0  # of t-SNE: about how many neighbours count, as everybody has it
_FEWEST_GALAXIES = 8  # With fewer there is nothing to lay out.
# Not the number of cores: sums of other parts have other last digits, and t-SNE makes another picture of them.
_NUM_THREADS = 2

_SCHEMA = pa.schema([pa.field("row", pa.int64(), nullable=False), *(pa.field(name, pa.float32(), False) for name in "xy")])


@dataclass(frozen=True)
class ProjectionParams:
    """The section ``projection`` of params.yaml."""

    method: Method = "tsne"  # pacmap needs `pip install -r requirements-pacmap.txt`
    seed: Annotated[int, Limits(0, 2**31 - 1)] = 0


def project_store(store: Store, params: ProjectionParams) -> NDArray[np.float32]:
    """Return a place in the plane for each row of a store, (N, 2); the same numbers for the same seed.

    Views and positions are averaged first. Memory holds N x 50 numbers and what the method needs of them.

    Raises:
        InputError: a row is not finite, or the method is not installed.
    """
    reduced = reduce_features(store, _NUM_REDUCED)
    if params.method == "pca" or len(reduced) < _FEWEST_GALAXIES:
        padded = np.zeros((len(reduced), 2), np.float32)
        padded[:, : reduced.shape[1]] = reduced[:, :2]
        return padded
    return _project_by_tsne(reduced, params.seed) if params.method == "tsne" else _project_by_pacmap(reduced, params.seed)


def reduce_features(store: Store, number: int) -> NDArray[np.float32]:
    """Return the strongest principal components of standardised features, (N, R), R at most ``number``; in three passes.

    A direction has the sign that makes its largest part positive, so that the result does not depend on the solver.
    """
    rows = np.arange(store.activations.shape[0])

    def batches() -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        return average_batches(store, rows, num_views=store.num_views)

    mean, std = measure_features(features for _, features in batches())
    covariance = np.zeros((len(mean), len(mean)))
    for _, features in batches():
        standardised = ((features - mean) / std).astype(np.float64)
        covariance += standardised.T @ standardised
    number = min(number, len(mean))
    _, directions = eigh(covariance, subset_by_index=[len(mean) - number, len(mean) - 1])
    directions = directions[:, ::-1]  # (C, R), the strongest first
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.sign(directions[largest, np.arange(number)])
    reduced = np.empty((len(rows), number), np.float32)
    for places, features in batches():
        reduced[places] = ((features - mean) / std) @ directions
    return reduced


def _project_by_tsne(reduced: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Lay out by t-SNE (van der Maaten & Hinton 2008; openTSNE: Poličar et al. 2024), begun at the first two components."""
    # It takes half a second to import.
    from openTSNE import TSNE

    # One scale for both axes, and small, as openTSNE itself begins.
    spread = float(reduced[:, 0].std())
    start = 1e-4 * reduced[:, :2] / (spread or 1.0)
    start = np.pad(start, ((0, 0), (0, 2 - start.shape[1]))).astype(np.float64)
    perplexity = min(_PERPLEXITY, (len(reduced) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, initialization=start, random_state=seed, n_jobs=_NUM_THREADS)
    return np.asarray(tsne.fit(reduced), np.float32)


def _project_by_pacmap(reduced: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Lay out by PaCMAP (Wang et al. 2021)."""
    try:
        from pacmap import PaCMAP
    except ImportError as error:
        raise InputError(
            f"projection.method: pacmap is not installed here ({error}); `pip install -r requirements-pacmap.txt`, or use "
            "`-S projection.method=tsne`."
        ) from error
    return np.asarray(PaCMAP(random_state=seed, apply_pca=False).fit_transform(reduced), np.float32)


def write_projection(path: Path, places: NDArray[np.float32], *, catalog: str, method: str) -> None:
    """Write ``projection.parquet``: row, x, y; ``catalog`` is the digest of the one whose rows these are."""
    tables = (
        pa.table([np.arange(span.start, span.stop), *places[span].T], schema=_SCHEMA) for span in slice_groups(len(places))
    )
    write_table(path, _SCHEMA, tables, encodings={"row": "DELTA_BINARY_PACKED"}, about={"catalog": catalog, "method": method})


def read_projection(path: Path, catalog: Catalog) -> tuple[NDArray[np.float32], str]:
    """Return the place of each row, (N, 2), and the method. Raises InputError when they are of another catalog."""
    table = TableFile(path, _SCHEMA, stage="project")
    if table.about["catalog"] != catalog.digest:
        raise InputError(f"{path} is of another catalog than {catalog.path}; `dvc repro --force project` makes it again.")
    content = table.read(0, len(table))
    table.require_rows(content, np.arange(len(catalog)))
    return np.stack([content["x"].to_numpy(), content["y"].to_numpy()], axis=1), str(table.about["method"])
