"""The stages from train to report on votes, numbers and tags: each kind writes every out, and is measured as what it is."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from galaxies.data.catalog import Catalog
from galaxies.data.splits import read_splits, write_splits
from galaxies.data.target_file import write_targets
from galaxies.errors import InputError
from galaxies.evaluation.class_tables import empty_class_tables
from galaxies.features.store import Store
from galaxies.heads.head import load_head
from stages import audit, baselines, classify, evaluate, measure, report, train
from tests.test_train_evaluate import NUM_GALAXIES, folder, write_params, write_store, written_bytes
from tests.toys import toy_splits

__all__ = ["folder"]

TREE = """
columns: [{kind: counts, answer: "{question}_{answer}"}]
questions:
  - {name: smooth, answers: ["yes", "no"]}
  - {name: bar, answers: ["yes", "no"], after: smooth, answered: ["no"]}
"""
COLUMNS = ("smooth_yes", "smooth_no", "bar_yes", "bar_no", "size", "size_error", "ring", "merger")
KINDS: dict[str, dict[str, Any]] = {
    "votes": {"target": "votes", "questions": "tree.yaml", "questions_sha256": "any"},
    "fractions": {"target": "votes", "questions": "tree.yaml", "questions_sha256": "any", "vote_loss": "cross_entropy"},
    "number": {"target": "number", "columns": ["size"], "units": ["arcsec"], "error_columns": ["size_error"]},
    "quantiles": {"target": "number", "columns": ["size"], "scales": ["log10"], "number_loss": "quantiles"},
    "tags": {"target": "tags", "columns": ["ring", "merger"]},
}


def write_table(folder: Path) -> None:
    """Write votes, a number and tags that follow from the features; of every seventh galaxy nothing is known."""
    features = np.asarray(Store(Path("features/layer2.zarr")).activations[:], np.float64)[:, 0]
    generator = np.random.default_rng(1)

    def probability(place: int) -> NDArray[np.float64]:
        share: NDArray[np.float64] = 1 / (1 + np.exp(-1.5 * features[:, place]))
        return share

    people = generator.integers(10, 40, NUM_GALAXIES)
    smooth = generator.binomial(people, probability(3))
    bar = generator.binomial(people - smooth, probability(4))
    size = 10 ** (1 + 0.2 * features[:, 5] + 0.05 * generator.normal(size=NUM_GALAXIES))
    tags = [generator.random(NUM_GALAXIES) < probability(place) for place in (6, 7)]
    columns = [smooth, people - smooth, bar, people - smooth - bar, size, np.full(NUM_GALAXIES, 0.1), *tags]
    values = np.stack([np.asarray(column, np.float64) for column in columns], axis=1)
    values[::7] = np.nan
    write_targets(Path("data/targets.parquet"), COLUMNS, values, {})
    (folder / "tree.yaml").write_text(TREE)


def run_stages(monkeypatch: pytest.MonkeyPatch, *, gallery: bool = False) -> dict[str, Any]:
    """Run all stages after the extraction; return what is in metrics/test.json."""
    train.main()
    measure.main()
    monkeypatch.setattr("sys.argv", ["baselines", "layer2"])
    baselines.main()
    evaluate.main()
    if gallery:
        audit.main()
        report.main()
    found: dict[str, Any] = json.loads(Path("metrics/test.json").read_text())
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_target_writes_the_same_outs_and_beats_the_mean(
    kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_store(separation=0, views=8 if kind == "votes" else 1)
    write_table(folder)
    write_params(views=8 if kind == "votes" else 1, num_epochs=60, num_seeds=2, **KINDS[kind])
    metrics = run_stages(monkeypatch, gallery=kind == "votes")
    lines = json.loads(Path("metrics/baselines.json").read_text())
    assert set(lines) == {"train_mean", "train_median", "neighbours", "ridge"}
    if kind == "tags":
        assert metrics["average_precision"] > lines["train_mean"]["average_precision"] + 0.1
    else:
        assert metrics["rmse"] < 0.8 * lines["train_mean"]["rmse"]
        assert 0.78 < metrics["coverage"] <= 1
    written = set(written_bytes(folder)) - {"report.html", "suspected_labels.csv", "baselines.json"}
    assert written == {
        *("head.pt", "training.csv", "sweep.csv", "train.json", "test.json", "intervals.json", "calibration.json"),
        *("seeds.json", "views.json", "predictions.csv", "confusion.csv", "classes.csv", "reliability.csv", "galaxies.png"),
        *("threshold_curves.csv", "abstention.csv", "strata.csv", "target_scores.csv", "target_density.csv"),
        *("target_residuals.csv", "target_reliability.csv"),
    }
    for name in ("confusion", "classes", "abstention", "strata"):
        assert len(Path(f"metrics/{name}.csv").read_text().splitlines()) == 1
    known = json.loads(Path("metrics/train.json").read_text())
    assert (known["num_train"], known["num_val"]) == (123, 41)
    predictions = pd.read_csv("metrics/predictions.csv", dtype={"id": str})
    assert len(predictions) == metrics["num_galaxies"] == 41
    assert json.loads(Path("metrics/seeds.json").read_text())["num_seeds"] == 2
    trained = load_head(Path("models/head.pt"))
    assert KINDS[kind]["target"] == trained.meaning.KIND
    for name in trained.meaning.names:
        assert {f"true {name}", f"predicted {name}"} <= set(predictions)
    if kind == "votes":
        views = json.loads(Path("metrics/views.json").read_text())
        assert views["num_views"] == 8
        assert views["rmse"]["one_view"] == metrics["rmse"]
        assert Path("metrics/report.html").read_text().count("<article>") == 41


@pytest.mark.parametrize("kind", ["votes", "number", "tags"])
def test_the_pool_has_an_answer_of_each_kind(kind: str, folder: Path) -> None:
    write_table(folder)
    split = np.tile(["train", "pool", "train", "val", "test"], NUM_GALAXIES // 5)
    write_splits(Path("data/splits.parquet"), toy_splits(np.arange(NUM_GALAXIES) * 3 // NUM_GALAXIES, split))
    write_params(num_epochs=3, **KINDS[kind])
    train.main()
    classify.main()
    pool = pd.read_parquet("data/pool.parquet")
    assert len(pool) == NUM_GALAXIES // 5
    columns = {"votes": "expected smooth_yes", "number": "value size", "tags": "p ring"}
    assert np.isfinite(pool[columns[kind]]).all()
    assert pool[columns[kind]].nunique() > 40


def test_a_head_for_classes_leaves_the_tables_of_other_targets_empty(folder: Path) -> None:
    train.main()
    measure.main()
    evaluate.main()
    for name in ("target_scores", "target_density", "target_residuals", "target_reliability"):
        assert len(Path(f"metrics/{name}.csv").read_text().splitlines()) == 1
    headers = {name: Path(f"metrics/{name}.csv").read_text().splitlines()[0] for name in ("classes", "strata", "reliability")}
    empty = empty_class_tables()
    for name, header in headers.items():
        assert header == ",".join(empty[name].columns)


def test_a_head_for_something_else_is_refused(folder: Path) -> None:
    write_table(folder)
    write_params(num_epochs=1, **KINDS["tags"])
    train.main()
    write_params(num_epochs=1, **{**KINDS["tags"], "columns": ["ring"]})
    with pytest.raises(InputError, match=r"tells tags \(ring, merger\), params.yaml names ring"):
        evaluate.main()
    write_params(num_epochs=1)
    with pytest.raises(InputError, match="This head tells tags"):
        evaluate.main()


def test_a_target_that_no_train_galaxy_has_is_refused(folder: Path) -> None:
    write_table(folder)
    rows = read_splits(Path("data/splits.parquet"), Catalog(Path("data/catalog.parquet"))).rows("train")
    values = np.zeros((NUM_GALAXIES, 1))
    values[rows] = np.nan
    write_targets(Path("data/targets.parquet"), ("ring",), values, {})
    write_params(target="tags", columns=["ring"])
    with pytest.raises(InputError, match="0 of 144 train rows"):
        train.main()
