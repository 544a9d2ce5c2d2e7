"""The columns of what a head says that tells votes, numbers or tags."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from galaxies.heads.head import Head, TrainedHead
from galaxies.heads.meanings import Meaning
from galaxies.heads.number_meaning import NumberMeaning, Standard
from galaxies.heads.tag_meaning import TagMeaning
from galaxies.heads.vote_meaning import VoteMeaning
from galaxies.prediction.answers import AskedHead
from galaxies.prediction.table import SCHEMA_VERSION, tabulate_inputs, tabulate_rows
from galaxies.prediction.told import tabulate_told_answers, tell_features
from galaxies.sources.decoding import Decoded
from galaxies.sources.inputs import Input
from tests.heads.test_head import trained_head
from tests.heads.test_meanings import TREE
from tests.prediction.test_table import IMAGE

VOTES = VoteMeaning(TREE, "dirichlet_multinomial", 40.0, (1.0, 1.0), (1.0, 1.0))
STANDARD = Standard(("z", "size"), ("", "kpc"), ("linear", "log10"), (0.1, 1.0), (0.05, 0.5))
NUMBERS = NumberMeaning(STANDARD, "gaussian", (1.6, 1.7))
TAGS = TagMeaning(("ring", "bar"), (1.0, 0.5), (0.0, -1.0))
FEATURES = torch.rand(3, 5, generator=torch.Generator().manual_seed(0))


def head_of(meaning: Meaning) -> TrainedHead:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return replace(trained_head(), head=Head(5, meaning.num_outputs).eval(), meaning=meaning)


@pytest.mark.parametrize(
    ("meaning", "first", "number"),
    [
        (VOTES, ["expected smooth_yes", "median smooth_yes", "low smooth_yes", "high smooth_yes"], 4 * 5 + 2),
        (NUMBERS, ["value z", "low z", "high z"], 6),
        (TAGS, ["p ring", "p bar"], 2),
    ],
    ids=["votes", "numbers", "tags"],
)
def test_a_column_each_stands_between_what_is_known_and_what_to_think_of_it(
    meaning: Meaning, first: list[str], number: int
) -> None:
    asked = AskedHead(head_of(meaning), "digest")
    names = asked.schema.names
    assert names[:6] == ["id", "path", "ra", "dec", "pxscale", "label"]
    assert names[6 : 6 + len(first)] == first
    assert names[6 + number :] == ["abstain", "novelty", "is_novel", "notes", "error"]
    about = json.loads(asked.schema.metadata[b"galaxies"])
    assert (about["schema_version"], about["target"]) == (SCHEMA_VERSION, meaning.KIND)
    entries = [Decoded(Input(f"NGC {place}", ()), IMAGE) for place in range(3)]
    galaxies = tabulate_inputs(entries)
    table = tabulate_rows(galaxies, np.zeros(3, bool), asked.tabulate(FEATURES), asked.schema)
    table.validate(full=True)
    assert table.num_rows == 3
    assert all(field.metadata[b"description"] for field in table.schema)


def test_the_columns_hold_what_the_meaning_says() -> None:
    trained = head_of(VOTES)
    with torch.inference_mode():
        said = VOTES.predict(trained.head(FEATURES))
    columns = tell_features(trained, FEATURES).columns
    np.testing.assert_allclose(columns["expected bar_no"], said.expected[:, 4])
    np.testing.assert_allclose(columns["high smooth_star"], said.interval()[1][:, 2])
    np.testing.assert_allclose(columns["asked bar"], said.asked[:, 1])
    low, value, high = (tell_features(head_of(NUMBERS), FEATURES).columns[f"{kind} size"] for kind in ("low", "value", "high"))
    assert ((low < value) & (value < high)).all()


def test_an_interval_without_end_is_unknown_and_a_novel_galaxy_is_for_a_person() -> None:
    wide = replace(NUMBERS, stretches=(np.inf, 1.0))
    answers = tell_features(head_of(wide), 100 + FEATURES)
    columns = tabulate_told_answers(answers)
    assert columns["low z"].null_count == 3
    assert columns["abstain"].to_pylist() == [True] * 3
