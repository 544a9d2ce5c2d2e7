"""What a head is to learn is read by the parameters, and trains on the rows of which it is known."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from galaxies.backbones.spec import ExtractParams
from galaxies.data.field_of_view import FieldOfView, write_field
from galaxies.data.splits import UNLABELLED, write_splits
from galaxies.data.target_file import write_targets
from galaxies.data.targets import Numbers, Tags, Votes
from galaxies.errors import InputError
from galaxies.features.identity import Identity
from galaxies.features.store import Layout, create_store
from galaxies.heads.known_targets import find_known, read_targets
from stages import train
from tests.pipelines import REPOSITORY
from tests.toys import EXTRACT, toy_catalog, toy_images, toy_splits, write_toy_catalog
from tests.training import make_params

NUM_GALAXIES = 60
FEATURES = np.random.default_rng(0).normal(size=(NUM_GALAXIES, 1, 8))
NAN = float("nan")
TREE = """
columns: [{kind: counts, answer: "{question}_{answer}"}]
questions:
  - {name: shape, answers: [smooth, disk]}
  - {name: bar, answers: ["yes", "no"], after: shape, answered: [disk]}
"""
VOTES: dict[str, Any] = {"target": "votes", "questions": "tree.yaml", "questions_sha256": "any"}
NUMBER: dict[str, Any] = {"target": "number", "columns": ["size"], "scales": ["log10"], "units": ["arcsec"]}
TAGS: dict[str, Any] = {"target": "tags", "columns": ["ring"]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a repository with targets and a store, whose galaxies have a class by halves."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    images = toy_images(NUM_GALAXIES)
    write_field(Path("data/field_of_view.json"), FieldOfView(32, None, None, None))
    write_toy_catalog(Path("data/catalog.parquet"), images)
    rows = np.arange(NUM_GALAXIES)
    label = np.where(rows < 30, rows % 2, UNLABELLED)
    write_splits(Path("data/splits.parquet"), toy_splits(label, np.tile(["train", "train", "train", "val", "test"], 12)))
    signal = FEATURES[:, 0, 0]
    disk = np.clip(np.rint(10 + 5 * signal), 0, 20)
    columns = {
        "shape_smooth": 20 - disk,
        "shape_disk": disk,
        "bar_yes": np.rint(disk / 4),
        "bar_no": disk - np.rint(disk / 4),
        "size": 10 ** (signal / 4),
        "ring": (signal > 0).astype(float),
    }
    values = np.array(list(columns.values())).T
    values[45:] = NAN
    write_targets(Path("data/targets.parquet"), tuple(columns), values, {})
    Path("tree.yaml").write_text(TREE)
    identity = Identity.expected(ExtractParams(**EXTRACT), "layer2", toy_catalog(images).digest)
    store = create_store(
        Path("features/layer2.zarr"),
        num_rows=NUM_GALAXIES,
        layout=Layout((1, 8), "float32", compressed=False),
        identity=identity,
    )
    store[:] = FEATURES
    return tmp_path


def run(**changes: Any) -> dict[str, Any]:
    """Train, and return what is told of it."""
    defaults = YAML(typ="safe").load((REPOSITORY / "params.yaml").read_text())["train"]
    sections = {
        "extract": {name: list(value) if isinstance(value, tuple) else value for name, value in EXTRACT.items()},
        "train": {**defaults, "layer": "layer2", "num_epochs": 3, "batch_size": 32, **changes},
        "runtime": {"device": "cpu", "batch_size": 8, "num_workers": 0},
    }
    with Path("params.yaml").open("w") as file:
        YAML().dump(sections, file)
    train.main()
    report: dict[str, Any] = json.loads(Path("metrics/train.json").read_text())
    return report


def test_what_is_learned_is_read_by_the_parameters(folder: Path) -> None:
    catalog = toy_catalog(toy_images(NUM_GALAXIES))
    read = {
        kind: read_targets(make_params(**values), catalog, folder=folder, user_folder=folder)
        for kind, values in {
            "class": {},
            "votes": VOTES,
            "some": {**VOTES, "columns": ["shape"]},
            "n": NUMBER,
            "tags": TAGS,
        }.items()
    }
    assert read["class"] is None
    votes, some, numbers, tags = (read[name] for name in ("votes", "some", "n", "tags"))
    assert isinstance(votes, Votes)
    assert isinstance(some, Votes)
    assert isinstance(numbers, Numbers)
    assert isinstance(tags, Tags)
    assert votes.names == ("shape_smooth", "shape_disk", "bar_yes", "bar_no")
    assert some.counts.tolist() == votes.counts[:, :2].tolist()
    assert (numbers.scales, numbers.units) == (("log10",), ("arcsec",))
    for targets in (votes, numbers, tags):
        assert targets.known.tolist() == [True] * 45 + [False] * 15


@pytest.mark.parametrize("values", [VOTES, NUMBER, TAGS], ids=["votes", "number", "tags"])
def test_training_uses_the_rows_that_are_known_and_says_how_many(
    folder: Path, caplog: pytest.LogCaptureFixture, values: dict[str, Any]
) -> None:
    caplog.set_level(logging.INFO)
    report = run(**values)
    # Of 60 rows 45 are known; three in five of them train, one in five validates.
    assert (report["num_train"], report["num_val"]) == (27, 9)
    assert "train: the targets of 27 of 36 train rows and 9 of 12 val rows are known." in caplog.text


def test_a_class_is_learned_from_the_galaxies_that_have_one(folder: Path) -> None:
    assert (run()["num_train"], run()["num_val"]) == (18, 6)


def test_nothing_known_to_learn_from_is_refused(folder: Path) -> None:
    catalog = toy_catalog(toy_images(NUM_GALAXIES))
    targets = read_targets(make_params(**TAGS), catalog, folder=folder, user_folder=folder)
    assert targets is not None
    splits = toy_splits(np.zeros(NUM_GALAXIES, int), ["train"] * 45 + ["val"] * 15)
    with pytest.raises(
        InputError,
        match=r"of 45 of 45 train rows and 0 of 15 val rows something is known in ring; both need some\. Name columns that",
    ):
        find_known(targets, splits)


def test_a_tree_that_is_not_there_and_columns_that_are_not_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"train\.questions: found 'oak', which is no file, and not one of gz2, "):
        run(target="votes", questions="oak")
    with pytest.raises(InputError, match=r"(?s)train\.columns: .*  mass: there is none\nThere are shape_smooth, "):
        run(**{**NUMBER, "columns": ["mass"]})
    with pytest.raises(InputError, match=r"train\.columns: bar comes after shape; name that too"):
        run(**VOTES, columns=["bar"])
    with pytest.raises(InputError, match=r"tree has no question 'ring'; its questions are shape, bar"):
        run(**VOTES, columns=["ring"])
