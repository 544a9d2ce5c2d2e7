"""Two revisions are compared galaxy by galaxy, from Git alone, and not at all when their galaxies differ."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from galaxies.errors import InputError
from galaxies.evaluation.comparison import compare_predictions, format_comparison
from galaxies.evaluation.predictions import SavedPredictions, parse_predictions, tabulate_predictions
from tests.toys import open_rows, toy_rows, toy_splits

NAMES = ("round", "spiral")


def predict(accuracy: float, *, num_galaxies: int = 200, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the same classes, (B,), and probabilities, (B, 2), for other galaxies right with other seeds."""
    targets = np.arange(num_galaxies) % 2
    right = np.random.default_rng(seed).random(num_galaxies) < accuracy
    return targets, np.where((np.arange(2) == targets[:, None]) == right[:, None], 0.7, 0.3)


def table(accuracy: float, seed: int = 0) -> pd.DataFrame:
    targets, probabilities = predict(accuracy, seed=seed)
    number = np.arange(len(targets))
    catalog = open_rows(toy_rows([index.to_bytes(32, "little") for index in number.tolist()], ids=[f"{i:03}" for i in number]))
    splits = toy_splits(targets, ["test"] * len(targets), group=number // 2, names=NAMES)
    return tabulate_predictions(catalog, splits, probabilities)


def predictions(accuracy: float, seed: int = 0, revision: str = "A") -> SavedPredictions:
    full = table(accuracy, seed)
    return SavedPredictions(
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
    shuffled = SavedPredictions(
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


def test_predictions_of_another_form_are_refused() -> None:
    def parse(content: pd.DataFrame) -> SavedPredictions:
        return parse_predictions(content.to_csv(index=False), "wild-hare")

    with pytest.raises(InputError, match=r"predictions\.csv at wild-hare lacks the columns group; `dvc repro evaluate`"):
        parse(table(0.5).drop(columns=["group"]))
    damaged = table(0.5).astype({"p round": object})
    damaged.loc[3, "p round"] = np.nan
    with pytest.raises(InputError, match="at wild-hare: the probabilities of galaxy 003 are not all numbers"):
        parse(damaged)
    with pytest.raises(InputError, match="at wild-hare has no galaxies"):
        parse(table(0.5).iloc[:0])


VERSION_0_1 = """row,galaxy,id,image_sha256,group,label,predicted,p Disturbed,p Merging
11,12,000012,b13c3d0d72b9a9b6,0,Disturbed,Merging,0.45,0.55
24,25,007,1234567890123456,1,Merging,Merging,0.125,0.875
"""


def test_what_version_0_1_wrote_is_read() -> None:
    read = parse_predictions(VERSION_0_1, "2409b2a")
    assert read.class_names == ("Disturbed", "Merging")
    assert read.galaxies["id"].tolist() == ["000012", "007"]
    assert read.galaxies["image_sha256"].tolist()[1] == "1234567890123456"
    assert read.galaxies["group"].tolist() == [0, 1]
    np.testing.assert_array_equal(read.probabilities, [[0.45, 0.55], [0.125, 0.875]])
