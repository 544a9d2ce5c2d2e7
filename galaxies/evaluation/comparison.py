"""Whether one revision is better than another on the same test galaxies, or had luck.

They are joined on id and image digest; `galaxies.evaluation.differences` says what lies between them.

Legend: B test rows, K classes.
"""

import io
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galaxies.errors import InputError
from galaxies.evaluation.differences import find_differences
from galaxies.evaluation.intervals import METRICS
from galaxies.evaluation.predictions import PROBABILITY_PREFIX
from galaxies.paths import PREDICTIONS

_KEYS = ["id", "image_sha256"]
_COLUMNS = [*_KEYS, "group", "label"]


@dataclass(frozen=True)
class Predictions:
    """What one revision said of its test galaxies."""

    revision: str
    galaxies: pd.DataFrame  # id, image_sha256, group, label; B rows
    class_names: tuple[str, ...]
    probabilities: NDArray[np.float64]  # (B, K)


def parse_predictions(text: str, revision: str) -> Predictions:
    """Return what metrics/predictions.csv, given as ``text``, says at a revision, which errors name.

    It says by itself which galaxies were tested (id, image digest, sky group), so that nothing of DVC's cache is needed.

    Raises InputError when it is not of this form.
    """
    table = pd.read_csv(io.StringIO(text), dtype={"id": str, "image_sha256": str, "label": str}, keep_default_na=False)
    missing = [name for name in _COLUMNS if name not in table]
    if missing or not len(table):
        found = f"lacks the columns {', '.join(missing)}" if missing else "has no galaxies"
        raise InputError(f"{PREDICTIONS} at {revision} {found}; `dvc repro evaluate` writes it anew.")
    columns = [name for name in table.columns.astype(str) if name.startswith(PROBABILITY_PREFIX)]
    names = tuple(name.removeprefix(PROBABILITY_PREFIX) for name in columns)
    probabilities = table[columns].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    broken = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if len(broken):
        raise InputError(
            f"{PREDICTIONS} at {revision}: the probabilities of galaxy {table['id'].iloc[broken[0]]} are not all numbers; "
            "`dvc repro evaluate` writes it anew."
        )
    return Predictions(revision, table[_COLUMNS], names, probabilities)


def compare_predictions(first: Predictions, second: Predictions) -> pd.DataFrame:
    """Return how much better the second is, a row a metric and a row the F1 of a class.

    Columns: metric, class_name (empty for all classes), first, second, difference (second - first), low, high (its 95 %
    interval), probability (that the second is better).

    Args:
        first: revision A.
        second: revision B; the sky groups and labels are those of its galaxies, which must be A's.

    Raises:
        InputError: the test galaxies, their labels or the classes differ.
    """
    _require_same_classes(first, second)
    names = second.class_names
    order = _find_galaxies(first, second)
    targets = np.array([names.index(label) for label in second.galaxies["label"]])
    places = [first.class_names.index(name) for name in names]
    group = second.galaxies["group"].to_numpy(np.int64)
    found = find_differences(targets, first.probabilities[order][:, places], second.probabilities, group)
    return pd.DataFrame(
        {
            "metric": [*METRICS, *["f1"] * len(names)],
            "class_name": [*[""] * len(METRICS), *names],
            "first": found.first,
            "second": found.second,
            "difference": found.second - found.first,
            "low": found.low,
            "high": found.high,
            "probability": found.probability,
        }
    )


def format_comparison(table: pd.DataFrame, first: str, second: str) -> str:
    """Return the table of ``compare_predictions`` as lines for people, under the names of the two revisions."""
    names = (table["metric"] + " " + table["class_name"]).str.strip()
    widths = [max(len(name), 10) for name in (first, second)]
    width = names.str.len().max()
    head = f"{'':{width}}  {first:>{widths[0]}}  {second:>{widths[1]}}  difference  95 % interval     {second} is better"
    columns = [table[name] for name in ("first", "second", "difference", "low", "high")]
    better = table["probability"].map(_format_probability)
    lines = [
        f"{name:{width}}  {a:{widths[0]}.4f}  {b:{widths[1]}.4f}  {change:+10.4f}  {low:+.4f}, {high:+.4f}  {share}"
        for name, a, b, change, low, high, share in zip(names, *columns, better, strict=True)
    ]
    return "\n".join([head, *lines])


def _format_probability(probability: float) -> str:
    """Return whole percents, but never a certainty."""
    if probability > 0.99:
        return "> 99%"
    return "< 1%" if probability < 0.01 else f"{probability:.0%}"


def _require_same_classes(first: Predictions, second: Predictions) -> None:
    if sorted(first.class_names) != sorted(second.class_names):
        raise InputError(
            f"{first.revision} knows the classes {', '.join(first.class_names)}, {second.revision} knows "
            f"{', '.join(second.class_names)}; only heads for the same classes can be compared."
        )


def _find_galaxies(first: Predictions, second: Predictions) -> NDArray[np.int64]:
    """Return where in ``first`` each galaxy of ``second`` stands, (B,)."""
    keys = [_name_galaxies(predictions.galaxies) for predictions in (first, second)]
    only_first, only_second = (len(keys[side].difference(keys[1 - side])) for side in range(2))
    if only_first or only_second:
        common = len(keys[1].intersection(keys[0]))
        raise InputError(
            f"{first.revision} and {second.revision} were tested on different galaxies: {only_first} only there, {only_second} "
            f"only here, {common} in both (by id and image digest). The split must be the same: compare runs of equal "
            "`download` and `split` parameters (`dvc params diff`)."
        )
    order = keys[0].get_indexer(keys[1])
    labels = first.galaxies["label"].to_numpy()[order], second.galaxies["label"].to_numpy()
    changed = np.flatnonzero(labels[0] != labels[1])
    if len(changed):
        place = changed[0]
        raise InputError(
            f"{len(changed)} test galaxies have another label in {first.revision} than in {second.revision} (first: "
            f"{second.galaxies['id'].iloc[place]}, {labels[0][place]} and {labels[1][place]}); run the older one again with "
            "the corrected labels."
        )
    return np.asarray(order, np.int64)


def _name_galaxies(galaxies: pd.DataFrame) -> pd.MultiIndex:
    """Return id, digest and, as `split.conflicts: keep` lets a galaxy stand there twice, the how many-th of these it is."""
    return pd.MultiIndex.from_frame(galaxies[_KEYS].assign(place=galaxies.groupby(_KEYS).cumcount()))
