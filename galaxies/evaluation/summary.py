"""The numbers of the last run in lines of text, read from the JSON files of ``metrics/``."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from galaxies.errors import InputError

_COLUMNS = ("accuracy", "balanced_accuracy", "macro_f1")
_TOLD_COLUMNS = ("mad", "mae", "rmse", "average_precision")


def format_summary(folder: Path) -> Iterator[str]:
    """Yield lines: the metrics on the test galaxies with their intervals, over views and seeds, and of the baselines.

    Args:
        folder: where the stages wrote their metrics.

    Raises:
        InputError: nothing was evaluated yet.
    """
    metrics, intervals = (_read(folder / name, required=True) for name in ("test.json", "intervals.json"))
    yield "\nOn the test galaxies:"
    for name, value in metrics.items():
        ends = intervals.get(name)
        yield f"  {name:<27} {value:<7}" + (f" (95 %: {ends['low']} to {ends['high']})" if ends else "")
    yield from _format_views(_read(folder / "views.json"))
    yield from _format_seeds(_read(folder / "seeds.json"))
    yield from _format_baselines(_read(folder / "baselines.json"), metrics)
    num_pool = _read(folder / "data.json").get("pool", 0)
    if num_pool:
        yield (
            f"\n{num_pool:,} galaxies have no label: data/pool.parquet holds what the head says of each, and\n"
            f"{folder / 'report.html'} shows those to look at first."
        )
    yield (
        f"\n{folder / 'galaxies.png'} shows some of them; `dvc plots show` writes all plots to dvc_plots/index.html,\n"
        f"and {folder / 'report.html'} has every test galaxy."
    )


def _format_views(found: dict[str, Any]) -> Iterator[str]:
    """Yield what averaging over the turned and mirrored images of each galaxy changes, where they are stored."""
    num_views = found.pop("num_views", 1)
    if num_views > 1:
        yield f"\nAveraged over {num_views} views of each galaxy, and against one view:"
    for name, values in found.items():
        ends = f"95 %: {values['low']:+.4f} to {values['high']:+.4f}"
        yield f"  {name:<27} {values['mean_of_views']:<7} {values['difference']:+.4f} ({ends})"


def _format_seeds(found: dict[str, Any]) -> Iterator[str]:
    """Yield mean and standard deviation over the seeds, where there are several."""
    num_seeds = found.pop("num_seeds", 1)
    if num_seeds > 1:
        yield f"\nOver {num_seeds} seeds of training:"
    for name, values in found.items():
        yield f"  {name:<27} {values['mean']} ± {values['std']}"


def _format_baselines(found: dict[str, Any], metrics: dict[str, Any]) -> Iterator[str]:
    """Yield what simple methods make of the same features, below the head itself."""
    if not found:
        return
    columns = [name for name in (*_COLUMNS, *_TOLD_COLUMNS) if name in metrics]
    yield "\nThe same features, other methods:" + " " * 5 + "".join(f"{name:>19}" for name in columns)
    for name, values in {"this head": metrics, **found}.items():
        yield f"  {name.replace('_', ' '):<35}" + "".join(f"{values.get(column, ''):>19}" for column in columns)


def _read(path: Path, *, required: bool = False) -> dict[str, Any]:
    """Return a JSON file's content, and nothing where there is none."""
    if not path.is_file():
        if required:
            raise InputError(f"There is no {path} in {Path.cwd()}; `dvc repro` makes it in the repository's top folder.")
        return {}
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
