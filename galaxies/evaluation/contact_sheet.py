"""Contact sheets: pictures of galaxies side by side, with a few lines of text below each, drawn with matplotlib.

The same input gives the same bytes. Legend: S image size in pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from numpy.typing import NDArray

from galaxies.files import replacing

# The sky's own dark, so that frames do not outshine faint galaxies.
BACKGROUND = "#101014"
INK = "#e8e8ea"
FAINT = "#9a9aa4"

TEXT: dict[str, Any] = {"family": "DejaVu Sans", "parse_math": False}
"""Of everything that is written: a name with two dollars is no formula."""

WIDTH = 12.0
"""Of a sheet, inches of 100 px."""

_DPI = 100
_HEADER, _CAPTION, _LINE = 0.9, 0.5, 0.19  # inches: the title with the line below it, a galaxy's text, a line of it
_LARGEST_FONT, _SMALLEST_FONT = 11.0, 8.0  # points


@dataclass(frozen=True)
class Tile:
    """One galaxy of a contact sheet."""

    image: NDArray[np.uint8]  # (S, S, 3)
    lines: tuple[tuple[str, str], ...]  # text and colour of each of the at most two lines below it
    frame: str | None = None  # its colour; None for no frame


def draw_sheet(tiles: Sequence[Tile], *, columns: int, title: str, key: str, foot: float = 0.0) -> tuple[Figure, float]:
    """Draw a sheet.

    Args:
        tiles: line by line.
        columns: galaxies in a line.
        title: above them.
        key: what the lines below a galaxy mean, in small letters below the title.
        foot: inches to leave free below them.

    Returns:
        The figure and its height in inches.
    """
    side = WIDTH / columns
    height = _HEADER + -(-len(tiles) // columns) * (side + _CAPTION) + foot
    figure = Figure(figsize=(WIDTH, height), dpi=_DPI, facecolor=BACKGROUND)
    middle: dict[str, Any] = {"ha": "center", "va": "center", **TEXT}
    figure.text(0.5, 1 - 0.36 / height, title, color=INK, fontsize=16, **middle)
    figure.text(0.5, 1 - 0.68 / height, key, color=FAINT, fontsize=10, **middle)
    # One pair of axes under all galaxies, in inches: a pair each takes 19 times as long to make.
    axes = figure.add_axes((0, 0, 1, 1))
    captions: list[Text] = []
    for index, tile in enumerate(tiles):
        down, across = divmod(index, columns)
        left, bottom = (across + 0.03) * side, height - _HEADER - (down + 1) * (side + _CAPTION) + _CAPTION
        size = 0.94 * side
        axes.imshow(tile.image, interpolation="lanczos", extent=(left, left + size, bottom, bottom + size))
        if tile.frame:
            axes.add_patch(Rectangle((left, bottom), size, size, fill=False, linewidth=2, edgecolor=tile.frame))
        for number, (text, colour) in enumerate(tile.lines):
            place = ((across + 0.5) / columns, (bottom - 0.12 - _LINE * number) / height)
            captions.append(figure.text(*place, text, color=colour, **middle))
    axes.set(xlim=(0, WIDTH), ylim=(0, height), aspect="auto")
    axes.set_axis_off()
    fit_texts(captions, 0.97 * side * _DPI, FigureCanvasAgg(figure).get_renderer())  # type: ignore[no-untyped-call]
    return figure, height


def save_sheet(path: Path, figure: Figure) -> None:
    """Write a figure as a PNG."""
    with replacing(path) as temporary:
        # By default matplotlib writes its version into the file, and the bytes would change with it.
        figure.savefig(temporary, format="png", facecolor=BACKGROUND, metadata={"Software": None})


def shorten(name: str, length: int) -> str:
    """Return a name of at most ``length`` characters; what is cut is its middle, for the end tells long names apart."""
    return name if len(name) <= length else f"{name[: length // 2].rstrip()}…{name[-(length // 2 - 1) :].lstrip()}"


def fit_texts(texts: Sequence[Text], width: float, renderer: RendererAgg) -> None:
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
