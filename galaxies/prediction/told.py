"""What a head for votes, numbers or tags says of some galaxies, as the columns that ``predict`` and ``classify`` write.

Legend: B galaxies, C features, P answers, numbers or tags, Q questions.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from galaxies.heads.head import TrainedHead
from galaxies.heads.meanings import Meaning
from galaxies.heads.number_meaning import NumberMeaning
from galaxies.heads.tag_meaning import TagMeaning
from galaxies.heads.vote_meaning import VoteMeaning
from galaxies.prediction.table import COLUMNS, SCHEMA_VERSION, known_numbers

_BEFORE = ("id", "path", "ra", "dec", "pxscale", "label")
_AFTER = ("abstain", "novelty", "is_novel", "notes", "error")

OF_ANSWERS = {
    "expected": "the share of people who would give the answer, of those who are asked",
    "median": "what that share is as likely above as below",
    "low": "the lower end of its 90 % interval",
    "high": "the upper end of its 90 % interval",
}
"""The columns of each answer, as in ``expected bar_yes``."""

OF_QUESTIONS = {"asked": "how many people would be asked the question, of as many as look at a galaxy"}
OF_NUMBERS = {
    "value": "what the number is as likely above as below, in its unit",
    "low": "the lower end of its 90 % interval: of galaxies like those of training 9 in 10 have theirs within",
    "high": "the upper end",
}
OF_TAGS = {"p": "the calibrated probability that the galaxy has the tag"}


@dataclass(frozen=True)
class ToldAnswers:
    """What a head says of B galaxies."""

    columns: Mapping[str, NDArray[np.float64]]  # (B,) each, by name, as :func:`list_columns` has them
    novelty: NDArray[np.float64]  # (B,) distance from the training galaxies, near 1 for these
    is_novel: NDArray[np.bool_]  # (B,) whether a galaxy is unlike those of training, so that nothing told means much


def list_columns(meaning: Meaning) -> Iterator[tuple[str, str]]:
    """Yield name and description of each column of what a head tells, in order."""
    kinds = OF_ANSWERS if isinstance(meaning, VoteMeaning) else OF_NUMBERS if isinstance(meaning, NumberMeaning) else OF_TAGS
    units = meaning.standard.units if isinstance(meaning, NumberMeaning) else ("",) * len(meaning.names)
    for name, unit in zip(meaning.names, units, strict=True):
        yield from ((f"{kind} {name}", f"{said} ({unit})" if unit else said) for kind, said in kinds.items())
    if isinstance(meaning, VoteMeaning):
        for question in meaning.tree.questions:
            yield from ((f"{kind} {question.name}", said) for kind, said in OF_QUESTIONS.items())


def make_told_schema(meaning: Meaning, about: Mapping[str, object]) -> pa.Schema:
    """Return the schema of a head's table; ``about`` goes into its metadata as JSON, with the schema's version."""

    def fields(names: tuple[str, ...]) -> list[pa.Field]:
        return [pa.field(name, COLUMNS[name][0], metadata={"description": COLUMNS[name][1]}) for name in names]

    told = [pa.field(name, pa.float64(), metadata={"description": said}) for name, said in list_columns(meaning)]
    metadata = {"schema_version": SCHEMA_VERSION, "target": meaning.KIND, **about}
    everything = [*fields(_BEFORE), *told, *fields(_AFTER)]
    return pa.schema(everything, metadata={"galaxies": json.dumps(metadata, sort_keys=True)})


@torch.inference_mode()
def tell_features(trained: TrainedHead, features: Tensor) -> ToldAnswers:
    """Return what a head says of features (B, C) that it sees, as :meth:`TrainedHead.features` gives them."""
    outputs, novelty = trained.head.eval()(features).cpu(), trained.novelty.score(features.cpu()).numpy()
    values = _tell(trained.meaning, outputs)
    names = [name for name, _ in list_columns(trained.meaning)]
    return ToldAnswers(dict(zip(names, values.T, strict=True)), novelty, novelty > trained.novelty.threshold)


def tabulate_told_answers(answers: ToldAnswers) -> dict[str, pa.Array]:
    """Return the columns, by name, that say what a head says of B galaxies."""
    return {
        **{name: known_numbers(np.ascontiguousarray(column)) for name, column in answers.columns.items()},
        "abstain": pa.array(answers.is_novel),
        "novelty": known_numbers(answers.novelty),
        "is_novel": pa.array(answers.is_novel, mask=~np.isfinite(answers.novelty)),
    }


def _tell(meaning: Meaning, outputs: Tensor) -> NDArray[np.float64]:
    """Return the columns side by side, (B, number of columns)."""
    if isinstance(meaning, VoteMeaning):
        votes = meaning.predict(outputs)
        low, high = votes.interval()
        of_answers = np.stack([votes.expected, votes.median, low, high], axis=2).reshape(len(outputs), 4 * len(meaning.names))
        return np.hstack([of_answers, votes.asked])
    if isinstance(meaning, NumberMeaning):
        numbers = meaning.predict(outputs)
        columns = np.stack([numbers.value, numbers.low, numbers.high], axis=2)
        return columns.reshape(len(outputs), 3 * len(meaning.names))
    assert isinstance(meaning, TagMeaning)  # Classes have a table of their own.
    return meaning.predict(outputs)
