"""Files of earlier runs are found by Git revision, by DVC experiment, and in the workspace."""

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from galaxies.__main__ import main
from galaxies.errors import InputError
from galaxies.repository.revisions import read_predictions
from tests.evaluation.test_comparison import NAMES, predictions, table


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Make a Git repository with predictions at HEAD~1, at HEAD, and in an experiment."""

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        subprocess.run(("git", *identity, *arguments), cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    for number, accuracy in enumerate((0.5, 0.9, 0.7)):
        write(tmp_path, table(accuracy))
        git("add", "-A")
        git("commit", "-q", "-m", str(number))
    # As DVC keeps an experiment: a commit under a reference of its own.
    git("update-ref", f"refs/exps/ab/{'c' * 38}/wild-hare", "HEAD")
    git("reset", "-q", "--hard", "HEAD~1")
    return tmp_path


def write(folder: Path, content: pd.DataFrame) -> None:
    (folder / "metrics").mkdir(exist_ok=True)
    content.to_csv(folder / "metrics" / "predictions.csv", index=False)


@pytest.mark.parametrize(("revision", "accuracy"), [("HEAD~1", 0.5), ("main", 0.9), ("wild-hare", 0.7), ("workspace", 0.2)])
def test_predictions_are_read_at_a_revision_an_experiment_or_here(repository: Path, revision: str, accuracy: float) -> None:
    write(repository, table(0.2))
    read = read_predictions(repository, revision)
    np.testing.assert_array_equal(read.probabilities, predictions(accuracy).probabilities)
    assert read.galaxies["id"].iloc[7] == "007"
    assert read.class_names == NAMES


def test_what_is_not_there_is_said(repository: Path) -> None:
    with pytest.raises(InputError, match=r"no single revision or experiment tame-hare .*`dvc exp list` lists those"):
        read_predictions(repository, "tame-hare")
    subprocess.run(("git", "update-ref", f"refs/exps/de/{'f' * 38}/wild-hare", "HEAD"), cwd=repository, check=True)
    with pytest.raises(InputError, match=r"wild-hare .*2 experiments have that name: name the commit"):
        read_predictions(repository, "wild-hare")
    (repository / "docs").mkdir()
    with pytest.raises(InputError, match=rf"There is no metrics/predictions\.csv in {repository / 'docs'} at HEAD; commit it"):
        read_predictions(repository / "docs", "HEAD")
    subprocess.run(("git", "rm", "-q", "--cached", "metrics/predictions.csv"), cwd=repository, check=True)
    (repository / "metrics" / "predictions.csv").unlink()
    with pytest.raises(InputError, match=rf"There is no {repository}/metrics/predictions\.csv; `dvc repro` makes it"):
        read_predictions(repository, "workspace")


def test_the_command_prints_a_table(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository)
    assert main(["compare", "HEAD~1", "wild-hare"]) == 0
    lines = capsys.readouterr().out.splitlines()
    accuracy = next(line for line in lines if line.startswith("accuracy"))
    assert accuracy.split()[3].startswith("+")
    assert [line.split()[0:2] for line in lines if line.startswith("f1")] == [["f1", "round"], ["f1", "spiral"]]
    assert main(["compare", "HEAD~1", "tame-hare"]) == 1
