"""Suspected label errors: planted ones are found, honest labels are left alone, and the table is read back as labels."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from galaxies.data.label_table import read_label_table
from galaxies.evaluation.label_errors import Suspect, claim_classes, find_suspects, predict_held_out, tabulate_suspects
from tests.toys import open_rows, toy_rows, toy_splits

NAMES = ("Ring", 'a "b", c', "</script>")
IDS = ("007", "7", "a,b", 'say "hi"', "line\nbreak", "<b>")


def clouds(num_galaxies: int, *, distance: float, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return features (N, 6) of three classes that lie ``distance`` apart, and their targets."""
    generator = np.random.default_rng(seed)
    targets = np.arange(num_galaxies) % 3
    features = generator.normal(size=(num_galaxies, 6)) + distance / np.sqrt(2) * np.eye(3, 6)[targets]
    return features.astype(np.float32), targets


def suspected(features: NDArray[np.float32], targets: NDArray[np.int64], group: NDArray[np.int64]) -> list[Suspect]:
    probabilities = predict_held_out(features, targets, group, generator=np.random.default_rng(0))
    return find_suspects(features, targets, group, probabilities)


def test_most_planted_errors_are_found_and_nearly_nothing_else() -> None:
    """Not all: a class is claimed above its mean probability, and a part of any class lies below its mean."""
    features, true = clouds(600, distance=5.0)
    planted = np.arange(0, 600, 20)
    targets = true.copy()
    targets[planted] = (targets[planted] + 1) % 3
    found = suspected(features, targets, np.arange(600))
    rows = [suspect.row for suspect in found]
    assert len(set(rows) & set(planted)) >= 18
    assert len(set(rows) - set(planted)) <= 2
    assert all(suspect.suggested == true[suspect.row] for suspect in found if suspect.row in planted)
    margins = [suspect.margin for suspect in found]
    assert margins == sorted(margins, reverse=True)


def test_honest_labels_of_classes_apart_are_left_alone() -> None:
    features, targets = clouds(300, distance=12.0)
    assert suspected(features, targets, np.arange(300)) == []


def test_a_row_is_predicted_by_a_fit_that_saw_nothing_of_its_group() -> None:
    """Twins with one wrong label in common: had the fit seen the one, it would vouch for the other."""
    features, targets = clouds(60, distance=4.0)
    features = np.concatenate([features, np.eye(60, 60, dtype=np.float32) * 40], axis=1)  # Every row can be learnt by heart,
    features = np.concatenate([features, features[:30]])  # and half of them stand there twice.
    targets = np.concatenate([targets, targets[:30]])
    wrong = np.random.default_rng(1).integers(0, 3, 30)
    targets[:30] = targets[60:] = wrong
    whole = np.concatenate([np.arange(60), np.arange(30)])
    rows = np.arange(30)
    honest = predict_held_out(features, targets, whole, generator=np.random.default_rng(0))[rows, wrong].mean()
    leaking = predict_held_out(features, targets, np.arange(90), generator=np.random.default_rng(0))[rows, wrong].mean()
    assert honest < 0.45
    assert leaking > honest + 0.15


def test_the_probabilities_depend_on_the_seed_alone() -> None:
    features, targets = clouds(60, distance=1.0)
    runs = [predict_held_out(features, targets, np.arange(60), generator=np.random.default_rng(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
    np.testing.assert_allclose(runs[0].sum(axis=1), 1)


def test_a_class_of_one_group_cannot_be_judged_and_is_not_suspected() -> None:
    features, targets = clouds(90, distance=6.0)
    targets[:4] = 3
    group = np.arange(90)
    group[:4] = 0
    probabilities = predict_held_out(features, targets, group, generator=np.random.default_rng(0))
    assert np.isnan(probabilities[:4, 3]).all()
    assert np.isfinite(probabilities[4:, :3]).all()
    assert not {0, 1, 2, 3} & {suspect.row for suspect in find_suspects(features, targets, group, probabilities)}


def test_one_class_alone_raises_no_suspicion() -> None:
    features, _ = clouds(20, distance=1.0)
    assert suspected(features, np.zeros(20, np.int64), np.arange(20)) == []


def test_a_class_is_claimed_above_the_mean_of_its_own_galaxies() -> None:
    """Worked by hand: the thresholds are (0.9 + 0.5) / 2 = 0.7 and (0.6 + 0.2) / 2 = 0.4."""
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.4, 0.6], [0.8, 0.2]])
    assert claim_classes(np.array([0, 0, 1, 1]), probabilities).tolist() == [0, 1, 1, 0]
    assert claim_classes(np.array([0, 0]), np.array([[0.65, 0.35], [0.75, 0.25]])).tolist() == [-1, 0]


@pytest.mark.parametrize("num_suspects", [0, 6])
def test_the_table_is_read_back_as_labels(tmp_path: Path, num_suspects: int) -> None:
    present = np.zeros(6, np.int64)
    splits = toy_splits(np.arange(6) % 3, ["train"] * 6, names=NAMES)
    catalog = open_rows(toy_rows([bytes(32)] * 6, ids=IDS))
    suspects = [Suspect(row, (row + 1) % 3, 0.9, 0.1, 8, 10) for row in range(num_suspects)]
    path = tmp_path / "suspected_labels.csv"
    path.write_text(tabulate_suspects(suspects, catalog, splits).to_csv(index=False, lineterminator="\n"))
    table = read_label_table(path, sha256="any", labels=present, ids=pa.array(IDS), class_names=NAMES)
    assert table.apply(present).tolist() == ([1, 2, 0, 1, 2, 0] if num_suspects else [0] * 6)
