"""The gallery in a real browser: it filters, sorts, opens, walks by keyboard and exports, without an error or a request."""

import base64
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from galaxies.data.label_table import read_label_table
from galaxies.data.splits import UNLABELLED
from galaxies.gallery.exhibits import _MAX_CHARS_NEIGHBOURS, _MAX_CHARS_SHOWN
from galaxies.gallery.page import write_gallery
from galaxies.gallery.thumbnails import encode_thumbnail
from tests.browser import Browser
from tests.galleries import CLASS_NAMES, IDS, LABELS, SUSPECTS, TEST, make_gallery, predict
from tests.toys import toy_images

PREDICTED = predict().argmax(axis=1)
CONFIDENCE = predict().max(axis=1)
WRONG = LABELS[TEST] != PREDICTED

CARD_ROWS = "return [...document.querySelectorAll('#galaxies .card')].map((card) => Number(card.dataset.index))"
DETAIL = "return document.getElementById('detail').innerText"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the toy gallery; in it, a galaxy's position on the page is its row."""
    return make_gallery(tmp_path_factory.mktemp("page"))


@pytest.fixture
def page(browser: Browser, path: Path) -> Iterator[Browser]:
    """Open the gallery, and hold it to its promises after the test."""
    browser.driver.set_window_size(1400, 900)
    browser.open(path)
    yield browser
    assert browser.complaints() == []
    assert browser.external_requests() == []
    assert browser.run("return window.broken") is None


def click(page: Browser, selector: str) -> None:
    page.run("document.querySelector(arguments[0]).click()", selector)


def choose(page: Browser, field: str, value: object) -> None:
    script = "const e = document.getElementById(arguments[0]); e.value = arguments[1]; e.dispatchEvent(new Event('change'))"
    page.run(script, field, str(value))


def press(page: Browser, *keys: str) -> None:
    for key in keys:
        ActionChains(page.driver).send_keys(key).perform()


def rows(page: Browser) -> list[int]:
    """Return the rows of the galaxies shown; all of them, since no test here shows more than are made at once."""
    shown: list[int] = page.run(CARD_ROWS)
    return shown


def focused(page: Browser) -> str | None:
    index: str | None = page.run("return document.activeElement.dataset.index")
    return index


def summary(page: Browser) -> str:
    return str(page.run("return document.getElementById('summary').textContent"))


def test_it_opens_on_all_test_galaxies_and_says_how_many_are_right(page: Browser) -> None:
    assert summary(page) == "75 galaxies"
    facts = page.run("return document.getElementById('facts').textContent")
    assert (
        facts.replace("\u202f", " ")
        == "75 galaxies the head has not seen · 80 % right · 12,345 without a label · backbone <b>toy</b>"
    )
    assert rows(page) == TEST[:60].tolist()


def test_cards_and_pictures_are_made_when_they_come_near(page: Browser) -> None:
    assert page.wait("return document.querySelector('.card img').naturalWidth") == 32
    count = "return document.querySelectorAll('#galaxies .card').length"
    assert page.run(count) == 60
    page.run("window.scrollTo(0, document.body.scrollHeight)")
    assert page.wait(f"{count} === 75")
    assert page.run("return document.querySelectorAll('.card img[src]').length") < 75


def test_names_from_outside_are_text(page: Browser) -> None:
    names = page.run("return [...document.querySelectorAll('#label option')].map((option) => option.textContent)")
    assert names == ["All classes", *CLASS_NAMES]
    click(page, "[data-view=suspects]")
    click(page, ".card[data-index='0']")
    assert IDS[0] in page.run(DETAIL)
    assert page.run("return document.querySelectorAll('#detail [onerror], main script').length") == 0


def test_it_filters_by_class_verdict_and_id(page: Browser) -> None:
    choose(page, "label", 1)
    assert rows(page) == TEST[LABELS[TEST] == 1].tolist()
    choose(page, "answer", 2)
    assert rows(page) == TEST[(LABELS[TEST] == 1) & (PREDICTED == 2)].tolist()
    click(page, "#clear")
    choose(page, "verdict", "wrong")
    assert rows(page) == TEST[WRONG].tolist()
    page.run("const e = document.getElementById('query'); e.value = 'GALAXY 11'; e.dispatchEvent(new Event('input'))")
    assert rows(page) == [row for row in TEST[WRONG] if str(row).startswith("11")]


@pytest.mark.parametrize(
    ("order", "key"),
    [
        ("-confidence", -CONFIDENCE),
        ("confidence", CONFIDENCE),
        ("margin", np.diff(np.sort(predict())[:, -2:])[:, 0]),
        ("-loss", np.log(predict()[np.arange(len(TEST)), LABELS[TEST]])),
    ],
)
def test_it_sorts(page: Browser, order: str, key: np.ndarray) -> None:
    choose(page, "sort", order)
    assert rows(page) == TEST[np.argsort(key, kind="stable")][:60].tolist()


def test_the_views_show_what_they_say(page: Browser) -> None:
    click(page, "[data-view=mistakes]")
    assert rows(page) == TEST[WRONG][np.argsort(-CONFIDENCE[WRONG])].tolist()
    click(page, "[data-view=unsure]")
    margin = np.diff(np.sort(predict())[:, -2:])[:, 0]
    expected = TEST[margin < 0.1]
    assert rows(page) == expected[np.argsort(margin[margin < 0.1], kind="stable")].tolist()
    click(page, "[data-view=pairs]")
    heads = page.run("return [...document.querySelectorAll('.pair h3')].map((head) => head.textContent)")
    assert heads == [f"{CLASS_NAMES[label]} taken for {CLASS_NAMES[(label + 1) % 3]}" for label in range(3)]
    click(page, ".pair:nth-child(2) .show")
    assert rows(page) == TEST[WRONG & (LABELS[TEST] == 1)][::-1].tolist()


def test_a_cell_of_the_matrix_counts_its_galaxies_and_filters_to_them(page: Browser) -> None:
    cells = "return [...document.querySelectorAll('#matrix td button')].map((cell) => Number(cell.textContent))"
    counts = [int(((LABELS[TEST] == label) & (answer == PREDICTED)).sum()) for label in range(3) for answer in range(3)]
    assert page.run(cells) == counts
    click(page, "#matrix td [data-label='0'][data-answer='1']")
    assert rows(page) == TEST[(LABELS[TEST] == 0) & (PREDICTED == 1)].tolist()
    assert page.run("return document.getElementById('answer').value") == "1"
    assert page.run(cells) == counts
    click(page, "#matrix [aria-pressed=true]")
    assert summary(page) == "75 galaxies"
    click(page, "#matrix tbody th [data-label='2']")
    assert rows(page) == TEST[LABELS[TEST] == 2].tolist()


def test_the_details_have_probabilities_facts_link_and_neighbours(page: Browser) -> None:
    click(page, ".card[data-index='1']")
    text = page.run(DETAIL).replace("\u202f", " ")
    assert f"✗ predicted {CLASS_NAMES[1]}" in text
    first = f"{CLASS_NAMES[PREDICTED[0]]}\n{CONFIDENCE[0]:.0%}".replace("%", " %")
    assert first in text
    for fact in ("galaxy 1", "0.0010", "1.00000°, -0.10000°", "test"):
        assert fact in text
    link = page.run("const a = document.querySelector('#detail a'); return [a.href, a.target, a.rel]")
    address = "https://www.legacysurvey.org/viewer?ra=1.000000&dec=-0.100000&layer=ls-dr8&zoom=15"
    assert link == [address, "_blank", "noopener noreferrer"]
    neighbours = "return [...document.querySelectorAll('.neighbour')].map((button) => Number(button.dataset.index))"
    assert page.run(neighbours) == [0, 2, 3, 4, 5, 6, 7, 8]
    click(page, ".neighbour[data-index='2']")
    assert "A train galaxy" in page.run(DETAIL)
    assert "0007" in page.run(DETAIL)
    click(page, ".card[data-index='3']")
    assert page.run("return document.querySelector('#detail a')") is None


def test_one_can_walk_by_keyboard(page: Browser) -> None:
    press(page, Keys.ARROW_RIGHT)
    assert focused(page) == "1"
    press(page, Keys.ARROW_RIGHT)
    assert focused(page) == "3"
    press(page, Keys.ENTER)
    assert "galaxy 3" in page.run(DETAIL)
    press(page, Keys.ARROW_RIGHT)
    assert "galaxy 5" in page.run(DETAIL)
    press(page, Keys.ESCAPE)
    assert page.run("return document.getElementById('detail').hidden")
    assert focused(page) == "5"
    press(page, Keys.HOME, Keys.ARROW_DOWN)
    below = int(str(focused(page)))
    place = "return document.querySelector(`.card[data-index='${arguments[0]}']`).getBoundingClientRect().left"
    assert below > 3
    assert page.run(place, below) == page.run(place, 1)
    press(page, Keys.ARROW_UP)
    assert focused(page) == "1"
    press(page, Keys.END)
    assert focused(page) == str(TEST[-1])


def test_the_focus_is_visible_and_the_matrix_and_the_views_have_arrows_too(page: Browser) -> None:
    press(page, Keys.TAB, Keys.TAB)
    assert page.run("return document.activeElement.getAttribute('href')") == "projection.html"
    press(page, Keys.TAB)
    assert page.run("return document.activeElement.dataset.view") == "all"
    assert page.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    press(page, Keys.ARROW_RIGHT)
    assert summary(page) == "15 galaxies"
    press(page, Keys.TAB)
    assert page.run("return document.activeElement.closest('#matrix') !== null")
    press(page, Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ENTER)
    assert page.run("return [document.activeElement.dataset.label, document.activeElement.dataset.answer]") == ["0", "1"]
    assert rows(page) == TEST[WRONG & (LABELS[TEST] == 0)][::-1].tolist()
    press(page, Keys.ARROW_LEFT, Keys.ENTER)
    assert summary(page).startswith("0 galaxies")


def test_suspects_are_listed_and_their_labels_are_read_back(page: Browser, tmp_path: Path) -> None:
    page.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path), "eventsEnabled": False}
    )
    click(page, "[data-view=suspects]")
    assert rows(page) == [suspect.row for suspect in SUSPECTS]
    assert page.run("return document.getElementById('download').disabled")
    press(page, Keys.ARROW_RIGHT, "c")
    assert "Download 1 label " in page.run("return document.getElementById('download').textContent")
    press(page, "c")
    assert page.run("return document.getElementById('download').disabled")
    click(page, "#take-all")
    click(page, ".card[data-index='51']")
    choose(page, "correction", LABELS[51])
    click(page, "[data-view=all]")
    click(page, ".card[data-index='7']")
    choose(page, "correction", 2)
    click(page, "#download")
    path = tmp_path / "labels.csv"
    WebDriverWait(page.driver, 30).until(lambda _: path.exists())
    expected = LABELS.copy()
    expected[[0, 2, 4]] = 1
    expected[7] = 2
    assert path.read_text().startswith("id,label\n")
    table = read_label_table(path, sha256="any", labels=LABELS, ids=pa.array(IDS), class_names=CLASS_NAMES)
    assert table.apply(LABELS).tolist() == expected.tolist()


def test_the_pool_is_shown_and_labels_given_there_are_read_back(page: Browser, tmp_path: Path) -> None:
    page.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path), "eventsEnabled": False}
    )
    assert "12,345 without a label" in page.run("return document.getElementById('facts').textContent")
    click(page, "[data-view=pool-unsure]")
    first = len(IDS) + 1  # The labelled neighbour that was not on the page yet stands before the pool.
    assert rows(page) == [first, first + 1, first + 2, first + 3]
    assert page.run("return document.getElementById('matrix-section').hidden")
    assert summary(page) == "4 galaxies · of 12,345 without a label"
    click(page, "[data-view=pool-novel]")
    assert rows(page) == [first + 3, first + 2, first + 1, first]
    assert page.run("return document.querySelector('.card').dataset.kind") == "doubtful"
    click(page, "[data-view=pool-confident]")
    assert rows(page) == [first + 1, first + 2]
    click(page, f".card[data-index='{first + 1}']")
    text = page.run(DETAIL)
    assert "It has no label. It is a labelled galaxy once more." in text
    near = page.run("return [...document.querySelectorAll('.neighbour')].map((button) => Number(button.dataset.index))")
    assert near == [7, first - 1]
    choose(page, "correction", 1)
    choose(page, "correction", "")
    assert page.run("return document.getElementById('download').disabled")
    press(page, "c")
    click(page, "[data-view=pool-unsure]")
    click(page, f".card[data-index='{first}']")
    choose(page, "correction", 1)
    assert "Download 2 labels (CSV)" in page.run("return document.getElementById('download').textContent")
    click(page, "#download")
    path = tmp_path / "labels.csv"
    WebDriverWait(page.driver, 30).until(lambda _: path.exists())
    ids = pa.array(['pool "0", <i>', 'pool "1", <i>'])
    labels = np.array([UNLABELLED, UNLABELLED])
    table = read_label_table(path, sha256="any", labels=labels, ids=ids, class_names=CLASS_NAMES)
    assert table.apply(labels).tolist() == [1, 2]


def test_two_thousand_galaxies_are_less_than_25_mb_and_open_quickly(browser: Browser, tmp_path: Path) -> None:
    """As many characters of pictures as there may be: of 2,000 test galaxies, and of 6,000 that are mere neighbours."""
    num_shown, num_galaxies, generator = 2000, 8000, np.random.default_rng(0)
    pictures = {
        True: fill_picture(_MAX_CHARS_SHOWN // num_shown),
        False: fill_picture(_MAX_CHARS_NEIGHBOURS // (num_galaxies - num_shown)),
    }
    galaxies = [
        {
            "row": row,
            "id": f"galaxy-{row:06d}",
            "label": row % 10,
            "split": "test" if row < num_shown else "train",
            **dict(zip(("ra", "dec", "redshift"), generator.random(3).tolist(), strict=True)),
            **({"neighbours": generator.integers(num_galaxies, size=8).tolist()} if row < num_shown else {}),
            "thumbnail": pictures[row < num_shown],
        }
        for row in range(num_galaxies)
    ]
    exhibits = {"classes": [f"class {number}" for number in range(10)], "facts": {}, "galaxies": galaxies}
    page = tmp_path / "report.html"
    write_gallery(page, exhibits, generator.dirichlet(np.ones(10), num_shown).round(6).tolist(), {"pool": 0, "galaxies": []})
    assert 20e6 < page.stat().st_size < 25e6
    start = time.monotonic()
    browser.open(page)
    assert browser.wait("return document.querySelector('.card img')?.naturalWidth") == 8
    # 1.6 s on two busy cores (benchmarks/gallery.py).
    assert time.monotonic() - start < 10
    assert summary(browser) == "2,000 galaxies"
    assert browser.complaints() == []


def fill_picture(num_chars: int) -> str:
    """Return a picture of 8 px with so many characters: what stands behind a WebP's end is ignored."""
    picture = base64.b64decode(encode_thumbnail(toy_images(1, size=8)[0], 8))
    return base64.b64encode(picture.ljust(num_chars * 3 // 4, b"\0")).decode("ascii")


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (420, "dark"), (420, "light")])
def test_nothing_overflows_on_a_telephone_or_by_day(page: Browser, width: int, scheme: str) -> None:
    driver = page.driver
    try:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        driver.refresh()
        click(page, ".card")
        assert page.run("return document.documentElement.scrollWidth") <= width
        box = page.run("const b = document.getElementById('detail').getBoundingClientRect(); return [b.left, b.right]")
        assert box[0] >= 0
        assert box[1] <= width
        style = "const style = getComputedStyle(document.body); const colours = [style.color, style.backgroundColor];"
        ink, paper = page.run(f"{style} return colours.map((colour) => colour.match(/[0-9]+/g).map(Number))")
        assert (sum(ink) > sum(paper)) == (scheme == "dark")
        assert abs(sum(ink) - sum(paper)) > 500
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
