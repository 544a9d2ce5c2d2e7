"""Targets of the simulated survey, as a table beside its galaxies: votes, numbers and tags, and what is true of the votes.

Nothing is drawn: the physical parameters are made from the same seeds as for the images. M galaxies.
"""

import numpy as np
import pandas as pd

from galaxies.data.question_files import open_tree
from galaxies.simulation.morphology import Morphology
from galaxies.simulation.people import ask_people, draw_probabilities
from galaxies.simulation.survey import draw_scene, galaxy_id
from galaxies.simulation.survey_plan import Plan, plan_survey

TREE = "simulated"

# Of the tags; nobody has looked at all galaxies for everything.
_UNKNOWN_TAGS = 0.1
_DISC_THICKNESS = 0.2
_STREAM = 3


def simulate_targets(*, num_galaxies: int, image_size: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return two tables with a row a galaxy, blank ones left out: what a survey would publish, and the truth behind it.

    The first has ``id``; the votes ``question_answer``; the numbers ``size`` (half-light radius along the major axis, arcsec),
    ``sersic_index`` (mean of the components, by light), and of discs ``inclination`` (deg) and ``bar_strength`` (share of
    the light in the bar); and the tags ``ring``, ``tails``, ``companion``. The second has ``id`` and the true probability of
    each answer.

    Args:
        num_galaxies: as of the survey.
        image_size: S, px, as of the survey.
        seed: as of the survey.
    """
    plan = plan_survey(num_galaxies, image_size, seed)
    rows = np.flatnonzero(~plan.is_blank)
    galaxies = [_recall_galaxy(plan, row, seed) for row in rows.tolist()]
    generator, tree = np.random.default_rng([seed, _STREAM]), open_tree(TREE)
    probabilities = draw_probabilities(galaxies, tree, generator)
    counts = ask_people(probabilities, tree, generator)
    ids = pd.DataFrame({"id": [galaxy_id(row) for row in rows.tolist()]})
    votes = pd.DataFrame(counts, columns=list(tree.columns))
    table = pd.concat([ids, votes, _measure(galaxies), _tag(galaxies, generator)], axis=1)
    return table, pd.concat([ids, pd.DataFrame(probabilities, columns=list(tree.columns))], axis=1)


def _recall_galaxy(plan: Plan, row: int, seed: int) -> Morphology:
    """Return the galaxy that a row of the survey is centred on."""
    morphologies, _ = draw_scene(plan, row, seed)
    return morphologies[int(plan.view[row])]


def _is_disc(galaxy: Morphology) -> bool:
    return galaxy.is_edge_on or galaxy.num_arms > 0


def _measure(galaxies: list[Morphology]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "size": [galaxy.radius_arcsec for galaxy in galaxies],
            "sersic_index": [
                galaxy.bulge_fraction * galaxy.bulge_sersic + (1 - galaxy.bulge_fraction) * galaxy.disc_sersic
                for galaxy in galaxies
            ],
            "inclination": [_inclination(galaxy) if _is_disc(galaxy) else np.nan for galaxy in galaxies],
            "bar_strength": [galaxy.bar_fraction if _is_disc(galaxy) else np.nan for galaxy in galaxies],
        }
    ).round(6)


def _inclination(galaxy: Morphology) -> float:
    """Return the angle between the line of sight and the axis of a disc, deg (Hubble 1926)."""
    if galaxy.is_edge_on:
        return 90.0
    thin = _DISC_THICKNESS**2
    return float(np.rad2deg(np.arccos(np.sqrt(np.clip((galaxy.axis_ratio**2 - thin) / (1 - thin), 0, 1)))))


def _tag(galaxies: list[Morphology], generator: np.random.Generator) -> pd.DataFrame:
    tags = pd.DataFrame(
        {
            "ring": [galaxy.ring_contrast > 0 for galaxy in galaxies],
            "tails": [galaxy.debris.tail_fraction > 0 for galaxy in galaxies],
            "companion": [galaxy.companion is not None for galaxy in galaxies],
        }
    )
    return tags.astype("Int8").mask(generator.random(tags.shape) < _UNKNOWN_TAGS)
