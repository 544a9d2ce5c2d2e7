"""The baselines: that they learn, choose on val rows, and leave the test rows for the end."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import StandardScaler

from galaxies.__main__ import main as command
from galaxies.errors import InputError
from galaxies.evaluation.baselines import measure_baselines
from stages import baselines
from tests.backbones.test_endings import folder, sections, write_store
from tests.training import TEST, TRAIN, VAL, separable

__all__ = ["folder"]
NAMES = ["majority", "neighbours", "ridge", "logistic_regression"]
ROWS = {"train": TRAIN, "val": VAL, "test": TEST}


def test_what_is_separable_is_learned_by_all_but_the_majority() -> None:
    features, targets = separable()
    found = measure_baselines(features, targets, **ROWS)
    assert list(found) == NAMES
    majority = np.bincount(targets[TRAIN]).argmax()
    assert found["majority"]["accuracy"] == round(float((targets[TEST] == majority).mean()), 4)
    assert found["majority"]["balanced_accuracy"] == round(1 / 3, 4)
    assert min(found[name]["accuracy"] for name in NAMES[1:]) > 0.95


def test_ridge_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(240, 5)).astype(np.float32)
    targets = (features[:, :3] + generator.normal(size=(240, 3))).argmax(1)
    found = measure_baselines(features, targets, **ROWS)["ridge"]
    scaled = StandardScaler().fit(features[TRAIN]).transform(features)
    model = RidgeClassifier(found["penalty"] * len(TRAIN)).fit(scaled[TRAIN], targets[TRAIN])
    assert found["accuracy"] == round(model.score(scaled[TEST], targets[TEST]), 4)


def test_the_validation_rows_choose_the_penalty() -> None:
    """Noise in all but one of many features: the train rows alone would take the smallest penalty."""
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 2, 240)
    features = generator.normal(size=(240, 110)).astype(np.float32)
    features[:, 0] += 2 * targets
    assert measure_baselines(features, targets, **ROWS)["ridge"]["penalty"] >= 0.1


def test_a_constant_feature_does_no_harm() -> None:
    features, targets = separable()
    features[:, 3] = 12345.678
    assert measure_baselines(features, targets, **ROWS)["ridge"]["accuracy"] > 0.95


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_without_rows_is_named(split: str) -> None:
    features, targets = separable()
    with pytest.raises(InputError, match=f"there are no {split} galaxies; change split"):
        measure_baselines(features, targets, **{**ROWS, split: np.arange(0)})


def test_one_class_is_refused() -> None:
    features, targets = separable()
    with pytest.raises(InputError, match="all train galaxies are of one class"):
        measure_baselines(features, 0 * targets, **ROWS)


@pytest.mark.parametrize(("layer", "pool"), [("layer4", "avg"), ("layer4", "map"), ("input", "map")])
def test_the_stage_takes_every_kind_of_store(
    folder: Path, layer: str, pool: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    extract, _ = sections(layer, pool, 8, ending="keep" if pool == "map" else "drop")
    write_store(extract)
    monkeypatch.setattr("sys.argv", ["baselines", layer])
    baselines.main()
    found = json.loads(Path("metrics/baselines.json").read_text())
    assert list(found) == NAMES
    # The class can be seen in what write_store writes.
    assert found["logistic_regression"]["accuracy"] == 1.0
    Path("metrics/test.json").write_text('{"accuracy": 0.5, "balanced_accuracy": 0.4, "macro_f1": 0.3}')
    Path("metrics/intervals.json").write_text("{}")
    assert command(["show"]) == 0
    printed = capsys.readouterr().out
    assert "accuracy  balanced_accuracy           macro_f1\n  this head " in printed
    assert "  logistic regression                                1.0                1.0" in printed
