"""Galaxies whose activations are stored, whoever stored them: a kept survey, or a store of the pipeline. Heads answer from it.

Legend: N rows, B some of them, V views, C features, K classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from galaxies.data.field_of_view import read_field
from galaxies.errors import InputError
from galaxies.features.framing import Framing
from galaxies.features.reader import read_batches
from galaxies.features.store import Store
from galaxies.heads.head import TrainedHead
from galaxies.heads.inference import map_rows
from galaxies.paths import CATALOG, FIELD_OF_VIEW
from galaxies.prediction.adaptation import measure_survey, spread
from galaxies.prediction.answers import AskedHead, ask, ask_model
from galaxies.prediction.galaxy_tables import CatalogTable, GalaxyTable
from galaxies.prediction.kept_table import KeptTable, table_path
from galaxies.prediction.model import Model
from galaxies.prediction.table import GALAXY_SCHEMA, tabulate_rows

_SPAN_ROWS = 8192

# 33 MB of 2,048 features in float64, which novelty is measured in.
_ANSWER_ROWS = 2048


@dataclass(frozen=True)
class StoredSurvey:
    """N galaxies with activations. Made by :func:`open_survey`."""

    store: Store
    galaxies: GalaxyTable
    framing: Framing | None  # how the images were read; None where that is not on record
    holds_features: bool = False  # of one head, whose ending has seen the activations

    def __len__(self) -> int:
        return len(self.galaxies)

    @cached_property
    def has_features(self) -> NDArray[np.bool_]:
        """(N,) whether a galaxy could be read; the row of any other is zeros and means nothing."""
        known = np.empty(len(self), bool)
        for start in range(0, len(self), _SPAN_ROWS):
            errors = self.galaxies.read(start, min(start + _SPAN_ROWS, len(self)), ["error"])["error"]
            known[start : start + _SPAN_ROWS] = errors.is_null().to_numpy(zero_copy_only=False)
        return known

    @property
    def rows(self) -> NDArray[np.int64]:
        """The rows that have features, ascending."""
        return np.flatnonzero(self.has_features)

    def table(self) -> pa.Table:
        """Return a row a galaxy: id, path, index, ra, dec (deg), pxscale (arcsec/px), label, notes, is_doubtful, error."""
        starts = range(0, len(self), _SPAN_ROWS)
        batches = [self.galaxies.read(start, min(start + _SPAN_ROWS, len(self))) for start in starts]
        return pa.Table.from_batches(batches, GALAXY_SCHEMA)

    def features(self, rows: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Return features of rows, (B, C) float32, of the first view; maps are averaged over their positions.

        Args:
            rows: (B,), in any order; None: all of ``rows``.

        Raises:
            InputError: one of them has none: its image could not be read.
            IndexError: there is no such row.
        """
        wanted = self.rows if rows is None else np.asarray(rows, np.int64)
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(f"rows: found {wanted.min()} to {wanted.max()}, there are {len(self)}")
        lost = wanted[~self.has_features[wanted]]
        if len(lost):
            raise InputError(f"{self.store.path}: {len(lost)} of the rows have no features (row {lost[0]} …); ask for `rows`.")
        ascending, places = np.unique(wanted, return_inverse=True)
        channel_axis = 1 if self.store.activations.ndim == 5 else self.store.activations.ndim - 2  # of one view, (B, ...)
        found = np.empty((len(ascending), self.store.activations.shape[1 + channel_axis]), np.float32)
        for positions, activations in read_batches(self.store, ascending, batch_size=256):
            first = activations[:, 0]
            averaged = tuple(axis for axis in range(1, first.ndim) if axis != channel_axis)
            found[positions] = first.mean(axis=averaged, dtype=np.float32) if averaged else first
        return found[places]

    def predict(self, model: Model | str | Path) -> pa.Table:
        """Return what a head says of each galaxy, N rows in the columns of `predict`; no image is read.

        Args:
            model: loaded, or the place of a head: its backbone is not needed.

        Raises:
            InputError: the head was trained on other features, or images of another field.
        """
        asked = ask_model(model) if isinstance(model, Model) else ask(model)
        return pa.Table.from_batches(self.answer(asked), asked.schema)

    def adapt(self, asked: AskedHead, num_rows: int) -> AskedHead:
        """Return the head for the first rows, standardising by their own features (``adaptation``)."""
        rows = spread(np.flatnonzero(self.has_features[:num_rows]))
        return asked.standardised_by(*measure_survey([self.head_features(asked, rows)]))

    def answer(self, asked: AskedHead, num_rows: int | None = None) -> Iterator[pa.RecordBatch]:
        """Yield what a head says, a row a galaxy in order, in its ``schema``, in constant memory.

        Args:
            asked: the head.
            num_rows: of the first ones; None: all.

        Raises:
            InputError: as :meth:`require` does.
        """
        self.require(asked.trained)
        num_rows = len(self) if num_rows is None else min(num_rows, len(self))
        repeated = self._find_repeated(num_rows)
        with tqdm(total=num_rows, desc="answer", unit="galaxy", delay=2) as progress:
            for start in range(0, num_rows, _ANSWER_ROWS):
                stop = min(start + _ANSWER_ROWS, num_rows)
                galaxies = self.galaxies.read(start, stop)
                rows = start + np.flatnonzero(galaxies["error"].is_null())
                answers = asked.tabulate(self.head_features(asked, rows).to(asked.device))
                yield tabulate_rows(galaxies, np.isin(_hash_ids(galaxies["id"]), repeated), answers, asked.schema)
                progress.update(stop - start)

    def require(self, trained: TrainedHead) -> str | None:
        """Return what there is to say of a head that is asked about these galaxies, None where all agrees.

        Raises InputError that names the difference where it was trained on other features.
        """
        differences = self.store.identity.answers(trained.identity)
        if differences and not self.holds_features:
            listing = "\n".join(f"  {line}" for line in differences)
            raise InputError(
                f"{self.store.path} holds activations made under other settings than the head's:\n{listing}\n"
                "Keep the images once more with this head, under another name."
            )
        return self.framing.require(trained.field, where=str(self.store.path)) if self.framing else None

    def head_features(self, asked: AskedHead, rows: NDArray[np.int64]) -> Tensor:
        """Return the features that a head sees of some rows, ascending, (B, C) float32 on the CPU."""
        make = (lambda activations: activations) if self.holds_features else asked.trained.features
        return map_rows(make, self.store, rows, width=asked.trained.head.num_features, device=asked.device)

    def _find_repeated(self, num_rows: int) -> NDArray[np.uint64]:
        """Return the hashes of the ids that more than one of the first rows have, ascending: 8 bytes a row."""
        hashes = np.empty(num_rows, np.uint64)
        for start in range(0, num_rows, _SPAN_ROWS):
            stop = min(start + _SPAN_ROWS, num_rows)
            hashes[start:stop] = _hash_ids(self.galaxies.read(start, stop, ["id"])["id"])
        hashes.sort()
        return np.unique(hashes[1:][hashes[1:] == hashes[:-1]])


def _hash_ids(ids: pa.StringArray) -> NDArray[np.uint64]:
    """Return a hash of each id, (B,)."""
    return pd.util.hash_array(ids.to_numpy(zero_copy_only=False), categorize=False)


def open_survey(path: str | Path) -> StoredSurvey:
    """Open a kept survey, or a store of the pipeline (``features/<layer>.zarr``), whose repository is around it.

    Raises:
        InputError: there is none, it is not whole, or the store is not one of the repository's catalog.
    """
    path = Path(path)
    store = Store(path)
    num_rows, key = store.activations.shape[0], store.key
    if store.identity.framing is not None:
        assert store.activations.shards is not None
        table = KeptTable(table_path(path), num_rows=num_rows, block_rows=store.activations.shards[0], key=key)
        return StoredSurvey(store, table, store.identity.framing)
    catalog = CatalogTable(path.resolve().parent.parent)
    if store.identity.catalog != catalog.digest:
        raise InputError(
            f"{path} holds the galaxies of another catalog ({store.identity.catalog[:12]}) than {catalog.folder / CATALOG} "
            f"({catalog.digest[:12]}); `dvc repro` makes it anew."
        )
    field = catalog.folder / FIELD_OF_VIEW
    return StoredSurvey(store, catalog, Framing(read_field(field)) if field.exists() else None)
