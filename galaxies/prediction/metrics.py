"""How good a head is on any labelled inputs: the evaluate stage's metrics of a table of predictions.

Legend: B rows with a label, K classes.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from galaxies.data.galaxy_schema import GALAXY10_CLASS_NAMES
from galaxies.errors import InputError
from galaxies.evaluation.predictions import PROBABILITY_PREFIX
from galaxies.evaluation.scores import measure, measure_calibration
from galaxies.files import write_text
from galaxies.heads.conformal import predict_sets
from galaxies.heads.head import TrainedHead


def measure_parts(parts: Iterable[Path], trained: TrainedHead, out: Path) -> None:
    """Write the metrics of all rows that have a label of the head's classes and no error to ``out``, as JSON.

    Rows that were left out are counted beside them: ``num_errors``, ``num_unlabelled`` and ``num_other_labels``.

    Raises InputError when no row is left.
    """
    names = trained.class_names
    columns = [f"{PROBABILITY_PREFIX}{name}" for name in names]
    targets, probabilities = [np.empty(0, np.int64)], [np.empty((0, len(names)))]
    counts = dict.fromkeys(("num_errors", "num_unlabelled", "num_other_labels"), 0)
    others: set[str] = set()
    for part in parts:
        table = pq.read_table(part, columns=["label", "error", *columns])
        labels, errors = table["label"].to_pylist(), table["error"].to_pylist()
        found = np.array([_target(label, names) for label in labels])
        is_good = np.array([error is None for error in errors])
        is_labelled = np.array([label is not None for label in labels])
        counts["num_errors"] += int((~is_good).sum())
        counts["num_unlabelled"] += int((is_good & ~is_labelled).sum())
        counts["num_other_labels"] += int((is_good & is_labelled & (found < 0)).sum())
        others |= {label for label, target in zip(labels, found, strict=True) if label is not None and target < 0}
        used = is_good & (found >= 0)
        targets.append(found[used])
        probabilities.append(np.stack([table[name].to_numpy()[used] for name in columns], axis=1))
    all_targets = np.concatenate(targets)
    if not len(all_targets):
        seen = f"the labels are {', '.join(sorted(others)[:10])}" if others else "there are no labels"
        raise InputError(f"--metrics: {seen}; expected are the head's classes: {', '.join(names)}.")
    train_counts = np.array(trained.train_counts)
    all_probabilities = np.concatenate(probabilities)
    sets = predict_sets(all_probabilities, np.array(trained.set_thresholds))
    metrics = measure(all_targets, all_probabilities, train_counts=train_counts)
    metrics |= measure_calibration(
        all_targets,
        all_probabilities,
        sets,
        temperature=trained.temperature,
        confidence_threshold=trained.confidence_threshold,
    )
    write_text(out, json.dumps({**metrics, **counts}, indent=2) + "\n")


def _target(label: str | None, class_names: Sequence[str]) -> int:
    """Return the index of a label in the head's classes, -1 for another: by name, or by number where they are Galaxy10's."""
    if label in class_names:
        return class_names.index(str(label))
    is_galaxy10 = set(class_names) <= set(GALAXY10_CLASS_NAMES)
    if is_galaxy10 and label is not None and label.isdecimal() and int(label) < len(GALAXY10_CLASS_NAMES):
        name = GALAXY10_CLASS_NAMES[int(label)]
        return class_names.index(name) if name in class_names else -1
    return -1
