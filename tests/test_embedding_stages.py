"""Other people's embeddings from download to report, in this process, and our own export as such a source."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from galaxies.__main__ import main as command
from galaxies.backbones.spec import ExtractParams
from galaxies.data.catalog import Catalog
from galaxies.errors import InputError
from galaxies.evaluation.comparison import compare_predictions
from galaxies.evaluation.predictions import parse_predictions
from galaxies.features.identity import Identity
from galaxies.features.store import Layout, create_store
from galaxies.files import file_sha256
from galaxies.heads.head import TrainedHead, load_head
from galaxies.prediction.model import load
from stages import audit, baselines, classify, download, draw, evaluate, extract, measure, project, report, split, train
from tests.pipelines import REPOSITORY
from tests.toys import EXTRACT, toy_images, write_toy_galaxies

NUM_GALAXIES, NUM_FEATURES = 240, 8
LABELS = np.arange(NUM_GALAXIES) * 3 // NUM_GALAXIES


def toy_features(seed: int = 0) -> "np.typing.NDArray[np.float32]":
    """Return three clouds, (240, 8)."""
    noise = np.random.default_rng(seed).normal(size=(NUM_GALAXIES, NUM_FEATURES))
    return (noise + 4 * np.eye(3, NUM_FEATURES)[LABELS]).astype(np.float32)


def write_params(layer: str, **source: Any) -> None:
    params: dict[str, Any] = YAML(typ="safe").load((REPOSITORY / "params.yaml").read_text())
    params["download"] |= source
    params["extract"] = {name: list(value) if isinstance(value, tuple) else value for name, value in EXTRACT.items()}
    params["extract"]["layers"] = [layer]
    params["train"] |= {"layer": layer, "num_epochs": 5, "learning_rate": 0.01, "batch_size": 32}
    params["projection"]["method"] = "pca"
    params["runtime"] = {"device": "cpu", "batch_size": 8, "num_workers": 0}
    with Path("params.yaml").open("w") as file:
        YAML().dump(params, file)


def run(monkeypatch: pytest.MonkeyPatch, *mains: Callable[[], None], layer: str = "embeddings") -> None:
    monkeypatch.setattr(sys, "argv", ["stage", layer])
    for main in mains:
        main()


def run_embeddings(folder: Path, table: Path, monkeypatch: pytest.MonkeyPatch) -> TrainedHead:
    """Run all stages on a table in a new folder, and return the head."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    write_params("embeddings", source="embeddings", path=str(table), sha256=file_sha256(table))
    stages = (download, split, extract, train, baselines, measure, audit, evaluate, classify, report, project, draw)
    run(monkeypatch, *(stage.main for stage in stages))
    return load_head(Path("models/head.pt"))


def write_table(path: Path, features: "np.typing.NDArray[np.float32]") -> Path:
    labels = [None if index % 12 == 5 else f"class {label}" for index, label in enumerate(LABELS)]
    table = {"id": [f"g{index}" for index in range(NUM_GALAXIES)], "label": labels}
    pd.DataFrame(table | {"features": list(features)}).to_parquet(path)
    return path


def read_answers(folder: Path) -> pd.DataFrame:
    """Return what a run says of its test galaxies, but for what it says of their images."""
    return pd.read_csv(folder / "metrics/predictions.csv", dtype=str).drop(columns=["galaxy", "image_sha256"])


def test_our_own_export_as_a_source_gives_the_same_head_and_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, first = toy_images(NUM_GALAXIES), tmp_path / "first"
    images[100:103] = images[100]  # Twins, which stay in one split; to a network they need not look quite the same.
    (first / "data").mkdir(parents=True)
    monkeypatch.chdir(first)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    write_toy_galaxies(Path("data/galaxies.h5"), images)
    write_params("layer2")
    split.main()
    expected = Identity.expected(ExtractParams(**EXTRACT), "layer2", Catalog(Path("data/catalog.parquet")).digest)
    layout = Layout((1, NUM_FEATURES), "float32", compressed=False)
    create_store(Path("features/layer2.zarr"), num_rows=NUM_GALAXIES, layout=layout, identity=expected)[:] = toy_features()[
        :, None
    ]
    run(monkeypatch, train.main, measure.main, evaluate.main, layer="layer2")
    assert command(["export", "features.parquet"]) == 0

    imported = run_embeddings(tmp_path / "second", first / "features.parquet", monkeypatch)
    trained = load_head(first / "models/head.pt")
    states = trained.head.state_dict()
    assert all(torch.equal(tensor, states[name]) for name, tensor in imported.head.state_dict().items())
    assert imported.calibration == trained.calibration
    assert imported.class_names == trained.class_names
    assert imported.novelty.threshold == trained.novelty.threshold
    pd.testing.assert_frame_equal(read_answers(tmp_path / "second"), read_answers(first), check_exact=True)
    group = pd.read_parquet("data/splits.parquet")["group"]
    assert group[100:103].nunique() == 1
    assert len(set(group)) == NUM_GALAXIES - 2
    assert json.loads(Path("metrics/baselines.json").read_text())


def test_every_stage_writes_all_its_outs_without_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    run_embeddings(tmp_path / "run", write_table(tmp_path / "a.parquet", toy_features()), monkeypatch)
    declared = YAML(typ="safe").load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    for name, stage in declared.items():
        entries = [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
        for out in (entry if isinstance(entry, str) else next(iter(entry)) for entry in entries):
            assert Path(out.replace("${item.layer}", "embeddings")).exists(), f"{name}: {out}"
    assert json.loads(Path("metrics/test.json").read_text())["accuracy"] > 0.9
    assert Path("metrics/strata.csv").read_text() == "quantity,low,high,count,accuracy,accuracy_low,accuracy_high\n"
    assert len(pd.read_parquet("data/measurements.parquet")) == 0
    pool = pd.read_parquet("data/pool.parquet")
    assert pool["id"].tolist() == [f"g{index}" for index in range(5, NUM_GALAXIES, 12)]
    assert (pool["predicted"] == [f"class {label}" for label in LABELS[5::12]]).mean() > 0.9
    page = Path("metrics/report.html").read_text(encoding="utf-8")
    assert page.count("<p") == 1
    assert "came as embeddings, without images" in page
    assert list(pd.read_csv("metrics/suspected_labels.csv"))[:2] == ["id", "label"]


def test_two_kinds_of_embeddings_of_the_same_galaxies_are_compared_by_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    predictions = []
    for name, features in (("a", toy_features()), ("b", np.random.default_rng(1).normal(size=(NUM_GALAXIES, 3)))):
        run_embeddings(tmp_path / name, write_table(tmp_path / f"{name}.parquet", features.astype(np.float32)), monkeypatch)
        predictions.append(parse_predictions(Path("metrics/predictions.csv").read_text(), name))
    assert compare_predictions(*predictions)["difference"].iloc[0] < -0.3
    others = predictions[1].galaxies.assign(id="other")
    with pytest.raises(InputError, match=r"tested on different galaxies: .* \(by id\)"):
        compare_predictions(predictions[0], replace(predictions[1], galaxies=others))


def test_a_head_on_embeddings_answers_for_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    run_embeddings(tmp_path / "run", write_table(tmp_path / "a.parquet", toy_features()), monkeypatch)
    with pytest.raises(InputError, match=r"head\.pt was trained on other people's embeddings, and no network here makes"):
        load(Path("models"))
    assert command(["export", "again.parquet"]) == 0
    assert np.array_equal(np.stack(pd.read_parquet("again.parquet")["features"].to_list()), toy_features())


def test_a_layer_of_a_backbone_needs_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    table = write_table(tmp_path / "a.parquet", toy_features())
    monkeypatch.chdir(tmp_path)
    write_params("layer2", source="embeddings", path=str(table), sha256="any")
    with pytest.raises(InputError, match=r"holds embeddings and no images, .*-S 'extract\.layers=\[embeddings\]'"):
        run(monkeypatch, download.main, split.main, extract.main, layer="layer2")
