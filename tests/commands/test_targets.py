"""`galaxies targets`, `questions` and `simulate`: what they say, what they write, and that the pipeline then takes it."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from galaxies.__main__ import main
from galaxies.data.question_files import list_trees, open_tree, read_tree
from galaxies.data.selection import SplitParams
from galaxies.files import file_sha256
from galaxies.heads.train_params import TrainParams
from stages import read_params
from tests.pipelines import REPOSITORY
from tests.toys import toy_images, write_toy_galaxies


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with the committed params.yaml the present one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(list(arguments)) == code
    printed = capsys.readouterr()
    return printed.err if code else printed.out


def write_table(path: Path, **columns: list[object]) -> None:
    pd.DataFrame(columns).to_csv(path, index=False)


def test_the_votes_of_a_built_in_tree_are_recognised(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "simulate", "votes.csv", "--truth", "truth.csv")
    printed = run(capsys, "targets", "votes.csv")
    assert "votes.csv has 2999 rows." in printed
    assert "Galaxies: none are known yet; `dvc repro split` will say" in printed
    assert "Votes: the counts of simulated, 6 questions with 14 answers." in printed
    assert "Numbers: size (1.6 to 17), sersic_index" in printed
    assert "Zeros and ones: ring, tails, companion." in printed
    assert printed.endswith("The next command is `dvc repro`.\n")
    split, train = read_params("split", SplitParams), read_params("train", TrainParams)
    assert (split.targets, split.targets_sha256) == ("votes.csv", file_sha256(Path("votes.csv")))
    assert (train.target, train.questions, train.columns) == ("votes", "simulated", ())
    assert "params.yaml says so already." in run(capsys, "targets", "votes.csv")
    # Another target takes back what was of this one.
    run(capsys, "targets", "votes.csv", "--number", "size", "inclination")
    train = read_params("train", TrainParams)
    assert (train.target, train.questions, train.columns) == ("number", None, ("size", "inclination"))
    run(capsys, "targets", "votes.csv", "--tags", "ring")
    train = read_params("train", TrainParams)
    assert (train.target, train.columns) == ("tags", ("ring",))


OLD: dict[str, dict[str, str | float | list[str]]] = {
    "class": {"class_weight": "balanced", "label_smoothing": 0.1, "sweep.label_smoothing": ["0.0", "0.2"]},
    "votes": {
        "target": "votes",
        "columns": ["bar"],
        "questions": "mine.yaml",
        "questions_sha256": "any",
        "vote_columns": "counts",
        "vote_loss": "cross_entropy",
    },
    "number": {
        "target": "number",
        "columns": ["z", "m"],
        "scales": ["log10", "linear"],
        "units": ["", "kg"],
        "error_columns": ["e", ""],
        "number_loss": "quantiles",
    },
    "tags": {
        "target": "tags",
        "columns": ["lens"],
        "class_weight": "balanced",
        "label_smoothing": 0.1,
        "sweep.label_smoothing": ["0.0", "0.2"],
    },
}
NEW = {"votes": (), "number": ("--number", "size"), "tags": ("--tags", "ring")}


@pytest.mark.parametrize("new", NEW)
@pytest.mark.parametrize("old", OLD)
def test_nothing_of_another_target_stays(folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str) -> None:
    """A loss or a class weight of the target before once made a file that the next command refused."""
    params = YAML(typ="safe").load(Path("params.yaml").read_text())
    for name, value in OLD[old].items():
        section, _, key = name.rpartition(".")
        values = [float(text) for text in value] if section and isinstance(value, list) else value
        (params["train"][section] if section else params["train"])[key] = values
    with Path("params.yaml").open("w") as file:
        YAML().dump(params, file)
    before = read_params("train", TrainParams)
    votes: dict[str, list[object]] = {name: [3, 4] for name in open_tree("simulated").columns}
    write_table(Path("t.csv"), id=["a", "b"], size=[1.5, 2], ring=[0, 1], **votes)
    run(capsys, "targets", "t.csv", *NEW[new])
    train = read_params("train", TrainParams)
    assert train.target == new
    assert (train.scales, train.units, train.error_columns, train.vote_columns) == ((), (), (), "auto")
    # How the same target is learned stays.
    if old == new or (old, new) == ("class", "tags"):
        for name in ("vote_loss", "number_loss", "class_weight", "label_smoothing", "sweep"):
            assert getattr(train, name) == getattr(before, name)


def test_the_truth_is_of_the_same_galaxies(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = run(capsys, "simulate", "votes.csv", "--truth", "truth.csv")
    assert "votes.csv: votes, numbers and tags of 2999 galaxies" in printed
    votes, truth = pd.read_csv("votes.csv"), pd.read_csv("truth.csv")
    assert votes["id"].equals(truth["id"])
    assert list(truth)[1:] == list(votes)[1:15]
    assert truth.drop(columns="id").to_numpy().min() >= 0


def test_of_the_galaxies_that_are_there_it_says_how_many_have_a_row(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("data").mkdir()
    write_toy_galaxies(Path("data/galaxies.h5"), toy_images(6))
    write_table(Path("t.csv"), Name=["000000", "000004", "x"], z=[0.1, np.nan, 3], note=["a", "b", "c"])
    printed = run(capsys, "targets", "t.csv", "--id", "name")
    assert "Galaxies: of 1 of 6 something is known." in printed
    assert "Numbers: z (0.1 to 0.1)." in printed
    assert "No numbers: note." in printed
    assert "It has the votes of no built-in tree of questions, or not all of them. `--number COLUMN ...`" in printed
    assert "The next command" not in printed
    # What is to be learned stays as it is until somebody says it.
    assert read_params("split", SplitParams).targets_id == "name"
    assert read_params("train", TrainParams) == TrainParams()


def test_a_number_that_may_mean_unknown_is_pointed_at(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(Path("t.csv"), id=["a", "b", "c", "d"], z=[-99, 0.1, -99, 0.2], t=[-9, -3, 0, 5])
    printed = run(capsys, "targets", "t.csv")
    assert "z: 2 galaxies have -99; if it means unknown, make their cells empty first." in printed
    assert "t: " not in printed


def test_what_is_no_such_table_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("params.yaml").read_bytes()
    assert "There is no file none.csv." in run(capsys, "targets", "none.csv", code=1)
    write_table(Path("t.csv"), name=["a"], z=[1])
    assert "has no column 'id', by which galaxies are found; it has name, z. `--id COLUMN` names" in run(
        capsys, "targets", "t.csv", code=1
    )
    printed = run(capsys, "targets", "t.csv", "--id", "name", "--number", "mass", code=1)
    assert "  mass: there is none\nThere are z." in printed
    assert Path("params.yaml").read_bytes() == before


def test_the_trees_are_listed_and_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = run(capsys, "questions")
    assert [line.split()[0] for line in printed.splitlines()] == list(list_trees())
    assert "gz_decals    10 questions  34 answers  Galaxy Zoo DECaLS" in printed
    Path("mine.yaml").write_text(run(capsys, "questions", "gz2"))
    assert len(read_tree(Path("mine.yaml"))) == 11
    assert "There is no built-in tree of questions 'oak'; there are gz2, " in run(capsys, "questions", "oak", code=1)


def test_real_votes_are_those_of_galaxy_zoo_2(folder: Path, capsys: pytest.CaptureFixture[str], test_data: Path) -> None:
    printed = run(capsys, "targets", str(test_data / "real" / "votes" / "votes.csv"))
    assert "votes.csv has 500 rows." in printed
    assert "Votes: the debiased fractions of gz2, 11 questions with 37 answers." in printed
    assert "No numbers: gz2_class." in printed
