"""Ask the head about every galaxy without a label: data/pool.parquet, and what the gallery shows of them.

The answers come from the store: nobody waits for a forward pass, however often a head is trained.
"""

from galaxies.data.catalog_images import CatalogImages
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.features.survey import open_survey
from galaxies.files import file_sha256, write_json
from galaxies.gallery.pool_exhibits import collect_pool_exhibits
from galaxies.heads.head import load_head
from galaxies.paths import GALAXIES, HEAD, POOL, POOL_EXHIBITS
from galaxies.prediction.pool import PoolAnswers
from galaxies.prediction.shortlist import Shortlist
from galaxies.runtime import RuntimeParams
from stages import read_params, run_stage


def main() -> None:
    """Write the answers, then what a person should see first; without a pool the table has its header only."""
    runtime = read_params("runtime", RuntimeParams)
    trained = load_head(HEAD)
    survey = open_survey(trained.identity.layer, trained.identity)
    with GalaxyFile(GALAXIES, needs_images=False) as galaxies:
        pool = PoolAnswers(survey, galaxies, trained, file_sha256(HEAD))
        shortlist = Shortlist(len(pool.class_names))
        pool.write(POOL, shortlist)
        exhibits = collect_pool_exhibits(
            CatalogImages(galaxies, survey.catalog),
            survey.splits,
            survey.store,
            lists=shortlist.lists,
            answers=pool.describe_answers(shortlist.rows),
            num_workers=runtime.count_workers(),
        )
    write_json(POOL_EXHIBITS, exhibits)


if __name__ == "__main__":
    run_stage(main)
