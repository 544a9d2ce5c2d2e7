"""Draw all galaxies in two dimensions, with what the head says of each: metrics/projection.html."""

from galaxies.data.galaxy_file import GalaxyFile
from galaxies.features.projection import read_projection
from galaxies.features.survey import open_survey
from galaxies.gallery.projection import Projection, ask_head, write_projection_page
from galaxies.gallery.projection_pictures import read_pictures
from galaxies.heads.head import load_head
from galaxies.paths import GALAXIES, HEAD, METRICS, PROJECTION, PROJECTION_PICTURES
from stages import run_stage


def main() -> None:
    """Ask the head about every row of the store, and write the page."""
    trained = load_head(HEAD)
    survey = open_survey(trained.identity.layer, trained.identity)
    projection = Projection(*read_projection(PROJECTION, survey.catalog), *read_pictures(PROJECTION_PICTURES, survey.catalog))
    answers = ask_head(trained, survey)
    with GalaxyFile(GALAXIES, needs_images=False) as galaxies:
        write_projection_page(METRICS / "projection.html", survey, galaxies, projection, answers)


if __name__ == "__main__":
    run_stage(main)
