"""Pictures drawn with matplotlib; the same input gives the same bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from numpy.typing import NDArray

from galaxies.files import replacing

# The sky's own dark, so that frames do not outshine faint galaxies. The two colours differ to colour-blind eyes too, and a
# mark says the same without colour.
BACKGROUND = "#101014"
INK = "#e8e8ea"
FAINT = "#9a9aa4"
RIGHT = "#4fc3a1"
WRONG = "#ff8559"

_DPI = 100
_WIDTH, _HEADER, _CAPTION, _LINE = 12.0, 0.9, 0.5, 0.19  # inches: of the sheet, the title, a galaxy's text, a line of it
_LARGEST_FONT, _SMALLEST_FONT = 11.0, 8.0  # points
# Of the confusion matrix, inches: room for the names on the left, for the titles above and for the names below, a cell.
_NAMES, _TITLES, _FOOT, _CELL = 2.6, 0.55, 1.4, 0.5


@dataclass(frozen=True)
class Tile:
    """One galaxy of a contact sheet."""

    image: NDArray[np.uint8]  # (S, S, 3)
    label: str
    predicted: str
    probability: float  # of the predicted class

    @property
    def is_right(self) -> bool:
        """Whether the prediction is the label."""
        return self.predicted == self.label

    @property
    def verdict(self) -> str:
        """The line under the label: ``✓ 82%`` or ``✗ Merging 41%``."""
        return f"✓ {self.probability:.0%}" if self.is_right else f"✗ {self.predicted} {self.probability:.0%}"


def choose_galaxies(targets: NDArray[np.int64], *, num_galaxies: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return up to ``num_galaxies`` positions, class by class: as many of each class as there are, drawn by chance.

    Success plays no part, so that a sheet of them shows a head as it is, not at its best.
    """
    order = generator.permutation(len(targets))
    shuffled = targets[order]
    turn = np.empty(len(targets), np.int64)  # The how-manieth of its class a galaxy is.
    for target in np.unique(targets):
        members = np.flatnonzero(shuffled == target)
        turn[members] = np.arange(len(members))
    taken = np.argsort(turn, kind="stable")[:num_galaxies]
    return order[taken[np.lexsort((turn[taken], shuffled[taken]))]]


def draw_figure(path: Path, tiles: Sequence[Tile], confusion: pd.DataFrame, *, columns: int, title: str) -> None:
    """Draw galaxies and the confusion matrix below them to a PNG 1,200 px wide.

    Under each galaxy stands its label, then the verdict, green with a tick or red with a cross.

    Args:
        path: of the PNG.
        tiles: the galaxies, row by row.
        confusion: a row a pair of classes: label, predicted, count, share.
        columns: galaxies in a row.
        title: above the sheet.
    """
    side = _WIDTH / columns
    num_classes = confusion["label"].nunique()
    matrix = _TITLES + num_classes * _CELL + _FOOT
    height = _HEADER + -(-len(tiles) // columns) * (side + _CAPTION) + matrix
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor=BACKGROUND)
    write: dict[str, Any] = {"ha": "center", "va": "center", "family": "DejaVu Sans", "parse_math": False}
    figure.text(0.5, 1 - 0.36 / height, title, color=INK, fontsize=16, **write)
    key = "below each galaxy: its label, then ✓ right or ✗ what was predicted instead, with the probability given to it"
    figure.text(0.5, 1 - 0.68 / height, key, color=FAINT, fontsize=10, **write)
    # One pair of axes under all galaxies, in inches: a pair each takes 19 times as long to make.
    sheet = figure.add_axes((0, 0, 1, 1))
    captions: list[Text] = []
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        bottom = height - _HEADER - (row + 1) * (side + _CAPTION) + _CAPTION
        _draw_galaxy(sheet, tile, left=(column + 0.03) * side, bottom=bottom, side=0.94 * side)
        lines = ((tile.label, INK), (tile.verdict, RIGHT if tile.is_right else WRONG))
        for number, (text, colour) in enumerate(lines):
            middle = (bottom - 0.12 - _LINE * number) / height
            captions.append(figure.text((column + 0.5) / columns, middle, text, color=colour, **write))
    sheet.set(xlim=(0, _WIDTH), ylim=(0, height), aspect="auto")
    sheet.set_axis_off()
    _fit_texts(captions, 0.97 * side * _DPI, FigureCanvasAgg(figure).get_renderer())  # type: ignore[no-untyped-call]
    width = min(_WIDTH - _NAMES - 0.3, 2 * num_classes * _CELL)
    box = (_NAMES / _WIDTH, _FOOT / height, width / _WIDTH, num_classes * _CELL / height)
    _draw_confusion(figure.add_axes(box), confusion, num_classes)
    with replacing(path) as temporary:
        # By default matplotlib writes its version into the file, and the bytes would change with it.
        figure.savefig(temporary, format="png", facecolor=BACKGROUND, metadata={"Software": None})


def _draw_galaxy(axes: Axes, tile: Tile, *, left: float, bottom: float, side: float) -> None:
    axes.imshow(tile.image, interpolation="lanczos", extent=(left, left + side, bottom, bottom + side))
    axes.add_patch(Rectangle((left, bottom), side, side, fill=False, linewidth=2, edgecolor=RIGHT if tile.is_right else WRONG))


def _draw_confusion(axes: Axes, confusion: pd.DataFrame, num_classes: int) -> None:
    """Draw a matrix, labels down and predictions across: the share of each label's galaxies as colour, with their number."""
    shares = confusion["share"].to_numpy().reshape(num_classes, num_classes)
    counts = confusion["count"].to_numpy().reshape(num_classes, num_classes)
    names = confusion["predicted"].iloc[:num_classes].tolist()
    write: dict[str, Any] = {"family": "DejaVu Sans", "parse_math": False}
    colours = LinearSegmentedColormap.from_list("shares", ["#1b1b22", "#2f6db5", "#d6e6f7"])
    axes.imshow(shares, cmap=colours, vmin=0, vmax=1, aspect="auto")
    ends = [_shorten(name, 26) for name in names]
    axes.set_yticks(range(num_classes), ends, color=INK, fontsize=10, **write)
    axes.set_xticks(range(num_classes), ends, color=INK, fontsize=10, rotation=30, ha="right", rotation_mode="anchor", **write)
    axes.tick_params(length=0)
    axes.set_title(
        "labels down, predictions across: of each label's test galaxies the share, and their number",
        color=FAINT,
        fontsize=10,
        loc="left",
        pad=10,
        family="DejaVu Sans",
    )
    for (row, column), count in np.ndenumerate(counts):
        if count:
            share = shares[row, column]
            ink = BACKGROUND if share > 0.6 else INK
            place: dict[str, Any] = {"ha": "center", "va": "center", "color": ink, "family": "DejaVu Sans"}
            axes.text(column, row - 0.14, f"{share:.0%}", fontsize=11, weight="bold", **place)
            axes.text(column, row + 0.24, str(count), fontsize=8, **place)
    for spine in axes.spines.values():
        spine.set_color(FAINT)


def _shorten(name: str, length: int) -> str:
    """Return a name of at most ``length`` characters; what is cut is its middle, for the end tells long names apart."""
    return name if len(name) <= length else f"{name[: length // 2].rstrip()}…{name[-(length // 2 - 1) :].lstrip()}"


def _fit_texts(texts: Sequence[Text], width: float, renderer: RendererAgg) -> None:
    """Give all texts one size at which they are at most ``width`` px wide; cut what would need too small a size."""
    size = _LARGEST_FONT
    for text in texts:
        text.set_fontsize(size)
        # Letters have whole pixels, so that a text half as large is not half as wide.
        while size > _SMALLEST_FONT and text.get_window_extent(renderer).width > width:
            size = max(_SMALLEST_FONT, size - 0.25)
            text.set_fontsize(size)
    for text in texts:
        text.set_fontsize(size)
        whole = text.get_text()
        for length in range(len(whole) - 1, 1, -1):
            if text.get_window_extent(renderer).width <= width:
                break
            # Its end goes with it: there stands the probability, or what tells two long names apart.
            text.set_text(f"{whole[: (length + 1) // 2].rstrip()}…{whole[len(whole) - length // 2 :].lstrip()}")
