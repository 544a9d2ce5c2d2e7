"""A contact sheet is drawn by chance, says right and wrong by more than colour, and keeps its bytes."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from galaxies.evaluation.class_tables import tabulate_confusion
from galaxies.evaluation.contact_sheet import Tile, draw_sheet, fit_texts, save_sheet, shorten
from galaxies.evaluation.plots import RIGHT, WRONG, choose_galaxies, draw_figure, make_tile
from tests.toys import toy_images


def tiles(num_tiles: int, *, label: str = "Merging", predicted: str = "Merging") -> list[Tile]:
    return [make_tile(image, label, predicted, 0.82) for image in toy_images(num_tiles, size=40)]


def draw(path: Path, drawn: list[Tile], columns: int = 6) -> NDArray[np.uint8]:
    confusion = tabulate_confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), (r"$\frac{$", "Round Smooth"))
    draw_figure(path, drawn, confusion, columns=columns, title="A figure")
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def has_colour(picture: NDArray[np.uint8], colour: str) -> bool:
    wanted = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    return bool((picture == wanted).all(axis=2).any())


def test_every_class_has_as_many_galaxies_as_the_others_while_it_lasts() -> None:
    targets = np.repeat(np.arange(3), [50, 2, 9])
    chosen = choose_galaxies(targets, num_galaxies=12, generator=np.random.default_rng(0))
    assert np.bincount(targets[chosen]).tolist() == [5, 2, 5]
    assert len(set(chosen.tolist())) == 12
    assert (np.diff(targets[chosen]) >= 0).all()


@pytest.mark.parametrize(
    ("counts", "expected"), [([1], 1), ([0, 3], 3), ([40] * 50, 12), ([0], 0)], ids=["one", "absent", "many-classes", "none"]
)
def test_what_there_is_is_shown_and_not_more_than_asked_for(counts: list[int], expected: int) -> None:
    targets = np.repeat(np.arange(len(counts)), counts)
    assert len(choose_galaxies(targets, num_galaxies=12, generator=np.random.default_rng(0))) == expected


def test_the_choice_follows_from_the_generator_alone() -> None:
    targets = np.arange(40) % 4
    first, again, other = (choose_galaxies(targets, num_galaxies=8, generator=np.random.default_rng(s)) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert first.tolist() != other.tolist()


@pytest.mark.parametrize("num_tiles", [0, 1, 6, 7])
def test_any_number_of_galaxies_makes_a_sheet_1200_px_wide(tmp_path: Path, num_tiles: int) -> None:
    picture = draw(tmp_path / "a.png", tiles(num_tiles))
    assert picture.shape[1] == 1200
    # The title, the galaxies with their texts, and of the matrix its title, two cells and the names below.
    assert picture.shape[0] == 90 + -(-num_tiles // 6) * 250 + 55 + 2 * 50 + 140


def test_a_galaxy_without_a_verdict_has_no_frame(tmp_path: Path) -> None:
    figure, height = draw_sheet([Tile(toy_images(1, size=40)[0], (("a", RIGHT),))], columns=6, title="", key="")
    save_sheet(tmp_path / "a.png", figure)
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (1200, round(100 * height)) == (1200, 90 + 250)
    assert len(figure.axes[0].images) == 1
    assert not figure.axes[0].patches


def test_right_and_wrong_differ_in_colour_and_in_their_mark(tmp_path: Path) -> None:
    right, wrong = tiles(1)[0], tiles(1, predicted="Round Smooth")[0]
    assert (right.lines[1][0], wrong.lines[1][0]) == ("✓ 82%", "✗ Round Smooth 82%")
    for tile, present, absent in ((right, RIGHT, WRONG), (wrong, WRONG, RIGHT)):
        picture = draw(tmp_path / "a.png", [tile])
        assert has_colour(picture, present)
        assert not has_colour(picture, absent)


def test_the_same_galaxies_give_the_same_bytes_without_date_or_version(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw(tmp_path / name, tiles(3))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert not {"Software", "Creation Time"} & set(image.info)


def test_names_are_text_and_no_formula(tmp_path: Path) -> None:
    """Matplotlib takes what stands between two dollars for mathematics, and fails where it is none."""
    draw(tmp_path / "a.png", tiles(1, label=r"a$\nonsense$b", predicted=r"$\frac{$"))


@pytest.mark.parametrize("text", ["Merging", "In-between Round Smooth", "W" * 200, "✗ " + "Edge-on " * 20 + "41%"])
def test_no_text_is_wider_than_its_galaxy_or_too_small_to_read(text: str) -> None:
    figure = Figure(figsize=(12, 3), dpi=100)
    written = [figure.text(0.5, 0.5, words, family="DejaVu Sans") for words in (text, "Merging")]
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    fit_texts(written, 190, renderer)
    assert max(words.get_window_extent(renderer).width for words in written) <= 191
    assert min(float(words.get_fontsize()) for words in written) >= 8
    assert written[1].get_text() == "Merging"
    assert written[0].get_text()[0] == text[0]
    assert written[0].get_text()[-1] == text[-1]


def test_the_matrix_is_as_bright_as_the_shares_are_high(tmp_path: Path) -> None:
    """Label 0 is right half of the time, label 1 always, and 1 is never taken for 0."""
    picture = draw(tmp_path / "a.png", [])
    # Two cells of 100 x 50 px start 260 px from the left and 145 px from the top; their corners are free of text.
    cells = [[int(picture[149 + 50 * row, 264 + 100 * column].sum()) for column in range(2)] for row in range(2)]
    assert cells[1][0] < cells[0][0] == cells[0][1] < cells[1][1]


@pytest.mark.parametrize("name", ["Merging", "x" * 26, "In-between Round Smooth with a Bar", "W" * 200])
def test_a_long_name_loses_its_middle(name: str) -> None:
    short = shorten(name, 26)
    assert len(short) <= 26
    assert (short == name) == (len(name) <= 26)
    assert (short[0], short[-1]) == (name[0], name[-1])
