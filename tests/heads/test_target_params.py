"""Parameters of what a head learns: what makes no sense together is refused in a sentence."""

from typing import Any

import pytest

from galaxies.errors import InputError
from galaxies.heads.target_params import plain_values
from galaxies.heads.train_params import TrainParams
from galaxies.params import parse_section


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"label_smoothing": 0.1, "class_weight": "balanced"},
        {"target": "votes", "questions": "gz2"},
        {"target": "votes", "questions": "my.yaml", "questions_sha256": "any", "columns": ["bar"], "vote_columns": "debiased"},
        {"target": "number", "columns": ["z"]},
        {
            "target": "number",
            "columns": ["mass", "z"],
            "scales": ["log10", "linear"],
            "units": ["Msun", ""],
            "error_columns": ["e", ""],
        },
        {"target": "tags", "columns": ["ring", "lens"], "class_weight": "balanced", "label_smoothing": 0.1},
    ],
)
def test_these_make_sense(values: dict[str, Any]) -> None:
    parse_section(TrainParams, values, "train")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"columns": ["z"]}, r"columns: found \[z\], but target is class; it is for target: votes | number | tags"),
        ({"questions": "gz2"}, "questions: found gz2, but target is class; it is for target: votes"),
        ({"target": "votes"}, "questions: found null, but target: votes needs a tree of questions; `galaxies questions` lists"),
        ({"target": "number"}, r"columns: found \[\], but target: number needs columns of split\.targets, as in \[redshift\]"),
        ({"target": "tags"}, r"columns: found \[\], but target: tags needs columns"),
        (
            {"target": "tags", "columns": ["a"], "vote_columns": "counts"},
            "vote_columns: found counts, but target is tags; it is for target: votes",
        ),
        ({"target": "tags", "columns": ["a"], "units": ["kpc"]}, r"units: found \[kpc\], but target is tags"),
        (
            {"target": "number", "columns": ["a", "b"], "scales": ["log10"]},
            r"scales: found 1, but 2 columns; write one for each",
        ),
        ({"target": "number", "columns": ["a"], "error_columns": ["x", "y"]}, "error_columns: found 2, but 1 columns"),
        (
            {"target": "number", "columns": ["a"], "scales": ["ln"]},
            r"scales: found \['ln'\], allowed is a list of linear | log10",
        ),
        ({"target": "number", "columns": ["a", "a"]}, "columns: a stand there more than once"),
        ({"target": "number", "columns": ["z", "m", "Z"]}, "columns: z, Z stand there more than once; capital letters are no"),
        ({"target": "tags", "columns": ["Ring", "ring"]}, "columns: Ring, ring stand there more than once"),
        (
            {"target": "number", "columns": ["a"], "class_weight": "balanced"},
            "class_weight: found balanced, but target is number; it is for target: class | tags",
        ),
        (
            {"target": "votes", "questions": "gz2", "sweep": {"label_smoothing": [0.0, 0.1]}},
            "label_smoothing: found 0.1, but target is votes; it is for target: class | tags",
        ),
    ],
)
def test_these_do_not(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("|", r"\|")):
        parse_section(TrainParams, values, "train")


def test_what_is_not_for_a_target_is_taken_back_to_the_default() -> None:
    """A section without any word on targets is one for classes."""
    values = {name: value for name, value in plain_values("class").items() if "." not in name}
    assert parse_section(TrainParams, values, "train") == TrainParams()
    assert {"vote_loss", "number_loss"} <= set(values)
    assert not {"class_weight", "label_smoothing"} & set(values)
