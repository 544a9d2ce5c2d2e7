"""Tables of what a head told of votes, numbers and tags: predicted against true, residuals, reliability, galaxy by galaxy.

Of a head for classes each has its header only. Legend: B test rows, P answers, numbers or tags.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galaxies.evaluation.intervals import Intervals
from galaxies.evaluation.scores import DIGITS
from galaxies.evaluation.told import Told

SCORE_COLUMNS = ("name", "metric", "value", "low", "high", "num_galaxies")
DENSITY_COLUMNS = ("name", "true", "predicted", "width", "height", "count")
RESIDUAL_COLUMNS = ("name", "quantity", "low", "high", "middle", "count", "bias", "bias_low", "bias_high", "mad")
RELIABILITY_COLUMNS = ("name", "predicted", "observed", "low", "high", "count")

_NUM_CELLS = 25
_NUM_STRATA = 5
_FEWEST_GALAXIES = 10
_NUM_BINS = 10
_SIGNIFICANT = 4


def tabulate_scores(told: Told, metrics: tuple[str, ...], ends: list[Intervals]) -> pd.DataFrame:
    """Return a row a name and metric, with the ends of its 95 % interval; ``ends`` are of each name."""
    parts = [
        pd.DataFrame({"name": name, "metric": metrics, **{key: np.round(part, DIGITS) for key, part in vars(found).items()}})
        for name, found in zip(told.names, ends, strict=True)
    ]
    table = pd.concat(parts, ignore_index=True)
    table["num_galaxies"] = np.repeat(told.counts.sum(axis=0), len(metrics))
    return table[list(SCORE_COLUMNS)]


def tabulate_density(told: Told) -> pd.DataFrame:
    """Return how many galaxies lie in each cell of predicted against true, 25 by 25 cells a name, without empty ones.

    The cells span the middle 99 % of what is true; beyond it, galaxies stand in the outermost. Of fractions they span 0 to 1.
    """
    parts = []
    for place, name in enumerate(told.names):
        counts = told.counts[:, place]
        true, predicted = told.true[counts, place], told.expected[counts, place]
        if not len(true):
            continue
        low, high = (0.0, 1.0) if _is_share(true) else (float(np.quantile(true, end)) for end in (0.005, 0.995))
        step = (high - low) / _NUM_CELLS or 1.0
        cells = [np.clip((values - low) // step, 0, _NUM_CELLS - 1).astype(np.int64) for values in (true, predicted)]
        number = np.bincount(cells[0] * _NUM_CELLS + cells[1], minlength=_NUM_CELLS**2)
        used = np.flatnonzero(number)
        middles = [_round(low + step * (0.5 + part)) for part in (used // _NUM_CELLS, used % _NUM_CELLS)]
        size = _round(np.full(len(used), step))
        columns = (np.full(len(used), name), *middles, size, size, number[used])
        parts.append(pd.DataFrame(dict(zip(DENSITY_COLUMNS, columns, strict=True))))
    return _join(parts, DENSITY_COLUMNS)


def tabulate_residuals(told: Told, quantities: Mapping[str, NDArray[np.float64]]) -> pd.DataFrame:
    """Return predicted less true in up to five strata of each quantity, of about equally many galaxies.

    Columns: the stratum's smallest, largest and middle value, galaxies, mean residual with its 95 % interval, mean size.

    Args:
        told: of the test galaxies.
        quantities: by name, (B,) each; NaN is unknown.
    """
    parts = []
    for place, name in enumerate(told.names):
        residual = told.expected[:, place] - told.true[:, place]
        for quantity, values in quantities.items():
            known = np.isfinite(values) & np.isfinite(residual)
            num_strata = min(_NUM_STRATA, int(known.sum()) // _FEWEST_GALAXIES)
            if num_strata < 2 or np.ptp(values[known]) == 0:
                continue
            edges = np.unique(np.quantile(values[known], np.arange(1, num_strata) / num_strata))
            stratum = np.searchsorted(edges, values[known])
            for index in np.unique(stratum):
                chosen = stratum == index
                parts.append(_describe(name, quantity, values[known][chosen], residual[known][chosen]))
    return _join(parts, RESIDUAL_COLUMNS)


def tabulate_told_reliability(told: Told, group_names: tuple[str, ...]) -> pd.DataFrame:
    """Return what is true on average where so much was predicted, in ten bins of fraction or probability.

    Args:
        told: of the test galaxies; numbers have no such table.
        group_names: of each name the one it is counted under, such as an answer's question, (P,).
    """
    parts = []
    for group_name in dict.fromkeys(group_names):
        columns = [place for place, found in enumerate(group_names) if found == group_name]
        counts = told.counts[:, columns]
        predicted, true = told.expected[:, columns][counts], told.true[:, columns][counts]
        bins = np.minimum((predicted * _NUM_BINS).astype(np.int64), _NUM_BINS - 1)
        for index in np.unique(bins):
            chosen = bins == index
            mean, half = _mean_and_half_interval(true[chosen])
            row = (group_name, predicted[chosen].mean(), mean, max(mean - half, 0), min(mean + half, 1), chosen.sum())
            parts.append(pd.DataFrame([row], columns=list(RELIABILITY_COLUMNS)).round(DIGITS))
    return _join(parts, RELIABILITY_COLUMNS)


def tabulate_told(told: Told, galaxies: pd.DataFrame) -> pd.DataFrame:
    """Return a row a galaxy: which it is, then of each name what is true, predicted, low and high, read by `compare`.

    Args:
        told: of the test galaxies.
        galaxies: which they are, (B) rows, as `galaxies.evaluation.predictions.list_galaxies` says.
    """
    # Those of classes stay, and stay empty: the file has one form.
    columns: dict[str, Any] = {"label": "", "predicted": ""}
    for place, name in enumerate(told.names):
        for kind, values in (("true", told.true), ("predicted", told.expected), ("low", told.low), ("high", told.high)):
            if not np.isnan(values[:, place]).all() or kind in ("true", "predicted"):
                columns[f"{kind} {name}"] = _round(values[:, place])
    return pd.concat([galaxies, pd.DataFrame(columns, index=galaxies.index)], axis=1)


def empty_tables() -> dict[str, pd.DataFrame]:
    """Return the tables of a head for classes, by their names in metrics/: headers alone."""
    headers = {
        "target_scores": SCORE_COLUMNS,
        "target_density": DENSITY_COLUMNS,
        "target_residuals": RESIDUAL_COLUMNS,
        "target_reliability": RELIABILITY_COLUMNS,
    }
    return {name: pd.DataFrame(columns=list(columns)) for name, columns in headers.items()}


def _describe(name: str, quantity: str, values: NDArray[np.float64], residual: NDArray[np.float64]) -> pd.DataFrame:
    mean, half = _mean_and_half_interval(residual)
    numbers = _round(np.array([values.min(), values.max(), np.median(values)])).tolist()
    row = (name, quantity, *numbers, len(values), *_round(np.array([mean, mean - half, mean + half, np.abs(residual).mean()])))
    return pd.DataFrame([row], columns=list(RESIDUAL_COLUMNS))


def _mean_and_half_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    spread = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return float(values.mean()), 1.96 * float(spread)


def _is_share(true: NDArray[np.float64]) -> bool:
    return bool((true >= 0).all() and (true <= 1).all())


def _round(values: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.array([float(f"{value:.{_SIGNIFICANT}g}") for value in values])


def _join(parts: list[pd.DataFrame], columns: tuple[str, ...]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(columns))
