"""The gallery's page as text: what is in it, what cannot break out of it, and the predictions it refuses."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from galaxies.errors import InputError
from galaxies.evaluation.predictions import read_probabilities, tabulate_predictions
from galaxies.gallery.page import fill_page
from tests.galleries import CLASS_NAMES, IDS, LABELS, NUM_GALAXIES, SUSPECTS, TEST, make_gallery, make_tables, predict


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the text of the toy gallery."""
    return make_gallery(tmp_path_factory.mktemp("gallery")).read_text(encoding="utf-8")


def block(page: str, name: str) -> str:
    found = re.findall(rf'<script[^>]* id="{name}">(.*?)</script>', page, re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def content(page: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(block(page, "content"))
    return parsed


def test_every_galaxy_is_described_with_what_is_known(page: str) -> None:
    galaxies = content(page)["galaxies"][:NUM_GALAXIES]
    assert [galaxy["row"] for galaxy in galaxies] == list(range(NUM_GALAXIES))
    assert [galaxy["id"] for galaxy in galaxies] == list(IDS)
    assert [galaxy["label"] for galaxy in galaxies] == LABELS.tolist()
    assert [galaxy["redshift"] for galaxy in galaxies] == [row / 1000 for row in range(NUM_GALAXIES)]
    assert [galaxy.get("ra") for galaxy in galaxies] == [row if row % 4 == 1 else None for row in range(NUM_GALAXIES)]
    assert [galaxy["row"] for galaxy in galaxies if "probabilities" in galaxy] == TEST.tolist()
    np.testing.assert_allclose(galaxies[5]["probabilities"], predict()[2])


def test_test_galaxies_and_suspects_have_their_neighbours(page: str) -> None:
    galaxies = content(page)["galaxies"][:NUM_GALAXIES]
    assert {galaxy["row"] for galaxy in galaxies if "neighbours" in galaxy} == {*TEST, *(suspect.row for suspect in SUSPECTS)}
    assert galaxies[51]["neighbours"] == [50, 52, 49, 53, 48, 54, 47, 55]
    suspected = {galaxy["row"]: galaxy["suspicion"]["rank"] for galaxy in galaxies if "suspicion" in galaxy}
    assert suspected == {suspect.row: rank for rank, suspect in enumerate(SUSPECTS)}


def test_the_pool_stands_behind_them_with_its_neighbours_where_these_are_on_the_page(page: str) -> None:
    found = content(page)
    assert found["numPool"] == 12345
    others = found["galaxies"][NUM_GALAXIES:]
    assert [galaxy["row"] for galaxy in others] == [199, 200, 201, 202, 203]
    assert [galaxy["label"] for galaxy in others[1:]] == [None] * 4
    assert {tuple(galaxy["neighbours"]) for galaxy in others[1:]} == {(7, NUM_GALAXIES)}


def test_the_thumbnails_are_cut_from_one_text(page: str) -> None:
    lengths = [galaxy["chars"] for galaxy in content(page)["galaxies"]]
    text = block(page, "thumbnails")
    assert sum(lengths) == len(text)
    ends = np.cumsum(lengths)
    thumbnails = [base64.b64decode(text[end - length : end], validate=True) for end, length in zip(ends, lengths, strict=True)]
    assert all(thumbnail[8:12] == b"WEBP" for thumbnail in thumbnails)


def test_names_and_ids_cannot_break_out_of_the_page(page: str) -> None:
    assert "window.broken" in page
    assert content(page)["classes"] == list(CLASS_NAMES)
    assert "<" not in block(page, "content")
    # The tags of the page itself, and no other: three scripts with their ends.
    assert page.count("<script") == page.count("</script>") == 3
    assert "onerror" not in page.replace(block(page, "content"), "")


def test_the_policy_allows_this_style_and_this_script_and_nothing_else(page: str) -> None:
    policy = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)[0]
    style = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)[0]
    script = re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL)[0]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    assert policy == (f"default-src 'none'; img-src data:; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'")


def test_the_only_address_is_that_of_the_viewer(page: str) -> None:
    assert set(re.findall(r"https?://[^/\"'`\s]*", page)) == {"https://www.legacysurvey.org"}


def test_no_number_that_json_lacks_is_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        fill_page({"galaxies": [float("nan")]}, "")


def write_predictions(path: Path) -> pd.DataFrame:
    table = tabulate_predictions(*make_tables(), predict())
    table.to_csv(path, index=False, lineterminator="\n")
    return table


def test_predictions_are_read_in_the_order_of_rows_and_classes(tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.csv")
    np.testing.assert_allclose(read_probabilities(tmp_path / "p.csv", TEST.tolist(), CLASS_NAMES), predict(), rtol=1e-3)


def test_predictions_for_other_galaxies_or_classes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    with pytest.raises(InputError, match=r"There is no file .*p\.csv; `dvc repro evaluate`"):
        read_probabilities(path, TEST.tolist(), CLASS_NAMES)
    table = write_predictions(path)
    table.iloc[1:].to_csv(path, index=False)
    with pytest.raises(InputError, match="74 rows that are not the 75 test rows"):
        read_probabilities(path, TEST.tolist(), CLASS_NAMES)
    table.drop(columns="p Ring").to_csv(path, index=False)
    with pytest.raises(InputError, match="lacks the classes Ring;"):
        read_probabilities(path, TEST.tolist(), CLASS_NAMES)
