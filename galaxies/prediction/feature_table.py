"""The features of the catalogue as one Parquet file for other tools."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from galaxies.data.catalog import Catalog
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.galaxy_schema import UNLABELLED
from galaxies.data.splits import read_splits
from galaxies.errors import InputError
from galaxies.features.store import Store
from galaxies.files import replacing
from galaxies.paths import CATALOG, GALAXIES, SPLITS

_GROUP_ROWS = 4096  # in a row group of the file, the unit of reading


def export_features(store_path: Path, out: Path, *, folder: Path) -> None:
    """Write a row a galaxy: row, id, label, ra, dec (deg, null where unknown), group and features, a list of float32.

    As a source of ``embeddings`` it gives the same heads: the order of the classes stands in the file's metadata, and so does
    the store's identity, as JSON under ``galaxies``. Of several views it holds the first. Memory does not grow with the
    catalogue but by its labels.

    Args:
        store_path: of pooled features.
        out: the Parquet file.
        folder: the repository, with data/ as the pipeline writes it.

    Raises:
        InputError: the store holds maps, or belongs to another catalogue.
    """
    catalog, store = Catalog(folder / CATALOG), Store(store_path)
    store.require(replace(store.identity, catalog=catalog.digest))
    splits = read_splits(folder / SPLITS, catalog)
    names = pa.array([splits.names.get(label) for label in range(splits.label.max(initial=0) + 1)], pa.string())
    labels = pa.array(splits.label, mask=splits.label == UNLABELLED)
    with GalaxyFile(folder / GALAXIES, needs_images=False) as galaxies:
        ra, dec = galaxies.ra, galaxies.dec
    if not store.is_pooled:
        raise InputError(f"{store_path} holds maps or images; features for other tools are pooled: use `-S extract.pool=avg`.")
    schema = _make_schema(store, [splits.names[label] for label in sorted(splits.names)])
    with replacing(out) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for start in range(0, len(catalog), _GROUP_ROWS):
            stop = min(start + _GROUP_ROWS, len(catalog))
            rows = catalog.read(start, stop)
            features = np.asarray(store.activations[start:stop, 0], np.float32)
            columns = [
                pa.array(np.arange(start, stop)),
                rows.ids,
                names.take(labels.slice(start, stop - start)),
                pa.array(ra[rows.galaxy], from_pandas=True),
                pa.array(dec[rows.galaxy], from_pandas=True),
                pa.array(splits.group[start:stop]),
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
