"""Say what simple methods make of the same features: metrics/baselines.json, the lines that a head has to beat.

Usage: python -m stages.baselines LAYER.
"""

import sys

from galaxies.backbones.spec import ExtractParams
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
    features = read_averaged(survey.store, num_views=1)
    rows = {name: survey.splits.rows(name) for name in ("train", "val", "test")}
    write_json(METRICS / "baselines.json", measure_baselines(features, survey.splits.targets, **rows))


if __name__ == "__main__":
    run_stage(main)
