"""The head's answers for the pool are those of prediction, whatever its size; the short list is that of a full sort."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray

from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.splits import UNLABELLED, write_splits
from galaxies.evaluation.predictions import PROBABILITY_PREFIX
from galaxies.features.store import Store
from galaxies.features.survey import Survey
from galaxies.heads.head import load_head
from galaxies.heads.inference import predict_rows
from galaxies.prediction import pool as pool_module
from galaxies.prediction import result_file, shortlist
from galaxies.prediction.model import load
from galaxies.prediction.pool import PoolAnswers
from galaxies.prediction.shortlist import Best, Shortlist
from galaxies.prediction.table import make_schema
from tests.predicting import CLASS_NAMES, NUM_GALAXIES, save_toy_head
from tests.toys import toy_images, toy_splits, write_toy_catalog

SIZES = (0, 1, 7, NUM_GALAXIES)
"""Of the pool: none, one galaxy, more than a shard of 4 rows, all."""


@pytest.fixture(scope="module", params=[False, True], ids=["features", "kept ending"])
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    folder = tmp_path_factory.mktemp("pool")
    save_toy_head(folder, keep=request.param)
    return folder


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_BATCH_ROWS", 3)
    monkeypatch.setattr(pool_module, "_ENDING_ROWS", 3)
    monkeypatch.setattr(result_file, "_GROUP_ROWS", 5)


def open_pool(folder: Path, galaxies: GalaxyFile, rows: NDArray[np.int64]) -> PoolAnswers:
    """Open the toys, of which ``rows`` have no label."""
    catalog = write_toy_catalog(folder / "data" / "catalog.parquet", toy_images(NUM_GALAXIES))
    label = np.arange(NUM_GALAXIES) % 3
    label[rows] = UNLABELLED
    split = np.where(label == UNLABELLED, "pool", "train")
    write_splits(folder / "data" / "splits.parquet", toy_splits(label, split, names=CLASS_NAMES))
    survey = Survey(catalog, Store(folder / "features" / "layer1.zarr"), folder)
    return PoolAnswers(survey, galaxies, load_head(folder / "models" / "head.pt"), "c0ffee")


@pytest.mark.parametrize("number", SIZES)
def test_the_pool_gets_the_answers_of_prediction(folder: Path, number: int) -> None:
    rows = np.sort(np.random.default_rng(0).permutation(NUM_GALAXIES)[:number])
    with GalaxyFile(folder / "galaxies.h5") as galaxies:
        open_pool(folder, galaxies, rows).write(folder / "pool.parquet", Shortlist(3))
    table = pq.read_table(folder / "pool.parquet")
    wanted_schema = make_schema(CLASS_NAMES, {})
    assert table.schema.equals(wanted_schema, check_metadata=False)
    assert [field.metadata for field in table.schema] == [field.metadata for field in wanted_schema]
    assert table["id"].to_pylist() == [f"{row:06d}" for row in rows]
    answers = load(folder / "models", device="cpu").predict(toy_images(NUM_GALAXIES)[rows])
    assert table["predicted"].to_pylist() == answers.predicted
    columns = [table[f"{PROBABILITY_PREFIX}{name}"].to_pylist() for name in CLASS_NAMES]
    found = np.array(columns, np.float64).T
    pool = load_head(folder / "models" / "head.pt")
    stored = predict_rows(pool, Store(folder / "features" / "layer1.zarr"), rows)
    np.testing.assert_allclose(found, stored, atol=1e-5)
    # A store of maps has the precision of float16.
    np.testing.assert_allclose(found, answers.probabilities, atol=3e-3)
    activations = np.asarray(Store(folder / "features" / "layer1.zarr").activations[:])[rows, 0]
    novelty = pool.novelty.score(pool.features(torch.from_numpy(activations)))
    np.testing.assert_allclose(table["novelty"].to_numpy(), novelty, rtol=1e-3)
    assert table["conformal_set"].to_pylist() == [
        [name for name, is_in in zip(CLASS_NAMES, members, strict=True) if is_in]
        for members in pool.calibration.predict_sets(stored)
    ]
    for name in ("label", "path", "notes", "error"):
        assert table[name].null_count == number


def test_a_label_that_was_given_stands_beside_the_answer(folder: Path) -> None:
    """One that may not train, because its sky group stands in val or test, leaves its galaxy in the pool."""
    with GalaxyFile(folder / "galaxies.h5") as galaxies:
        pool = open_pool(folder, galaxies, np.array([2, 3]))
        pool.survey.splits.label[3] = 1
        pool.write(folder / "pool.parquet", Shortlist(3))
    assert pq.read_table(folder / "pool.parquet")["label"].to_pylist() == [None, CLASS_NAMES[1]]


def test_the_short_list_is_that_of_all_answers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, number in (("_NUM_UNSURE", 5), ("_NUM_NOVEL", 4), ("_NUM_CONFIDENT", 9)):
        monkeypatch.setattr(shortlist, name, number)
    with GalaxyFile(folder / "galaxies.h5") as galaxies:
        pool = open_pool(folder, galaxies, np.arange(1, 40, 2))
        seen = Shortlist(3)
        pool.write(folder / "pool.parquet", seen)
        again = pool.describe_answers(seen.rows)
    table = pq.read_table(folder / "pool.parquet").to_pandas()
    table.index = np.arange(1, 40, 2)
    assert seen.lists["unsure"] == table["confidence"].sort_values(kind="stable").index[:5].tolist()
    assert seen.lists["novel"] == table["novelty"].sort_values(ascending=False, kind="stable").index[:4].tolist()
    surest = [
        table[table["predicted"] == name]["confidence"].sort_values(ascending=False, kind="stable").index[:3].tolist()
        for name in CLASS_NAMES
    ]
    assert seen.lists["confident"] == [row for rows in surest for row in rows]
    assert list(again) == seen.rows.tolist()
    for row, (probabilities, novelty, is_novel) in again.items():
        np.testing.assert_allclose(probabilities.max(), table["confidence"][row], atol=1e-6)
        assert novelty == pytest.approx(table["novelty"][row], rel=1e-5)
        assert is_novel == table["is_novel"][row]


@pytest.mark.parametrize("number", [1, 7, 100, 300])
def test_the_best_are_those_of_a_full_sort(number: int) -> None:
    """Scores with ties and without a number; batches smaller and larger than the list."""
    generator = np.random.default_rng(number)
    scores = generator.integers(0, 40, 257).astype(float)
    scores[generator.random(257) < 0.1] = np.nan
    best = Best(number)
    for rows in np.split(np.arange(257), [1, 3, 90, 91, 250]):
        best.add(rows, scores[rows])
    expected = np.argsort(-np.where(np.isnan(scores), -np.inf, scores), kind="stable")[:number]
    assert best.rows.tolist() == expected.tolist()
