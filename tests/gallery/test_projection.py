"""The page of all galaxies: which get a picture, and in a browser points, colours, search and one galaxy in full."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.splits import write_splits
from galaxies.errors import InputError
from galaxies.features.store import Layout, Store, create_store
from galaxies.features.survey import Survey
from galaxies.gallery import projection_pictures
from galaxies.gallery.projection import Answers, Projection, write_projection_page
from galaxies.gallery.projection_pictures import choose_pictured, read_pictures, scale_places, write_pictures
from galaxies.gallery.thumbnails import encode_thumbnail
from tests.browser import Browser
from tests.toys import toy_identity, toy_images, toy_splits, write_toy_catalog, write_toy_galaxies

NUM_GALAXIES, NAMES = 40, ("Spiral", "</script><b>{{style}}", "Smooth")
LABELS = np.arange(NUM_GALAXIES) % 4 - 1
PLACES = np.random.default_rng(0).normal(size=(NUM_GALAXIES, 2)).astype(np.float32)
PROBABILITIES = np.random.default_rng(1).dirichlet(np.ones(3), NUM_GALAXIES).astype(np.float32)
ANSWERS = Answers(np.linspace(0.5, 2, NUM_GALAXIES).astype(np.float32), PROBABILITIES)


def make_page(folder: Path, answers: Answers = ANSWERS, num_workers: int = 1) -> Path:
    images = toy_images(NUM_GALAXIES, size=40)
    write_toy_galaxies(folder / "galaxies.h5", images)
    catalog = write_toy_catalog(folder / "catalog.parquet", images)
    (folder / "data").mkdir()
    write_splits(folder / "data/splits.parquet", toy_splits(LABELS, np.where(LABELS < 0, "pool", "test"), names=NAMES))
    layout = Layout((1, 4), "float32", compressed=False)
    create_store(folder / "a.zarr", num_rows=NUM_GALAXIES, layout=layout, identity=toy_identity())
    survey = Survey(catalog, Store(folder / "a.zarr"), folder)
    with GalaxyFile(folder / "galaxies.h5") as galaxies:
        write_pictures(folder / "pictures.parquet", galaxies, catalog, PLACES, num_workers=num_workers)
        projection = Projection(PLACES, "tsne", *read_pictures(folder / "pictures.parquet", catalog))
        write_projection_page(folder / "page.html", survey, galaxies, projection, answers)
    return folder / "page.html"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_page(tmp_path_factory.mktemp("projection"))


@pytest.fixture
def page(browser: Browser, path: Path) -> Iterator[Browser]:
    """Open the page, and hold it to its promises after the test."""
    browser.driver.set_window_size(1400, 900)
    browser.open(path)
    browser.wait("return window.drawn")
    yield browser
    assert browser.complaints() == []
    assert browser.external_requests() == []


def press(page: Browser, selector: str) -> None:
    page.run("document.querySelector(arguments[0]).click()", selector)


def colours_on_the_plane(page: Browser) -> int:
    """Return how many different colours the canvas shows, after it was drawn again."""
    page.run("window.drawn = false; dispatchEvent(new Event('resize'))")
    page.wait("return window.drawn")
    return int(
        page.run(
            "const c = document.getElementById('plane');"
            "const pixels = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "return new Set(new Uint32Array(pixels.buffer)).size"
        )
    )


def test_the_plane_is_drawn_and_the_legend_counts(page: Browser) -> None:
    legend = page.run("return [...document.querySelectorAll('#legend button')].map((e) => e.innerText.split(/\\n+/))")
    assert legend == [*([name, "10"] for name in NAMES), ["no label", "10"]]
    assert colours_on_the_plane(page) > 4
    assert "40 galaxies by their features of layer4, t-SNE" in page.run("return document.getElementById('facts').innerText")


def test_a_class_alone_can_be_shown_and_all_again(page: Browser) -> None:
    pressed = "return [...document.querySelectorAll('#legend button')].map((e) => e.ariaPressed)"
    press(page, "#legend button:nth-child(2)")
    assert page.run(pressed) == ["false", "true", "false", "false"]
    assert colours_on_the_plane(page) > 1
    press(page, "#legend button:nth-child(2)")
    assert page.run(pressed) == ["true"] * 4


def test_every_colour_can_be_chosen(page: Browser) -> None:
    names = page.run("return [...document.querySelectorAll('#modes button')].map((e) => e.innerText)")
    assert names == ["Class", "Prediction", "Confidence", "Novelty", "Split"]
    for number, name in enumerate(names, start=1):
        press(page, f"#modes button:nth-child({number})")
        assert page.run("return document.querySelector('#modes [aria-checked=true]').innerText") == name
        assert colours_on_the_plane(page) > 2


def test_a_galaxy_is_found_by_its_id_and_shown_in_full(page: Browser) -> None:
    page.run("document.getElementById('query').value = '000039'; document.getElementById('search').requestSubmit()")
    shown = page.run("return document.getElementById('detail').innerText")
    predicted, confidence = NAMES[PROBABILITIES[39].argmax()], PROBABILITIES[39].max()
    assert shown.splitlines()[:2] == ["×", "000039"]
    assert f"{predicted}, {100 * confidence:.0f}\u202f%" in shown
    assert "2.00 of the threshold: unlike those of training" in shown
    assert page.wait("return document.querySelector('#detail .portrait').naturalWidth") == 40
    near = page.run("return [...document.querySelectorAll('.near button')].map((e) => e.title.split(',')[0])")
    order = np.argsort(((scale_places(PLACES).astype(np.int64) - scale_places(PLACES)[39]) ** 2).sum(axis=1), kind="stable")
    assert near == [f"{row:06d}" for row in order[1:13]]


def test_a_click_opens_the_galaxy_under_it_and_escape_closes_it(page: Browser) -> None:
    page.run(
        "document.getElementById('query').value = '000007'; document.getElementById('search').requestSubmit();"
        "document.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' }))"
    )
    assert page.run("return document.getElementById('detail').hidden")
    # The search has brought it into the middle.
    page.run(
        "const c = document.getElementById('plane');"
        "const at = { clientX: c.clientWidth / 2, clientY: c.clientHeight / 2, pointerId: 1 };"
        "c.setPointerCapture = () => {};"
        "for (const type of ['pointermove', 'pointerdown', 'pointerup']) c.dispatchEvent(new PointerEvent(type, at))"
    )
    assert page.run("return document.querySelector('#detail h2').innerText") == "000007"
    assert not page.run("return document.getElementById('tip').hidden")


def test_pictures_take_the_place_of_points(page: Browser) -> None:
    press(page, "#pictures")
    page.wait("return document.getElementById('pictures').ariaPressed === 'true'")
    assert colours_on_the_plane(page) > 100  # The toys are noise.


def test_without_classes_and_answers_novelty_and_split_are_left(browser: Browser, tmp_path: Path) -> None:
    browser.open(make_page(tmp_path, Answers(ANSWERS.novelty, None)))
    browser.wait("return window.drawn")
    assert "Prediction" not in browser.run("return document.getElementById('modes').innerText")
    assert browser.complaints() == []


def test_the_page_does_not_depend_on_the_number_of_threads(path: Path, tmp_path: Path) -> None:
    assert make_page(tmp_path, num_workers=3).read_bytes() == path.read_bytes()


def test_places_keep_their_proportions() -> None:
    plane = scale_places(np.array([[0, 0], [4, 1], [2, 0.5]], np.float32))
    assert plane[:, 0].tolist() == [0, 65_535, 32_768]
    assert int(plane[1, 1]) - int(plane[0, 1]) == pytest.approx(65_535 / 4, abs=1)
    assert scale_places(np.ones((1, 2), np.float32)).tolist() == [[32_768, 32_768]]
    assert scale_places(np.empty((0, 2), np.float32)).shape == (0, 2)


def test_pictures_are_spread_over_the_plane() -> None:
    """A thousand galaxies in one corner take no picture from the three elsewhere."""
    crowd = np.random.default_rng(0).integers(0, 600, (1000, 2))
    plane = np.concatenate([crowd, [[60_000, 0], [0, 60_000], [60_000, 60_000]]]).astype(np.uint16)
    chosen = choose_pictured(plane, 10, generator=np.random.default_rng(0))
    assert len(chosen) == 10
    assert set(chosen[-3:].tolist()) == {1000, 1001, 1002}
    assert (np.diff(chosen) > 0).all()
    assert len(choose_pictured(plane, 5000, generator=np.random.default_rng(0))) == 1003


def test_pictures_of_some_rows_come_back_as_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, others = toy_images(NUM_GALAXIES, size=40), toy_images(NUM_GALAXIES, size=8)
    write_toy_galaxies(tmp_path / "galaxies.h5", images)
    catalog = write_toy_catalog(tmp_path / "catalog.parquet", images)
    monkeypatch.setattr(projection_pictures, "_MAX_CHARS", 7_000)
    with GalaxyFile(tmp_path / "galaxies.h5") as galaxies:
        write_pictures(tmp_path / "pictures.parquet", galaxies, catalog, PLACES, num_workers=2)
    chars, pictures = read_pictures(tmp_path / "pictures.parquet", catalog)
    chosen = choose_pictured(scale_places(PLACES), 7, generator=np.random.default_rng(0))
    assert np.flatnonzero(chars).tolist() == chosen.tolist()
    starts = np.cumsum(chars) - chars
    for row in chosen.tolist():
        assert pictures[starts[row] : starts[row] + chars[row]] == encode_thumbnail(images[row], 40)
    with pytest.raises(InputError, match=r"pictures\.parquet is of another catalog than .*; `dvc repro --force project`"):
        read_pictures(tmp_path / "pictures.parquet", write_toy_catalog(tmp_path / "other.parquet", others))
