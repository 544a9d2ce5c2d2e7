"""Look for labels that are probably wrong and for what looks alike: metrics/suspected_labels.csv, data/exhibits.json.

A stage of its own, because it asks no head: a new one has its gallery without it. Usage: python -m stages.audit LAYER.
"""

import json
import sys
from pathlib import Path

import numpy as np

from galaxies.backbones.spec import ExtractParams
from galaxies.data.catalog import Catalog
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.splits import read_splits
from galaxies.evaluation.label_errors import find_suspects, predict_held_out, tabulate_suspects
from galaxies.features.identity import Identity
from galaxies.features.neighbours import read_standardised
from galaxies.features.store import Store
from galaxies.files import write_text
from galaxies.gallery.exhibits import collect_exhibits
from galaxies.runtime import RuntimeParams
from stages import read_params, run_stage


def main() -> None:
    """Look at all rows for suspicious labels, then collect what the gallery will show."""
    layer = sys.argv[1]
    params, runtime = read_params("extract", ExtractParams), read_params("runtime", RuntimeParams)
    catalog = Catalog(Path("data/catalog.parquet"))
    splits = read_splits(Path("data/splits.parquet"), catalog)
    store = Store(Path("features") / f"{layer}.zarr")
    store.require(Identity.expected(params, layer, catalog.digest))
    features = read_standardised(store)

    # One fixed division: another seed of the split or of training accuses no other labels.
    held_out = predict_held_out(features, splits.targets, splits.group, generator=np.random.default_rng(0))
    suspects = find_suspects(features, splits.targets, splits.group, held_out)
    table = tabulate_suspects(suspects, catalog, splits)
    write_text(Path("metrics/suspected_labels.csv"), table.to_csv(index=False, lineterminator="\n"))

    with GalaxyFile(Path("data/galaxies.h5")) as galaxies:
        exhibits = collect_exhibits(
            galaxies,
            catalog,
            splits,
            features=features,
            suspects=suspects,
            facts={"backbone": params.backbone, "layer": layer},
            num_workers=runtime.count_workers(),
        )
    write_text(Path("data/exhibits.json"), json.dumps(exhibits))


if __name__ == "__main__":
    run_stage(main)
