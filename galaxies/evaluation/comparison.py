"""Whether one revision is better than another on the same test galaxies, or had luck.

They are joined on id and image digest, or on id alone where one of them was of embeddings;
`galaxies.evaluation.differences` says what lies between them.

Legend: B test rows, K classes.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galaxies.errors import InputError
from galaxies.evaluation.differences import find_differences
from galaxies.evaluation.intervals import METRICS
from galaxies.evaluation.predictions import SavedPredictions


def compare_predictions(first: SavedPredictions, second: SavedPredictions) -> pd.DataFrame:
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


def _require_same_classes(first: SavedPredictions, second: SavedPredictions) -> None:
    if sorted(first.class_names) != sorted(second.class_names):
        raise InputError(
            f"{first.revision} knows the classes {', '.join(first.class_names)}, {second.revision} knows "
            f"{', '.join(second.class_names)}; only heads for the same classes can be compared."
        )


def _find_galaxies(first: SavedPredictions, second: SavedPredictions) -> NDArray[np.int64]:
    """Return where in ``first`` each galaxy of ``second`` stands, (B,)."""
    columns = ["id", "image_sha256"] if all((one.galaxies["image_sha256"] != "").all() for one in (first, second)) else ["id"]
    keys = [_name_galaxies(predictions.galaxies, columns) for predictions in (first, second)]
    only_first, only_second = (len(keys[side].difference(keys[1 - side])) for side in range(2))
    if only_first or only_second:
        common = len(keys[1].intersection(keys[0]))
        raise InputError(
            f"{first.revision} and {second.revision} were tested on different galaxies: {only_first} only there, {only_second} "
            f"only here, {common} in both (by {' and '.join(columns)}). The split must be the same: compare runs of equal "
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


def _name_galaxies(galaxies: pd.DataFrame, columns: list[str]) -> pd.MultiIndex:
    """Return the columns and, as `split.conflicts: keep` lets a galaxy stand there twice, the how many-th of these it is."""
    return pd.MultiIndex.from_frame(galaxies[columns].assign(place=galaxies.groupby(columns).cumcount()))
