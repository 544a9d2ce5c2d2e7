"""Two revisions are compared galaxy by galaxy, from Git alone, and not at all when their galaxies differ."""

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from galaxies.__main__ import main
from galaxies.errors import InputError
from galaxies.evaluation.comparison import Predictions, compare_predictions, format_comparison, read_predictions
from galaxies.evaluation.scores import tabulate_predictions

NAMES = ("round", "spiral")


def predict(accuracy: float, *, num_galaxies: int = 200, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the same classes, (B,), and probabilities, (B, 2), for other galaxies right with other seeds."""
    targets = np.arange(num_galaxies) % 2
    right = np.random.default_rng(seed).random(num_galaxies) < accuracy
    return targets, np.where((np.arange(2) == targets[:, None]) == right[:, None], 0.7, 0.3)


def table(accuracy: float, seed: int = 0) -> pd.DataFrame:
    targets, probabilities = predict(accuracy, seed=seed)
    number = np.arange(len(targets))
    digests = [f"{index:016x}" for index in number]
    galaxies = pd.DataFrame({"row": number, "id": [f"{i:03}" for i in number], "image_sha256": digests, "group": number // 2})
    return tabulate_predictions(galaxies, targets, probabilities, NAMES)


def predictions(accuracy: float, seed: int = 0, revision: str = "A") -> Predictions:
    full = table(accuracy, seed)
    return Predictions(
        revision, full[["id", "image_sha256", "group", "label"]], NAMES, full[["p round", "p spiral"]].to_numpy()
    )


def row(table: pd.DataFrame, metric: str) -> dict[str, float]:
    """Return the numbers of a metric of all classes."""
    numbers = table[table["metric"] == metric].drop(columns=["metric", "class_name"]).iloc[0]
    return {str(name): float(value) for name, value in numbers.items()}


def test_a_better_revision_is_better_and_more_than_by_chance() -> None:
    result = compare_predictions(predictions(0.6, seed=1), predictions(0.8, seed=2))
    accuracy = row(result, "accuracy")
    assert accuracy["difference"] == pytest.approx(accuracy["second"] - accuracy["first"])
    assert accuracy["low"] < accuracy["difference"] < accuracy["high"]
    assert accuracy["low"] > 0
    assert accuracy["probability"] > 0.99
    # A lower loss is a better one.
    loss = row(result, "nll")
    assert loss["difference"] < 0
    assert loss["probability"] > 0.99
    assert result["class_name"].tolist() == ["", "", "", "", *NAMES]


def test_a_revision_against_itself_is_no_better_and_no_worse() -> None:
    result = compare_predictions(predictions(0.7), predictions(0.7))
    assert (result[["difference", "low", "high"]] == 0).all(axis=None)
    assert (result["probability"] == 0.5).all()


def test_pairing_makes_small_differences_visible() -> None:
    """Ten galaxies more out of 200, otherwise the same: apart, the intervals of the two accuracies overlap widely."""
    first = predictions(0.7)
    wrong = np.flatnonzero(first.probabilities.argmax(axis=1) != np.arange(200) % 2)[:10]
    better = first.probabilities.copy()
    better[wrong] = better[wrong][:, ::-1]
    accuracy = row(compare_predictions(first, replace(first, probabilities=better)), "accuracy")
    assert accuracy["difference"] == pytest.approx(0.05)
    assert 0.01 < accuracy["low"] < accuracy["high"] < 0.09


def test_nothing_is_certain_in_print() -> None:
    result = compare_predictions(predictions(0.6, seed=1), predictions(0.8, seed=2))
    row = result.iloc[[0]]
    printed = {share: format_comparison(row.assign(probability=share), "A", "B").splitlines()[1] for share in (1, 0.9, 0.5, 0)}
    assert [line.rpartition("  ")[2] for line in printed.values()] == ["> 99%", "90%", "50%", "< 1%"]


def test_rows_and_classes_in_another_order_are_matched_by_name() -> None:
    first, second = predictions(0.6, seed=1), predictions(0.8, seed=2)
    order = np.random.default_rng(0).permutation(200)
    shuffled = Predictions(
        "A", first.galaxies.iloc[order].reset_index(drop=True), NAMES[::-1], first.probabilities[order][:, ::-1]
    )
    pd.testing.assert_frame_equal(compare_predictions(shuffled, second), compare_predictions(first, second))


def test_a_galaxy_that_stands_there_twice_is_compared_twice() -> None:
    """`split.conflicts: keep` keeps the same galaxy with two labels."""
    first, second = predictions(0.6, seed=1), predictions(0.8, seed=2)
    doubled = []
    for one in (first, second):
        galaxies = one.galaxies.copy()
        galaxies.loc[3, ["id", "image_sha256"]] = galaxies.loc[2, ["id", "image_sha256"]]
        doubled.append(replace(one, galaxies=galaxies))
    pd.testing.assert_frame_equal(compare_predictions(*doubled), compare_predictions(first, second))


def test_other_test_galaxies_are_refused() -> None:
    first, second = predictions(0.6), predictions(0.8, revision="B")
    galaxies = second.galaxies.copy()
    galaxies.loc[3, "image_sha256"] = "another"
    with pytest.raises(InputError, match=r"A and B were tested on different galaxies: 1 only there, 1 only here, 199 in both"):
        compare_predictions(first, replace(second, galaxies=galaxies))


def test_other_labels_are_refused() -> None:
    first, second = predictions(0.6), predictions(0.8, revision="B")
    galaxies = second.galaxies.copy()
    galaxies.loc[3, "label"] = "round"
    with pytest.raises(InputError, match=r"1 test galaxies have another label in A than in B \(first: 003, spiral and round\)"):
        compare_predictions(first, replace(second, galaxies=galaxies))


def test_other_classes_are_refused() -> None:
    with pytest.raises(InputError, match=r"A knows the classes round, spiral, B knows round, bar; only heads"):
        compare_predictions(predictions(0.6), replace(predictions(0.6, revision="B"), class_names=("round", "bar")))


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
    subprocess.run(("git", "rm", "-q", "--cached", "metrics/predictions.csv"), cwd=repository, check=True)
    (repository / "metrics" / "predictions.csv").unlink()
    with pytest.raises(InputError, match=r"There is no .*metrics/predictions\.csv; `dvc repro` makes it"):
        read_predictions(repository, "workspace")


def test_predictions_of_an_older_form_are_refused(repository: Path) -> None:
    write(repository, table(0.5).drop(columns=["group"]))
    with pytest.raises(InputError, match=r"predictions\.csv at workspace lacks the columns group; `dvc repro evaluate`"):
        read_predictions(repository, "workspace")
    damaged = table(0.5).astype({"p round": object})
    damaged.loc[3, "p round"] = np.nan
    write(repository, damaged)
    with pytest.raises(InputError, match="at workspace: the probabilities of galaxy 003 are not all numbers"):
        read_predictions(repository, "workspace")
    write(repository, table(0.5).iloc[:0])
    with pytest.raises(InputError, match="at workspace has no galaxies"):
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
