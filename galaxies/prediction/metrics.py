"""How good a head is on any labelled inputs: the evaluate stage's metrics of a table of predictions.

Legend: B rows with a label, K classes.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
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

_COUNTS = ("num_errors", "num_unlabelled", "num_other_labels")
_OTHER, _UNLABELLED = -1, -2


def measure_parts(parts: Iterable[Path], trained: TrainedHead, out: Path) -> None:
    """Write the metrics of all rows that have a label of the head's classes and no error to ``out``, as JSON.

    Rows that were left out are counted beside them: ``num_errors``, ``num_unlabelled`` and ``num_other_labels``.

    Raises InputError when no row is left.
    """
    names, counts, others = trained.class_names, Counter(dict.fromkeys(_COUNTS, 0)), set[str]()
    found = [_read_part(part, names, counts, others) for part in parts]
    targets = np.concatenate([np.empty(0, np.int64), *(some for some, _ in found)])
    if not len(targets):
        seen = f"the labels are {', '.join(sorted(others)[:10])}" if others else "there are no labels"
        raise InputError(f"--metrics: {seen}; expected are the head's classes: {', '.join(names)}.")
    probabilities = np.concatenate([some for _, some in found])
    calibration = trained.calibration
    metrics = measure(targets, probabilities, train_counts=np.array(trained.train_counts))
    metrics |= measure_calibration(
        targets,
        probabilities,
        calibration.predict_sets(probabilities),
        temperature=calibration.temperature,
        confidence_threshold=calibration.confidence_threshold,
    )
    write_json(out, {**metrics, **counts})


def _read_part(
    part: Path, names: Sequence[str], counts: Counter[str], others: set[str]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return targets (B,) and probabilities (B, K) of the rows that count, and add to what is said of those that do not."""
    columns = [f"{PROBABILITY_PREFIX}{name}" for name in names]
    table = pq.read_table(part, columns=["label", "error", *columns])
    # Few labels are different, and each is looked up once; the last place is that of rows without one.
    labels = table["label"].combine_chunks().dictionary_encode()
    known = np.array([*(_target(label, names) for label in labels.dictionary.to_pylist()), _UNLABELLED])
    target = known[labels.indices.fill_null(len(known) - 1).to_numpy()]
    is_good = table["error"].is_null().to_numpy()
    counts["num_errors"] += int((~is_good).sum())
    counts["num_unlabelled"] += int((is_good & (target == _UNLABELLED)).sum())
    counts["num_other_labels"] += int((is_good & (target == _OTHER)).sum())
    others |= {label for label, found in zip(labels.dictionary.to_pylist(), known.tolist(), strict=False) if found == _OTHER}
    used = is_good & (target >= 0)
    return target[used], np.stack([table[name].to_numpy()[used] for name in columns], axis=1)


def _target(label: str, class_names: Sequence[str]) -> int:
    """Return the index of a label in the head's classes, or ``_OTHER``: by name, or by number where they are Galaxy10's."""
    if label in class_names:
        return class_names.index(label)
    is_galaxy10 = set(class_names) <= set(GALAXY10_CLASS_NAMES)
    if is_galaxy10 and label.isdecimal() and int(label) < len(GALAXY10_CLASS_NAMES):
        name = GALAXY10_CLASS_NAMES[int(label)]
        return class_names.index(name) if name in class_names else _OTHER
    return _OTHER
