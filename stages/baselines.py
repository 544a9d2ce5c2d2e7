"""Say what simple methods make of the same features: metrics/baselines.json, the lines that a head has to beat.

Usage: python -m stages.baselines LAYER.
"""

import sys

import numpy as np

from galaxies.backbones.spec import ExtractParams
from galaxies.data.splits import DIVIDED, require_labels
from galaxies.evaluation.baselines import measure_baselines
from galaxies.evaluation.told_baselines import measure_told_baselines
from galaxies.features.neighbours import read_averaged
from galaxies.features.survey import open_survey
from galaxies.files import write_json
from galaxies.heads.known_targets import read_targets
from galaxies.heads.train_params import TrainParams
from galaxies.paths import METRICS
from stages import main_repository, read_params, run_stage


def main() -> None:
    """Fit on train rows, choose on val rows, measure on test rows; of maps and tokens the means, of several views the first."""
    layer, params = sys.argv[1], read_params("train", TrainParams)
    survey = open_survey(layer, read_params("extract", ExtractParams))
    splits, labelled = survey.splits, survey.splits.labelled
    targets = read_targets(params, survey.catalog, folder=survey.folder, user_folder=main_repository())
    if targets is None:
        require_labels(splits)
        labelled = labelled[splits.targets[labelled] >= 0]
    features = read_averaged(survey.store, labelled, num_views=1)
    places = {name: np.flatnonzero(splits.split[labelled] == number) for number, name in enumerate(DIVIDED)}
    if targets is None:
        measured = measure_baselines(features, splits.targets[labelled], **places)
    else:
        measured = measure_told_baselines(features, targets.take(labelled), **places)
    write_json(METRICS / "baselines.json", measured)


if __name__ == "__main__":
    run_stage(main)
