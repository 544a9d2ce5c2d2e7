"""What simulated people say of simulated galaxies: on which side of a threshold a property lies, as each of them sees it.

People differ in what they see by a noise of their own. All of them see what one image adds, another scatter, and a few of them
are careless and say anything. So a galaxy has a true probability of each answer, which no real survey knows: intervals can
be held against it. The thresholds are not those of any real people.

Legend: M galaxies, A answers of all questions, Q questions.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from galaxies.data.questions import QuestionTree
from galaxies.simulation.morphology import Morphology

FEWEST_PEOPLE, MOST_PEOPLE = 5, 40

# Of the noise of single people: what an image adds for all of them.
_IMAGE_SCATTER = 0.6
# The share of people who say anything: from, to.
_CARELESS = (0.02, 0.12)

# Half-light radius, arcsec, at which half of the structure of a disc is seen through the seeing.
_SEEN_RADIUS_ARCSEC = 1.5


class _Judgement(NamedTuple):
    """How people answer a question: the first answer below the first threshold, the next below the next, and so on."""

    property: Callable[[Morphology], float]
    thresholds: tuple[float, ...]  # ascending, one fewer than answers
    noise: float  # standard deviation of what different people see


def _structure(galaxy: Morphology) -> float:
    """Return how much there is to see that no smooth galaxy has."""
    arms = galaxy.arm_contrast if galaxy.num_arms else 0.0
    seen = 0.6 * arms + 3.0 * galaxy.bar_fraction + 0.8 * galaxy.flocculence + 0.5 * galaxy.ring_contrast
    seen += 0.6 * galaxy.patchiness + 0.8 * galaxy.dust_lane + 0.9 * galaxy.is_edge_on
    return seen * _visibility(galaxy)


def _visibility(galaxy: Morphology) -> float:
    return galaxy.radius_arcsec / (galaxy.radius_arcsec + _SEEN_RADIUS_ARCSEC)


def _bar(galaxy: Morphology) -> float:
    return galaxy.bar_fraction * (0.5 + 0.5 * galaxy.bar_length) * _visibility(galaxy)


def _arms(galaxy: Morphology) -> float:
    return (galaxy.arm_contrast if galaxy.num_arms else 0.0) * _visibility(galaxy)


# Answers in the order of the tree; where that begins with what has more of the property, the property is negative.
_JUDGEMENTS: dict[str, _Judgement] = {
    "shape": _Judgement(_structure, (0.45,), 0.30),
    "rounded": _Judgement(lambda galaxy: -galaxy.axis_ratio, (-0.83, -0.42), 0.08),
    "edge_on": _Judgement(lambda galaxy: galaxy.axis_ratio, (0.33,), 0.08),
    "bar": _Judgement(lambda galaxy: -_bar(galaxy), (-0.07,), 0.05),
    "arms": _Judgement(lambda galaxy: -_arms(galaxy), (-0.40,), 0.30),
    "winding": _Judgement(lambda galaxy: float(np.rad2deg(galaxy.arm_pitch)), (14.0, 22.0), 5.0),
}


def draw_probabilities(
    galaxies: Sequence[Morphology], tree: QuestionTree, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return the probability that somebody who is asked a question gives an answer, (M, A).

    Args:
        galaxies: what they are.
        tree: the built-in one called ``simulated``.
        generator: draws what the images add, and how many people are careless.
    """
    probabilities = np.empty((len(galaxies), tree.num_answers))
    for question, answers in zip(tree.questions, tree.slices, strict=True):
        judgement = _JUDGEMENTS[question.name]
        seen = np.array([judgement.property(galaxy) for galaxy in galaxies])
        seen += judgement.noise * _IMAGE_SCATTER * generator.normal(size=len(seen))
        below = ndtr((np.array(judgement.thresholds) - seen[:, None]) / judgement.noise)  # (M, answers - 1)
        edges = np.concatenate([np.zeros((len(seen), 1)), below, np.ones((len(seen), 1))], axis=1)
        careless = generator.uniform(*_CARELESS, size=(len(seen), 1))
        probabilities[:, answers] = (1 - careless) * np.diff(edges, axis=1) + careless / len(question.answers)
    return probabilities


def ask_people(probabilities: NDArray[np.float64], tree: QuestionTree, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return how many of the 5 to 40 people who look at each galaxy give each answer, (M, A), on their way through the tree.

    Args:
        probabilities: of each answer, (M, A).
        tree: of the questions.
        generator: draws people and answers.
    """
    people = generator.integers(FEWEST_PEOPLE, MOST_PEOPLE + 1, len(probabilities))
    counts = np.zeros(probabilities.shape, np.int64)
    for question, answers, parents in zip(tree.questions, tree.slices, tree.parents, strict=True):
        asked = people if question.after is None else counts[:, list(parents)].sum(axis=1)
        counts[:, answers] = generator.multinomial(asked, probabilities[:, answers])
    return counts
