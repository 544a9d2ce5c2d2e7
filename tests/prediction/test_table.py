"""The columns of a result: a row an input, in order, whatever is unknown of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from galaxies.prediction.predictions import Predictions
from galaxies.prediction.table import COLUMNS, make_schema, tabulate_answers, tabulate_inputs, tabulate_rows
from galaxies.sources.decoding import Decoded
from galaxies.sources.inputs import Input

NAMES = ("round", "=spiral")
IMAGE: NDArray[np.uint8] = np.zeros((1, 1, 3), np.uint8)


def predictions(*first: float, novelty: float = 1.0) -> Predictions:
    """Return predictions with these probabilities of the first class."""
    probabilities = np.stack([np.array(first), 1 - np.array(first)], axis=1)
    return Predictions(NAMES, probabilities, probabilities > 0.2, np.full(len(first), novelty), 2.0, 0.7)


def rows(decoded: list[Decoded], said: Predictions, *, are_repeated: bool = False) -> list[dict[str, Any]]:
    galaxies, is_repeated = tabulate_inputs(decoded), np.full(len(decoded), are_repeated)
    galaxies.validate(full=True)
    table = tabulate_rows(galaxies, is_repeated, tabulate_answers(said), make_schema(said.class_names, {}))
    table.validate(full=True)
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def test_what_is_known_of_an_input_stands_in_its_row() -> None:
    entry = Input("NGC 1", (Path("a/g.fits"), Path("a/r.fits")), None, 10.5, -3.0, 0.262, "round")
    (row,) = rows([Decoded(entry, IMAGE, ("cropped",))], predictions(0.75), are_repeated=True)
    assert row == {
        "id": "NGC 1",
        "path": "a/g.fits",
        "ra": 10.5,
        "dec": -3.0,
        "pxscale": 0.262,
        "label": "round",
        "predicted": "round",
        "p round": 0.75,
        "p =spiral": 0.25,
        "confidence": 0.75,
        "margin": 0.5,
        "conformal_set": ["round", "=spiral"],
        "abstain": False,
        "novelty": 1.0,
        "is_novel": False,
        "notes": "cropped; another input has the same id",
        "error": None,
    }
    assert list(row) == [name for column in COLUMNS for name in (["p round", "p =spiral"] if column[:2] == "p " else [column])]


def test_a_broken_input_has_a_row_in_its_place_without_an_answer() -> None:
    broken = Decoded(Input("b", ()), None, error="the file is empty")
    good = [Decoded(Input(name, ()), IMAGE) for name in "ac"]
    found = rows([good[0], broken, good[1]], predictions(0.9, 0.1))
    assert [row["predicted"] for row in found] == ["round", None, "=spiral"]
    assert [row["conformal_set"] for row in found] == [["round"], None, ["=spiral"]]
    assert [row["abstain"] for row in found] == [False, True, False]
    assert [row["is_novel"] for row in found] == [False, None, False]
    assert found[1]["error"] == "the file is empty"
    assert [(row["path"], row["ra"], row["label"], row["notes"]) for row in found] == [("", None, None, None)] * 3
    (alone,) = rows([broken], predictions())
    assert {name for name, value in alone.items() if value is not None} == {"id", "path", "abstain", "error"}
    assert rows([], predictions()) == []


def test_a_head_that_knows_no_novelty_says_nothing_of_it() -> None:
    (row,) = rows([Decoded(Input("a", ()), IMAGE)], predictions(0.9, novelty=np.nan))
    assert (row["novelty"], row["is_novel"], row["abstain"]) == (None, None, False)


def test_an_empty_set_is_not_an_unknown_one() -> None:
    said = predictions(0.9)
    (row,) = rows([Decoded(Input("a", ()), IMAGE)], replace(said, sets=np.zeros((1, 2), bool)))
    assert row["conformal_set"] == []


def test_whatever_the_head_says_of_doubtful_pixels_it_abstains() -> None:
    decoded = [Decoded(Input(name, ()), IMAGE, ("?",), ("?",) if name == "b" else ()) for name in "ab"]
    found = rows(decoded, predictions(0.99, 0.99))
    assert [row["abstain"] for row in found] == [False, True]
    assert [row["predicted"] for row in found] == ["round", "round"]


@pytest.mark.parametrize(("name", "text"), [(b"NGC\xe9", "NGCé"), (b"\xc3\xa9", "é"), (b"a\xffb", "aÿb")])
def test_a_name_of_any_bytes_is_text(name: bytes, text: str) -> None:
    entry = Input(name.decode("utf-8", "surrogateescape"), (), label=None)
    found = rows([Decoded(entry, None, error="x"), Decoded(Input("plain", ()), None, error="x")], predictions())
    assert [row["id"] for row in found] == [text, "plain"]
    assert [row["label"] for row in found] == [None, None]
