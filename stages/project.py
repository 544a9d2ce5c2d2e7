"""Lay all galaxies, labelled and pool, out in two dimensions: data/projection.parquet. Usage: python -m stages.project LAYER.

Then the pictures that the page shows there: data/projection_pictures.parquet. A stage of its own, because it asks no head: a
new one needs neither.
"""

import sys

from galaxies.backbones.spec import ExtractParams
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.features.projection import ProjectionParams, project_store, write_projection
from galaxies.features.survey import open_survey
from galaxies.gallery.projection_pictures import write_pictures
from galaxies.paths import GALAXIES, PROJECTION, PROJECTION_PICTURES
from galaxies.runtime import RuntimeParams
from stages import read_params, run_stage


def main() -> None:
    """Read the store, lay out, write; then the pictures."""
    params, runtime = read_params("projection", ProjectionParams), read_params("runtime", RuntimeParams)
    survey = open_survey(sys.argv[1], read_params("extract", ExtractParams))
    places = project_store(survey.store, params)
    write_projection(PROJECTION, places, catalog=survey.catalog.digest, method=params.method)
    with GalaxyFile(GALAXIES, needs_images=False) as galaxies:
        write_pictures(PROJECTION_PICTURES, galaxies, survey.catalog, places, num_workers=runtime.count_workers())


if __name__ == "__main__":
    run_stage(main)
