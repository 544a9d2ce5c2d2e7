"""Lay all galaxies, labelled and pool, out in two dimensions: data/projection.parquet. Usage: python -m stages.project LAYER.

A stage of its own, because it asks no head: a new one needs no new projection.
"""

import sys

from galaxies.backbones.spec import ExtractParams
from galaxies.features.projection import ProjectionParams, project_store, write_projection
from galaxies.features.survey import open_survey
from galaxies.paths import PROJECTION
from stages import read_params, run_stage


def main() -> None:
    """Read the store, lay out, write."""
    params = read_params("projection", ProjectionParams)
    survey = open_survey(sys.argv[1], read_params("extract", ExtractParams))
    places = project_store(survey.store, params)
    write_projection(PROJECTION, places, catalog=survey.catalog.digest, method=params.method)


if __name__ == "__main__":
    run_stage(main)
