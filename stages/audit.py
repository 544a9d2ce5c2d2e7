"""Look for labels that are probably wrong and for what looks alike: metrics/suspected_labels.csv, data/exhibits.json.

A stage of its own, because it asks no head: a new one has its gallery without it. Usage: python -m stages.audit LAYER.
"""

import sys
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from galaxies.backbones.spec import ExtractParams
from galaxies.data.catalog_images import CatalogImages
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.evaluation.label_errors import Suspect, find_suspects, predict_held_out, tabulate_suspects
from galaxies.features.neighbours import read_standardised
from galaxies.features.survey import open_survey
from galaxies.files import write_csv, write_json
from galaxies.gallery.exhibits import collect_exhibits
from galaxies.paths import EXHIBITS, GALAXIES, METRICS
from galaxies.runtime import RuntimeParams
from stages import read_params, run_stage


def main() -> None:
    """Look at all rows with a class for suspicious ones, then collect what the gallery will show of the labelled rows."""
    layer = sys.argv[1]
    params, runtime = read_params("extract", ExtractParams), read_params("runtime", RuntimeParams)
    survey = open_survey(layer, params)
    catalog, splits = survey.catalog, survey.splits
    labelled = splits.labelled
    features, targets, group = read_standardised(survey.store, labelled), splits.targets[labelled], splits.group[labelled]

    suspects = _find_suspects(features, targets, group, labelled)
    table = tabulate_suspects(suspects, catalog, splits)
    write_csv(METRICS / "suspected_labels.csv", table)

    with GalaxyFile(GALAXIES, needs_images=False) as galaxies:
        exhibits = collect_exhibits(
            CatalogImages(galaxies, catalog),
            splits,
            features=features,
            suspects=suspects,
            facts={"backbone": params.backbone, "layer": layer},
            num_workers=runtime.count_workers(),
        )
    write_json(EXHIBITS, exhibits)


def _find_suspects(
    features: NDArray[np.float32], targets: NDArray[np.int64], group: NDArray[np.int64], labelled: NDArray[np.int64]
) -> list[Suspect]:
    """Return the suspects among the rows with a class; those that votes, numbers or tags label have none to doubt."""
    places = np.flatnonzero(targets >= 0)
    if not len(places):
        return []
    features, targets, group = features[places], targets[places], group[places]
    # One fixed division: another seed of the split or of training accuses no other labels.
    held_out = predict_held_out(features, targets, group, generator=np.random.default_rng(0))
    found = find_suspects(features, targets, group, held_out)
    return [replace(suspect, row=int(labelled[places[suspect.row]])) for suspect in found]


if __name__ == "__main__":
    run_stage(main)
