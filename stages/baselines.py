"""Say what simple methods make of the same features: metrics/baselines.json, the lines that a head has to beat.

Usage: python -m stages.baselines LAYER.
"""

import sys

import numpy as np

from galaxies.backbones.spec import ExtractParams
from galaxies.data.splits import DIVIDED, require_labels
from galaxies.evaluation.baselines import measure_baselines
from galaxies.features.neighbours import read_averaged
from galaxies.features.survey import open_survey
from galaxies.files import write_json
from galaxies.paths import METRICS
from stages import read_params, run_stage


def main() -> None:
    """Fit on train rows, choose on val rows, measure on test rows; of maps and tokens the means, of several views the first."""
    layer = sys.argv[1]
    survey = open_survey(layer, read_params("extract", ExtractParams))
    splits, labelled = survey.splits, survey.splits.labelled
    require_labels(splits)
    features = read_averaged(survey.store, labelled, num_views=1)
    places = {name: np.searchsorted(labelled, splits.rows(name)) for name in DIVIDED}
    write_json(METRICS / "baselines.json", measure_baselines(features, splits.targets[labelled], **places))


if __name__ == "__main__":
    run_stage(main)
