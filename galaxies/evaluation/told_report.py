"""How good a head for votes, numbers or tags is: its metrics, their intervals, what it promises, and the tables of each name.

Legend: B test rows, K outputs, P answers, numbers or tags.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from galaxies.data.targets import Numbers, Tags, Targets, Votes
from galaxies.errors import InputError
from galaxies.evaluation.intervals import Intervals
from galaxies.evaluation.number_scores import OF_NUMBERS, OF_TAGS, measure_number, measure_tag, score_columns
from galaxies.evaluation.scores import DIGITS
from galaxies.evaluation.told import Told, tell_numbers, tell_tags, tell_votes
from galaxies.evaluation.told_tables import tabulate_scores, tabulate_told_reliability
from galaxies.evaluation.vote_scores import OF_ANSWERS, OVERALL, score_votes
from galaxies.heads.meanings import Meaning
from galaxies.heads.number_meaning import NumberMeaning
from galaxies.heads.tag_meaning import TagMeaning
from galaxies.heads.vote_meaning import VoteMeaning


@dataclass(frozen=True)
class ToldReport:
    """What is written of the test galaxies."""

    told: Told
    metrics: dict[str, float]  # means over the names, but for one number: its own
    intervals: dict[str, dict[str, float]]  # of these: low and high
    calibration: dict[str, Any]
    scores: pd.DataFrame
    reliability: pd.DataFrame


def report_told(meaning: Meaning, outputs: Tensor, targets: Targets, group: NDArray[np.int64]) -> ToldReport:
    """Return all that the outputs (B, K) for the test rows come to.

    Args:
        meaning: of the outputs.
        outputs: (B, K).
        targets: of the test rows, (B).
        group: sky group of each row, (B,).

    Raises:
        InputError: there are no rows, or the head tells something else.
    """
    if not len(targets):
        raise InputError("evaluate: of no test galaxy is anything known that the head tells; raise split.test_fraction.")
    generator = np.random.default_rng(0)
    told = tell(meaning, outputs, targets)
    if isinstance(meaning, VoteMeaning) and isinstance(targets, Votes):
        overall, each = score_votes(targets, meaning.predict(outputs), group, generator=generator)
        parts = [Intervals(*(part[place] for part in vars(each).values())) for place in range(len(meaning.names))]
        questions = tuple(question.name for question in meaning.tree.questions for _ in question.answers)
        return _collect(told, OVERALL, overall, tabulate_scores(told, OF_ANSWERS, parts), questions, _describe(meaning))
    is_tag = isinstance(meaning, TagMeaning)
    names = OF_TAGS if is_tag else OF_NUMBERS
    each_column = score_columns(told, group, is_tag=is_tag, generator=generator)
    means = Intervals(*(_mean_of_columns([vars(found)[part] for found in each_column]) for part in ("value", "low", "high")))
    scores = tabulate_scores(told, names, each_column)
    return _collect(told, names, means, scores, told.names if is_tag else (), _describe(meaning))


def tell(meaning: Meaning, outputs: Tensor, targets: Targets) -> Told:
    """Return what the outputs say beside what is true. Raises InputError when the head tells something else."""
    if meaning.names == targets.names:
        if isinstance(meaning, VoteMeaning) and isinstance(targets, Votes):
            return tell_votes(targets, meaning.predict(outputs))
        if isinstance(meaning, NumberMeaning) and isinstance(targets, Numbers):
            return tell_numbers(targets, meaning.predict(outputs))
        if isinstance(meaning, TagMeaning) and isinstance(targets, Tags):
            return tell_tags(targets, meaning.predict(outputs))
    raise InputError(
        f"models/head.pt tells {meaning.KIND} ({', '.join(meaning.names)}), params.yaml names {', '.join(targets.names)}; "
        "`dvc repro` trains a head for these."
    )


def summarise_seeds(reports: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Return the number of seeds and, where there are several, mean and standard deviation over them of each metric."""
    found: dict[str, Any] = {"num_seeds": len(reports)}
    if len(reports) > 1:
        for name in reports[0]:
            values = [report[name] for report in reports if name in report]
            found[name] = {"mean": round(float(np.mean(values)), DIGITS), "std": round(float(np.std(values, ddof=1)), DIGITS)}
    return found


def summarise_views(first: dict[str, float], mean: dict[str, float] | None, num_views: int) -> dict[str, Any]:
    """Return the number of views and, where there are several, the metrics of the first and of their mean."""
    found: dict[str, Any] = {"num_views": num_views}
    for name in mean or {}:
        assert mean is not None
        difference = round(mean[name] - first[name], DIGITS)
        found[name] = {"one_view": first[name], "mean_of_views": mean[name], "difference": difference}
    return found


def plain_metrics(meaning: Meaning, outputs: Tensor, targets: Targets) -> dict[str, float]:
    """Return the metrics alone, without intervals, for other seeds and views."""
    told, rows = tell(meaning, outputs, targets), np.arange(len(targets))
    if isinstance(meaning, VoteMeaning) and isinstance(targets, Votes):
        whole = np.zeros(len(targets), np.int64)
        overall, _ = score_votes(targets, meaning.predict(outputs), whole, generator=np.random.default_rng(0))
        return _named(OVERALL, overall.value)
    is_tag = isinstance(meaning, TagMeaning)
    columns = measure_columns(told, rows, is_tag=is_tag)
    return _named(OF_TAGS if is_tag else OF_NUMBERS, _mean_of_columns(columns))


def measure_columns(told: Told, rows: NDArray[np.int64], *, is_tag: bool) -> list[NDArray[np.float64]]:
    """Return the metrics of each column."""
    return [(measure_tag if is_tag else measure_number)(told, place, rows) for place in range(len(told.names))]


def _collect(
    told: Told,
    names: tuple[str, ...],
    ends: Intervals,
    scores: pd.DataFrame,
    groups: tuple[str, ...],
    calibration: dict[str, Any],
) -> ToldReport:
    metrics = _named(names, ends.value) | {"num_galaxies": len(told.true), "num_told": len(told.names)}
    low, high = _named(names, ends.low), _named(names, ends.high)
    intervals = {name: {"low": low[name], "high": high[name]} for name in names if name in low and name in high}
    reliability = tabulate_told_reliability(told, groups)
    return ToldReport(told, metrics, intervals, calibration, scores, reliability)


def _describe(meaning: Meaning) -> dict[str, Any]:
    """Return what calibration found, by name of question, number or tag."""
    if isinstance(meaning, VoteMeaning):
        questions = [question.name for question in meaning.tree.questions]
        return {
            "temperatures": _named(tuple(questions), np.array(meaning.temperatures)),
            "factors": _named(tuple(questions), np.array(meaning.factors)),
        }
    if isinstance(meaning, NumberMeaning):
        return {"stretches": _named(meaning.names, np.array(meaning.stretches))}
    assert isinstance(meaning, TagMeaning)
    return {
        "slopes": _named(meaning.names, np.array(meaning.slopes)),
        "offsets": _named(meaning.names, np.array(meaning.offsets)),
    }


def _named(names: tuple[str, ...], values: NDArray[np.float64]) -> dict[str, float]:
    """Return finite values by name: JSON knows no others."""
    return {name: round(float(value), DIGITS) for name, value in zip(names, values, strict=True) if np.isfinite(value)}


def _mean_of_columns(columns: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    stacked = np.stack(columns)
    known = np.isfinite(stacked)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = np.where(known, stacked, 0).sum(axis=0) / known.sum(axis=0)
    return mean
