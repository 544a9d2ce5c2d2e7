"""What a head says of the pool, the galaxies without a label: answered from the store, in the table that ``predict`` writes.

No image is read and, unless the head has a kept ending, nothing goes through a network but the head. Memory does not grow with
the pool but for the small tables. 1,000,000 x 512 features take 7 s on two cores (`benchmarks/classify_speed.py`).

Legend: N galaxies in the pool, B of them in a batch, C features, K classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.splits import UNLABELLED
from galaxies.features.reader import read_batches
from galaxies.features.survey import Survey
from galaxies.heads.class_meaning import ClassMeaning
from galaxies.heads.head import TrainedHead
from galaxies.prediction.answers import AskedHead
from galaxies.prediction.predictions import Predictions, predict_features
from galaxies.prediction.result_file import write_result
from galaxies.prediction.shortlist import Shortlist
from galaxies.prediction.table import tabulate_answers

# 8 MB of 512 features in float64, which novelty is measured in; of a kept ending, what goes through it at a time.
_BATCH_ROWS, _ENDING_ROWS = 2048, 64


@dataclass(frozen=True)
class PoolAnswers:
    """A head that answers for the pool of a survey."""

    survey: Survey
    galaxies: GalaxyFile
    trained: TrainedHead
    head_sha256: str  # of the head's file

    @property
    def rows(self) -> NDArray[np.int64]:
        """(N,) the pool, ascending."""
        return self.survey.splits.rows("pool")

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the K classes; none for a head that tells none."""
        return self.trained.meaning.class_names if isinstance(self.trained.meaning, ClassMeaning) else ()

    def write(self, out: Path, shortlist: Shortlist) -> None:
        """Write a row a galaxy of the pool to ``out``, in order, and show the answers to ``shortlist``."""
        asked = AskedHead(self.trained, self.head_sha256)

        def tabulate() -> Iterator[pa.RecordBatch]:
            for rows, features in self.read_features(self.rows):
                if isinstance(self.trained.meaning, ClassMeaning):
                    predictions = predict_features(self.trained, features)
                    shortlist.add(rows, predictions)
                    columns = tabulate_answers(predictions)
                else:
                    columns = asked.tabulate(features)
                columns |= self._describe(rows)
                yield pa.RecordBatch.from_arrays([columns[name] for name in asked.schema.names], schema=asked.schema)

        write_result(out, tabulate(), asked.schema)

    def answer(self, rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Predictions]]:
        """Yield which classes the head gives ascending rows of the catalog, batch by batch: the rows, (B,), and the answers."""
        for some, features in self.read_features(rows):
            yield some, predict_features(self.trained, features)

    def read_features(self, rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Yield what the head sees of ascending rows of the catalog, batch by batch: the rows, (B,), and features (B, C)."""
        batch_rows = _BATCH_ROWS if self.trained.ending is None else _ENDING_ROWS
        with tqdm(total=len(rows), desc="classify", unit="galaxy", delay=2) as progress:
            for places, activations in read_batches(self.survey.store, rows, batch_size=batch_rows):
                first = torch.from_numpy(np.ascontiguousarray(activations[:, 0]))
                yield rows[places], self.trained.features(first)
                progress.update(len(places))

    def describe_answers(self, rows: NDArray[np.int64]) -> dict[int, tuple[NDArray[np.float64], float, bool]]:
        """Return for each of ascending rows its probabilities, (K,), its novelty and whether it is novel."""
        found: dict[int, tuple[NDArray[np.float64], float, bool]] = {}
        for some, predictions in self.answer(rows):
            columns = (some.tolist(), predictions.probabilities, predictions.novelty.tolist(), predictions.is_novel.tolist())
            found |= {row: (shares, novelty, is_novel) for row, shares, novelty, is_novel in zip(*columns, strict=True)}
        return found

    def _describe(self, rows: NDArray[np.int64]) -> dict[str, pa.Array]:
        """Return the columns that say which galaxies they are."""
        listed, splits, nothing = self.survey.catalog.take(rows), self.survey.splits, pa.nulls(len(rows), pa.string())
        # A label that was given to a galaxy near a val or test galaxy leaves it in the pool.
        given = [None if label == UNLABELLED else splits.names[label] for label in splits.label[rows].tolist()]
        positions = {name: getattr(self.galaxies, name)[listed.galaxy] for name in ("ra", "dec", "pxscale")}
        return {
            "id": listed.ids,
            "path": nothing,
            **{name: pa.array(numbers, mask=~np.isfinite(numbers)) for name, numbers in positions.items()},
            "label": pa.array(given, pa.string()),
            "notes": nothing,
            "error": nothing,
        }
