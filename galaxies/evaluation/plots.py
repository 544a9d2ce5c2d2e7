"""The figure of a run: test galaxies with their predictions, and the confusion matrix below them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray

from galaxies.evaluation.contact_sheet import (
    BACKGROUND,
    FAINT,
    INK,
    TEXT,
    WIDTH,
    Tile,
    draw_sheet,
    save_sheet,
    shorten,
)
from galaxies.evaluation.told import Told

# They differ to colour-blind eyes too, and a mark says the same without colour.
RIGHT = "#4fc3a1"
WRONG = "#ff8559"

_KEY = "below each galaxy: its label, then ✓ right or ✗ what was predicted instead, with the probability given to it"
_NO_TILES = "these galaxies came as embeddings, without images; here is what the head makes of them"
_TOLD_KEY = "below each galaxy: what people said or was measured, then what the head tells"
# Of the confusion matrix, inches: room for the names on the left, for the titles above and for the names below, a cell.
_NAMES, _TITLES, _FOOT, _CELL = 2.6, 0.55, 1.4, 0.5


def choose_galaxies(targets: NDArray[np.int64], *, num_galaxies: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return up to ``num_galaxies`` positions, class by class: as many of each class as there are, drawn by chance.

    Success plays no part, so that a sheet of them shows a head as it is, not at its best.
    """
    order = generator.permutation(len(targets))
    shuffled = targets[order]
    turn = np.empty(len(targets), np.int64)  # 0 for the first of its class, 1 for the second, ...
    for target in np.unique(targets):
        members = np.flatnonzero(shuffled == target)
        turn[members] = np.arange(len(members))
    taken = np.argsort(turn, kind="stable")[:num_galaxies]
    return order[taken[np.lexsort((turn[taken], shuffled[taken]))]]


def make_tile(image: NDArray[np.uint8], label: str, predicted: str, probability: float) -> Tile:
    """Return a galaxy with its label and, below that, the verdict: ``✓ 82%`` in green or ``✗ Merging 41%`` in red.

    Args:
        image: (S, S, 3).
        label: its class.
        predicted: the class that is thought most probable.
        probability: given to that.
    """
    is_right = predicted == label
    verdict = f"✓ {probability:.0%}" if is_right else f"✗ {predicted} {probability:.0%}"
    colour = RIGHT if is_right else WRONG
    return Tile(image, ((label, INK), (verdict, colour)), frame=colour)


def make_told_tile(image: NDArray[np.uint8], told: Told, place: int) -> Tile:
    """Return a galaxy with what is true and what was told of the first name that is known of it.

    Args:
        image: (S, S, 3).
        told: of B galaxies.
        place: of this one.
    """
    known = np.flatnonzero(told.counts[place])
    if not len(known):
        return Tile(image, (("not known", FAINT),))
    name, true, said = told.names[known[0]], told.true[place, known[0]], told.expected[place, known[0]]
    return Tile(image, ((f"{name}: {true:.3g}", INK), (f"told {said:.3g}", FAINT)))


def draw_told_figure(path: Path, tiles: Sequence[Tile], *, columns: int, title: str) -> None:
    """Draw galaxies to a PNG 1,200 px wide, as :func:`make_told_tile` makes them."""
    figure, _ = draw_sheet(tiles, columns=columns, title=title, key=_TOLD_KEY)
    save_sheet(path, figure)


def draw_figure(path: Path, tiles: Sequence[Tile], confusion: pd.DataFrame, *, columns: int, title: str) -> None:
    """Draw galaxies and the confusion matrix below them to a PNG 1,200 px wide.

    Args:
        path: of the PNG.
        tiles: the galaxies, line by line, as :func:`make_tile` makes them; none without images.
        confusion: a row a pair of classes: label, predicted, count, share.
        columns: galaxies in a line.
        title: above the sheet.
    """
    num_classes = confusion["label"].nunique()
    foot = _TITLES + num_classes * _CELL + _FOOT
    figure, height = draw_sheet(tiles, columns=columns, title=title, key=_KEY if tiles else _NO_TILES, foot=foot)
    width = min(WIDTH - _NAMES - 0.3, 2 * num_classes * _CELL)
    box = (_NAMES / WIDTH, _FOOT / height, width / WIDTH, num_classes * _CELL / height)
    _draw_confusion(figure.add_axes(box), confusion, num_classes)
    save_sheet(path, figure)


def _draw_confusion(axes: Axes, confusion: pd.DataFrame, num_classes: int) -> None:
    """Draw a matrix, labels down and predictions across: the share of each label's galaxies as colour, with their number."""
    shares = confusion["share"].to_numpy().reshape(num_classes, num_classes)
    counts = confusion["count"].to_numpy().reshape(num_classes, num_classes)
    names = [shorten(name, 26) for name in confusion["predicted"].iloc[:num_classes]]
    colours = LinearSegmentedColormap.from_list("shares", ["#1b1b22", "#2f6db5", "#d6e6f7"])
    axes.imshow(shares, cmap=colours, vmin=0, vmax=1, aspect="auto")
    axes.set_yticks(range(num_classes), names, color=INK, fontsize=10, **TEXT)
    axes.set_xticks(range(num_classes), names, color=INK, fontsize=10, rotation=30, ha="right", rotation_mode="anchor", **TEXT)
    axes.tick_params(length=0)
    axes.set_title(
        "labels down, predictions across: of each label's test galaxies the share, and their number",
        color=FAINT,
        fontsize=10,
        loc="left",
        pad=10,
        **TEXT,
    )
    for (label, predicted), count in np.ndenumerate(counts):
        if count:
            share = shares[label, predicted]
            ink: dict[str, Any] = {"ha": "center", "va": "center", "color": BACKGROUND if share > 0.6 else INK, **TEXT}
            axes.text(predicted, label - 0.14, f"{share:.0%}", fontsize=11, weight="bold", **ink)
            axes.text(predicted, label + 0.24, str(count), fontsize=8, **ink)
    for spine in axes.spines.values():
        spine.set_color(FAINT)
