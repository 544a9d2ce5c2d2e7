"""How good a head is on any labelled inputs: the evaluate stage's metrics of a table of predictions.

Legend: B rows that count: with a label of the head's classes and without an error; K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from galaxies.data.galaxy_schema import GALAXY10_CLASS_NAMES
from galaxies.errors import InputError
from galaxies.evaluation.predictions import PROBABILITY_PREFIX
from galaxies.evaluation.scores import measure, measure_calibration
from galaxies.files import write_json
from galaxies.heads.head import TrainedHead

# What stands in the place of a target where a row has none.
_OTHER, _UNLABELLED, _ERROR = -1, -2, -3


class Measurements:
    """Collects the rows that have a label of the head's classes and no error, to measure them all."""

    def __init__(self, trained: TrainedHead) -> None:
        """Take the head that answered."""
        self._trained, self._read = trained, list[_Part]()

    def add(self, batch: pa.RecordBatch) -> None:
        """Take rows of the result."""
        self._read.append(_read_batch(batch, self._trained.class_names))

    def write(self, out: Path) -> None:
        """Write the metrics to ``out``, as JSON.

        Rows that were left out are counted beside them: ``num_errors``, ``num_unlabelled`` and ``num_other_labels``. Raises
        InputError when no row is left.
        """
        names, calibration = self._trained.class_names, self._trained.calibration
        targets = np.concatenate([part.targets for part in self._read])
        used = targets >= 0
        if not used.any():
            others = sorted(set().union(*(part.other_labels for part in self._read)))
            seen = f"the labels are {', '.join(others[:10])}" if others else "there are no labels"
            raise InputError(f"--metrics: {seen}; expected are the head's classes: {', '.join(names)}.")
        probabilities = np.concatenate([part.probabilities for part in self._read])
        metrics = measure(targets[used], probabilities, train_counts=np.array(self._trained.train_counts))
        metrics |= measure_calibration(
            targets[used],
            probabilities,
            calibration.predict_sets(probabilities),
            temperature=calibration.temperature,
            confidence_threshold=calibration.confidence_threshold,
        )
        counted = {"num_errors": _ERROR, "num_unlabelled": _UNLABELLED, "num_other_labels": _OTHER}
        write_json(out, {**metrics, **{name: int((targets == code).sum()) for name, code in counted.items()}})


@dataclass(frozen=True)
class _Part:
    targets: NDArray[np.int64]  # (rows,) index of the label in the head's classes; below 0 where the row does not count
    probabilities: NDArray[np.float64]  # (B, K) of the rows that count
    other_labels: frozenset[str]  # that are none of the head's classes


def _read_batch(batch: pa.RecordBatch, names: Sequence[str]) -> _Part:
    # Few labels are different, and each is looked up once; the last place is that of rows without one.
    labels = batch["label"].dictionary_encode()
    known = {label: _target(label, names) for label in labels.dictionary.to_pylist()}
    codes = np.array([*known.values(), _UNLABELLED])
    targets = codes[labels.indices.fill_null(len(known)).to_numpy()]
    targets[batch["error"].is_valid().to_numpy(zero_copy_only=False)] = _ERROR
    columns = [batch[f"{PROBABILITY_PREFIX}{name}"].to_numpy(zero_copy_only=False) for name in names]
    probabilities = np.stack([column[targets >= 0] for column in columns], axis=1)
    return _Part(targets, probabilities, frozenset(label for label, target in known.items() if target == _OTHER))


def _target(label: str, class_names: Sequence[str]) -> int:
    """Return the index of a label in the head's classes, or ``_OTHER``: by name, or by number where they are Galaxy10's."""
    if label in class_names:
        return class_names.index(label)
    is_galaxy10 = set(class_names) <= set(GALAXY10_CLASS_NAMES)
    if is_galaxy10 and label.isdecimal() and int(label) < len(GALAXY10_CLASS_NAMES):
        name = GALAXY10_CLASS_NAMES[int(label)]
        return class_names.index(name) if name in class_names else _OTHER
    return _OTHER
