"""The table that ``predict`` writes: its columns, the same for every run of a head; and what is known of a galaxy before.

They are made of a batch of galaxies at once, as Arrow holds them. Legend: B galaxies, K classes.
"""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from galaxies.evaluation.predictions import PROBABILITY_PREFIX
from galaxies.prediction.predictions import Predictions
from galaxies.sources.decoding import Decoded

SCHEMA_VERSION = 2
"""Raised when a column changes its name, type or meaning."""

_PROBABILITIES = f"{PROBABILITY_PREFIX}<class>"
COLUMNS: Mapping[str, tuple[pa.DataType, str]] = {
    "id": (pa.string(), "the catalogue's id, or the path without its ending"),
    "path": (pa.string(), "the file; of three bands that of g"),
    "ra": (pa.float64(), "right ascension in deg, where the input gives it"),
    "dec": (pa.float64(), "declination in deg, where the input gives it"),
    "pxscale": (pa.float64(), "pixel scale in arcsec/px of the catalogue or the FITS header"),
    "label": (pa.string(), "the true class, where the input gives it"),
    "predicted": (pa.string(), "the most probable class"),
    _PROBABILITIES: (pa.float64(), "the calibrated probability of a class, a column each"),
    "confidence": (pa.float64(), "the probability of the predicted class"),
    "margin": (pa.float64(), "how much more probable it is than the second"),
    "conformal_set": (pa.list_(pa.string()), "the classes it may well be; of each class, 9 in 10 galaxies have theirs in it"),
    "abstain": (
        pa.bool_(),
        "a person should look: right less than 9 times in 10 at that confidence, a novel or doubtful image, or an error",
    ),
    "novelty": (pa.float64(), "distance from the training galaxies in feature space, near 1 for these"),
    "is_novel": (pa.bool_(), "farther than 19 in 20 galaxies like those of training: no probability means much"),
    "notes": (pa.string(), "what was assumed or done to the image"),
    "error": (pa.string(), "why there is no prediction"),
}
"""Name, type and meaning of each column, in order."""


def make_schema(class_names: Sequence[str], about: Mapping[str, object]) -> pa.Schema:
    """Return the schema for a head's classes; ``about`` goes into the file's metadata as JSON, with the schema's version."""
    fields = []
    for name, (kind, meaning) in COLUMNS.items():
        names = [f"{PROBABILITY_PREFIX}{class_name}" for class_name in class_names] if name == _PROBABILITIES else [name]
        fields += [pa.field(each, kind, metadata={"description": meaning}) for each in names]
    metadata = {"galaxies": json.dumps({"schema_version": SCHEMA_VERSION, **about}, sort_keys=True)}
    return pa.schema(fields, metadata=metadata)


GALAXY_SCHEMA = pa.schema(
    [
        pa.field(name, kind, metadata={"description": meaning})
        for name, kind, meaning in (
            ("id", *COLUMNS["id"]),
            ("path", *COLUMNS["path"]),
            ("index", pa.int64(), "the place of its image in a file that holds many"),
            *((name, *COLUMNS[name]) for name in ("ra", "dec", "pxscale", "label", "notes")),
            ("is_doubtful", pa.bool_(), "a note says that the pixels may not be what they are taken for"),
            ("error", pa.string(), "why it has no features: its row of the store is zeros"),
        )
    ]
)
"""What is known of a galaxy of a survey before any head is asked."""

_REPEATED = "another input has the same id"


def tabulate_rows(
    galaxies: pa.RecordBatch, is_repeated: NDArray[np.bool_], answers: Mapping[str, pa.Array], schema: pa.Schema
) -> pa.RecordBatch:
    """Return a row a galaxy.

    Args:
        galaxies: B of them, in GALAXY_SCHEMA.
        is_repeated: (B,) whether another one has the same id.
        answers: columns that say what a head says of those without an error, in order, as :func:`tabulate_answers` gives them.
        schema: as :func:`make_schema` makes it.
    """
    has_features = galaxies["error"].is_null().to_numpy(zero_copy_only=False)
    place = pa.array(np.cumsum(has_features) - 1, mask=~has_features)
    # A place that is unknown takes what is unknown.
    told = pa.RecordBatch.from_arrays(list(answers.values()), names=list(answers)).take(place)
    columns = dict(zip(galaxies.schema.names, galaxies.columns, strict=True))
    columns |= dict(zip(told.schema.names, told.columns, strict=True))
    columns["abstain"] = pc.or_(columns["abstain"].fill_null(True), galaxies["is_doubtful"])
    notes = columns["notes"]
    more = pc.binary_join_element_wise(notes, _REPEATED, "; ").fill_null(_REPEATED)
    columns["notes"] = pc.if_else(pa.array(is_repeated), more, notes)
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def tabulate_answers(predictions: Predictions) -> dict[str, pa.Array]:
    """Return the columns, by name, that say what a head says of B galaxies."""
    names, novelty = pa.array(predictions.class_names, pa.string()), predictions.novelty
    members = names.take(pa.array(np.nonzero(predictions.sets)[1]))
    ends = np.concatenate([[0], np.cumsum(predictions.sets.sum(axis=1))]).astype(np.int32)
    probabilities = zip(predictions.class_names, predictions.probabilities.T, strict=True)
    return {
        "predicted": names.take(pa.array(predictions.targets)),
        **{f"{PROBABILITY_PREFIX}{name}": pa.array(np.ascontiguousarray(column)) for name, column in probabilities},
        "confidence": pa.array(predictions.confidence),
        "margin": pa.array(predictions.margin),
        "conformal_set": pa.ListArray.from_arrays(ends, members),
        "abstain": pa.array(predictions.abstain),
        "novelty": known_numbers(novelty),
        "is_novel": pa.array(predictions.is_novel, mask=~np.isfinite(novelty)),
    }


def tabulate_inputs(batch: Sequence[Decoded]) -> pa.RecordBatch:
    """Return which galaxies B inputs are, and what happened to their images, in GALAXY_SCHEMA."""
    entries = [decoded.entry for decoded in batch]
    columns = {
        "id": _text([entry.id for entry in entries]),
        "path": _text([str(entry.files[0]) if entry.files else "" for entry in entries]),
        "index": pa.array([entry.index for entry in entries], pa.int64()),
        **{
            name: known_numbers(np.array([getattr(entry, name) for entry in entries], np.float64))
            for name in ("ra", "dec", "pxscale")
        },
        "label": _text([entry.label for entry in entries]),
        "notes": _text(["; ".join(filter(None, decoded.notes)) or None for decoded in batch]),
        "is_doubtful": pa.array([decoded.is_doubtful for decoded in batch], pa.bool_()),
        "error": _text([decoded.error for decoded in batch]),
    }
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=GALAXY_SCHEMA)


def known_numbers(numbers: NDArray[np.float64]) -> pa.DoubleArray:
    """Return numbers (B,), null where they are not finite."""
    return pa.array(numbers, mask=~np.isfinite(numbers))


def _text(texts: Sequence[str | None]) -> pa.StringArray:
    """Return text that UTF-8 can hold: a name may have any bytes. What is not UTF-8 is taken for Latin-1."""
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        return pa.array([text and _clean(text) for text in texts], pa.string())


def _clean(text: str) -> str:
    content = text.encode("utf-8", "surrogateescape")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")
