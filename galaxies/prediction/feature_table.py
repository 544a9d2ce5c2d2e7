"""The features of a survey as one Parquet file for other tools."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from galaxies.errors import InputError
from galaxies.features.store import Store
from galaxies.files import replacing
from galaxies.prediction.stored_survey import StoredSurvey

_GROUP_ROWS = 4096  # in a row group of the file, the unit of reading


def export_features(survey: StoredSurvey, out: Path) -> None:
    """Write a row a galaxy: row, id, label, ra, dec (deg, null where unknown), group and features, a list of float32.

    As a source of ``embeddings`` it gives the same heads: the order of the classes stands in the file's metadata, and so does
    the store's identity, as JSON under ``galaxies``. Of several views it holds the first. A galaxy that could not be read is
    left out. Memory does not grow with the survey but by what the pipeline's tables take.

    Args:
        survey: with pooled features.
        out: the Parquet file.

    Raises:
        InputError: the store holds maps.
    """
    store = survey.store
    if not store.is_pooled:
        raise InputError(f"{store.path} holds maps or images; features for other tools are pooled: use `-S extract.pool=avg`.")
    schema = _make_schema(store, survey.galaxies.list_classes())
    with replacing(out) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for start in range(0, len(survey), _GROUP_ROWS):
            stop = min(start + _GROUP_ROWS, len(survey))
            galaxies = survey.galaxies.read(start, stop)
            rows = np.flatnonzero(galaxies["error"].is_null())
            features = survey.features(start + rows)
            known = galaxies.take(pa.array(rows))
            columns = [
                pa.array(start + rows),
                *(known[name] for name in ("id", "label", "ra", "dec")),
                survey.galaxies.read_groups(start, stop).take(pa.array(rows)),
                pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), features.shape[1]),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _make_schema(store: Store, class_names: list[str]) -> pa.Schema:
    fields = [
        pa.field("row", pa.int64()),
        pa.field("id", pa.string()),
        pa.field("label", pa.string()),
        pa.field("ra", pa.float64()),
        pa.field("dec", pa.float64()),
        pa.field("group", pa.int64()),
        pa.field("features", pa.list_(pa.float32(), store.activations.shape[-1])),
    ]
    about = {"identity": store.identity.to_json(), "class_names": class_names}
    return pa.schema(fields, metadata={"galaxies": json.dumps(about, sort_keys=True)})
