"""The features of the catalogue as one Parquet file for other tools."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from galaxies.data.catalog import Catalog
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.errors import InputError
from galaxies.features.store import Store
from galaxies.files import replacing
from galaxies.paths import CATALOG, GALAXIES

_GROUP_ROWS = 4096  # in a row group of the file, the unit of reading


def export_features(store_path: Path, out: Path, *, folder: Path) -> None:
    """Write a row a galaxy: row, id, ra, dec (deg, null where unknown) and features, a list of float32.

    The store's identity stands in the file's metadata, as JSON under ``galaxies``. Memory does not grow with the catalogue.

    Args:
        store_path: of pooled features.
        out: the Parquet file.
        folder: the repository, with data/ as the pipeline writes it.

    Raises:
        InputError: the store holds maps, or belongs to another catalogue.
    """
    catalog, store = Catalog(folder / CATALOG), Store(store_path)
    store.require(replace(store.identity, catalog=catalog.digest))
    with GalaxyFile(folder / GALAXIES) as galaxies:
        ra, dec = galaxies.ra, galaxies.dec
    if not store.is_pooled:
        raise InputError(f"{store_path} holds maps or images; features for other tools are pooled: use `-S extract.pool=avg`.")
    schema = _make_schema(store)
    with replacing(out) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for start in range(0, len(catalog), _GROUP_ROWS):
            stop = min(start + _GROUP_ROWS, len(catalog))
            rows = catalog.read(start, stop)
            features = np.asarray(store.activations[start:stop, 0], np.float32)
            columns = [
                pa.array(np.arange(start, stop)),
                rows.ids,
                pa.array(ra[rows.galaxy], from_pandas=True),
                pa.array(dec[rows.galaxy], from_pandas=True),
                pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), features.shape[1]),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _make_schema(store: Store) -> pa.Schema:
    fields = [
        pa.field("row", pa.int64()),
        pa.field("id", pa.string()),
        pa.field("ra", pa.float64()),
        pa.field("dec", pa.float64()),
        pa.field("features", pa.list_(pa.float32(), store.activations.shape[-1])),
    ]
    return pa.schema(fields, metadata={"galaxies": json.dumps({"identity": store.identity.to_json()}, sort_keys=True)})
