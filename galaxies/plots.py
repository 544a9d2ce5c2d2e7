"""Pictures drawn with matplotlib; the same input gives the same bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from galaxies.files import replacing

BACKGROUND = "#101014"
INK = "#e8e8ea"
RIGHT = "#5bc88a"
WRONG = "#ff7a66"

_DPI = 100
_WIDTH, _HEADER, _CAPTION = 12.0, 0.6, 0.48  # inches: of the sheet, the title, the text under a galaxy


@dataclass(frozen=True)
class Tile:
    """One galaxy of a contact sheet."""

    image: NDArray[np.uint8]  # (S, S, 3)
    label: str
    predicted: str
    probability: float  # of the predicted class


def choose_galaxies(
    targets: NDArray[np.int64], num_classes: int, *, per_class: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Return up to ``per_class`` positions of each class, class by class: drawn by chance, not picked by success."""
    chosen = [generator.permutation(np.flatnonzero(targets == target))[:per_class] for target in range(num_classes)]
    return np.concatenate(chosen).astype(np.int64)


def draw_contact_sheet(path: Path, tiles: Sequence[Tile], *, columns: int, title: str) -> None:
    """Draw galaxies with prediction and probability to a PNG 1,200 px wide; a wrong one is red, and its label stands below.

    Args:
        path: of the PNG.
        tiles: the galaxies, row by row.
        columns: galaxies in a row.
        title: above the sheet.
    """
    side = _WIDTH / columns
    height = _HEADER + -(-len(tiles) // columns) * (side + _CAPTION)
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor=BACKGROUND)
    figure.text(0.5, 1 - 0.5 * _HEADER / height, title, color=INK, fontsize=14, ha="center", va="center")
    font_size = _fitting_font_size(tiles, side)
    for index, galaxy in enumerate(tiles):
        row, column = divmod(index, columns)
        bottom = height - _HEADER - (row + 1) * (side + _CAPTION) + _CAPTION
        axes = figure.add_axes(((column + 0.03) / columns, bottom / height, 0.94 / columns, 0.94 * side / height))
        axes.imshow(galaxy.image, interpolation="lanczos")
        axes.set_xticks([])
        axes.set_yticks([])
        colour = RIGHT if galaxy.predicted == galaxy.label else WRONG
        for spine in axes.spines.values():
            spine.set_color(colour)
            spine.set_linewidth(1.5)
        lines = [(f"{galaxy.predicted} {galaxy.probability:.0%}", colour)]
        if galaxy.predicted != galaxy.label:
            lines.append((f"not {galaxy.label}", INK))
        for number, (text, ink) in enumerate(lines):
            top = (bottom - 0.05 - 0.19 * number) / height
            figure.text((column + 0.5) / columns, top, text, color=ink, fontsize=font_size, ha="center", va="top")
    with replacing(path) as temporary:
        # By default matplotlib writes its version into the file, and the bytes would change with it.
        figure.savefig(temporary, format="png", facecolor=BACKGROUND, metadata={"Software": None})


def _fitting_font_size(tiles: Sequence[Tile], side: float) -> float:
    """Return the font size in points at which the longest line is as wide as a galaxy, the same for all."""
    longest = max((max(len(tile.predicted) + 5, len(tile.label) + 4) for tile in tiles), default=1)
    # A letter of the default font is 0.56 of its size wide on average (measured on the class names).
    return float(min(11.0, 0.97 * side * 72 / (0.56 * longest)))
