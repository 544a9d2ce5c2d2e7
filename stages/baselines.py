"""Say what simple methods make of the same features: metrics/baselines.json, the lines that a head has to beat.

Usage: python -m stages.baselines LAYER.
"""

import json
import sys
from pathlib import Path

from galaxies.backbones.spec import ExtractParams
from galaxies.data.catalog import Catalog
from galaxies.data.splits import read_splits
from galaxies.evaluation.baselines import measure_baselines
from galaxies.features.identity import Identity
from galaxies.features.neighbours import read_averaged
from galaxies.features.store import Store
from galaxies.files import write_text
from stages import read_params, run_stage


def main() -> None:
    """Fit on train rows, choose on val rows, measure on test rows; of maps and tokens the means, of several views the first."""
    layer = sys.argv[1]
    catalog = Catalog(Path("data/catalog.parquet"))
    splits = read_splits(Path("data/splits.parquet"), catalog)
    store = Store(Path("features") / f"{layer}.zarr")
    store.require(Identity.expected(read_params("extract", ExtractParams), layer, catalog.digest))
    features = read_averaged(store, num_views=1)
    rows = {name: splits.rows(name) for name in ("train", "val", "test")}
    baselines = measure_baselines(features, splits.targets, **rows)
    write_text(Path("metrics/baselines.json"), json.dumps(baselines, indent=2) + "\n")


if __name__ == "__main__":
    run_stage(main)
