"""How good a head is on any labelled inputs: the evaluate stage's metrics of a table of predictions.

Legend: B rows that count: with a label of the head's classes and without an error; K classes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from galaxies.data.galaxy_schema import GALAXY10_CLASS_NAMES
from galaxies.errors import InputError
from galaxies.evaluation.predictions import PROBABILITY_PREFIX
from galaxies.evaluation.scores import measure, measure_calibration
from galaxies.files import write_json
from galaxies.heads.head import TrainedHead

# What stands in the place of a target where a row has none.
_OTHER, _UNLABELLED, _ERROR = -1, -2, -3


def measure_parts(parts: Iterable[Path], trained: TrainedHead, out: Path) -> None:
    """Write the metrics of all rows that have a label of the head's classes and no error to ``out``, as JSON.

    Rows that were left out are counted beside them: ``num_errors``, ``num_unlabelled`` and ``num_other_labels``.

    Raises InputError when no row is left.
    """
    names, calibration = trained.class_names, trained.calibration
    read = [_read_part(part, names) for part in parts]
    targets = np.concatenate([part.targets for part in read])
    used = targets >= 0
    if not used.any():
        others = sorted(set().union(*(part.other_labels for part in read)))
        seen = f"the labels are {', '.join(others[:10])}" if others else "there are no labels"
        raise InputError(f"--metrics: {seen}; expected are the head's classes: {', '.join(names)}.")
    probabilities = np.concatenate([part.probabilities for part in read])
    metrics = measure(targets[used], probabilities, train_counts=np.array(trained.train_counts))
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


def _read_part(path: Path, names: Sequence[str]) -> _Part:
    columns = [f"{PROBABILITY_PREFIX}{name}" for name in names]
    table = pq.read_table(path, columns=["label", "error", *columns])
    # Few labels are different, and each is looked up once; the last place is that of rows without one.
    labels = table["label"].combine_chunks().dictionary_encode()
    known = {label: _target(label, names) for label in labels.dictionary.to_pylist()}
    codes = np.array([*known.values(), _UNLABELLED])
    targets = codes[labels.indices.fill_null(len(known)).to_numpy()]
    targets[table["error"].is_valid().to_numpy()] = _ERROR
    probabilities = np.stack([table[name].to_numpy()[targets >= 0] for name in columns], axis=1)
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
