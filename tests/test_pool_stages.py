"""Galaxies without a label through the stages: they teach and measure nothing, and the head answers for them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr

from galaxies.data.catalog import Catalog
from galaxies.data.splits import SPLIT_NAMES, UNLABELLED, read_splits, write_splits
from galaxies.errors import InputError
from galaxies.evaluation.summary import format_summary
from stages import audit, baselines, classify, evaluate, measure, report, train
from tests.test_train_evaluate import NUM_GALAXIES, folder, write_params, written_bytes  # noqa: F401 - a fixture is used by name

POOL = np.arange(7, NUM_GALAXIES, 10)  # of the split val and test too


def forget_labels(rows: "np.typing.NDArray[np.int64]") -> None:
    """Make some rows the pool."""
    path = Path("data/splits.parquet")
    splits = read_splits(path, Catalog(Path("data/catalog.parquet")))
    label, split = splits.label.copy(), splits.split.copy()
    label[rows], split[rows] = UNLABELLED, SPLIT_NAMES.index("pool")
    write_splits(path, replace(splits, label=label, split=split))


def run_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["stage", "layer2"])
    train.main()
    baselines.main()
    audit.main()
    measure.main()
    evaluate.main()


def test_the_pool_is_in_no_training_and_in_no_metric(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Features of the pool that would move every mean leave all that is written as it was."""
    forget_labels(POOL)
    run_all(monkeypatch)
    before = written_bytes(folder) | {"exhibits": Path("data/exhibits.json").read_bytes()}
    store = zarr.open_array("features/layer2.zarr/activations", mode="r+")
    features = np.asarray(store[:])
    features[POOL] = 1e4
    store[:] = features
    run_all(monkeypatch)
    after = written_bytes(folder) | {"exhibits": Path("data/exhibits.json").read_bytes()}
    assert {name for name in after if after[name] != before[name]} == set()
    predictions = pd.read_csv("metrics/predictions.csv")
    assert not np.isin(predictions["row"], POOL).any()


@pytest.mark.parametrize("number", [0, 1, len(POOL)])
def test_the_head_answers_for_the_pool_and_the_gallery_shows_it(
    folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    forget_labels(POOL[:number])
    run_all(monkeypatch)
    classify.main()
    answers = pd.read_parquet("data/pool.parquet")
    assert answers["id"].tolist() == [f"{row:06d}" for row in POOL[:number]]
    # The classes stand apart, and so the head is nearly always right.
    classes = np.array(["class 0", "class 1", "class 2"])[POOL[:number] * 3 // NUM_GALAXIES]
    assert (answers["predicted"] == classes).sum() >= 0.9 * number
    exhibits = json.loads(Path("data/pool_exhibits.json").read_text())
    shown = [galaxy for galaxy in exhibits["galaxies"] if galaxy["split"] == "pool"]
    assert exhibits["pool"] == len(shown) == number
    for galaxy in shown:
        assert galaxy["label"] is None
        assert len(galaxy["neighbours"]) == 8
        assert all(exhibits["galaxies"][place]["label"] is not None for place in galaxy["neighbours"])
        assert {"unsure", "novel"} <= set(galaxy["lists"])
    report.main()
    assert "Test galaxies" in Path("metrics/report.html").read_text()


def test_show_says_where_the_answers_for_the_pool_are(
    folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_all(monkeypatch)
    Path("metrics/data.json").write_text('{"pool": 0}')
    assert "no label" not in "\n".join(format_summary(Path("metrics")))
    Path("metrics/data.json").write_text('{"pool": 12345}')
    assert "12,345 galaxies have no label: data/pool.parquet" in "\n".join(format_summary(Path("metrics")))


def test_without_any_label_nothing_is_suspected_and_nothing_measured(
    folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forget_labels(np.arange(NUM_GALAXIES))
    monkeypatch.setattr("sys.argv", ["stage", "layer2"])
    audit.main()
    measure.main()
    assert pd.read_csv("metrics/suspected_labels.csv").empty
    assert json.loads(Path("data/exhibits.json").read_text())["galaxies"] == []
    assert len(pd.read_parquet("data/measurements.parquet")) == 0
    with pytest.raises(InputError, match="None of the 240 galaxies has a label"):
        baselines.main()


def test_train_says_what_works_without_any_label(folder: Path) -> None:  # noqa: F811
    forget_labels(np.arange(NUM_GALAXIES))
    with pytest.raises(InputError, match=r"None of the 240 galaxies has a label.*split\.labels"):
        train.main()
