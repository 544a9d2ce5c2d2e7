"""The stages from train to report on a store of toys: what they write and refuse, and that train leaves test alone."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import zarr
from ruamel.yaml import YAML

from galaxies.__main__ import main as command
from galaxies.backbones.spec import ExtractParams
from galaxies.data.catalog import Catalog
from galaxies.data.field_of_view import FieldOfView, write_field
from galaxies.data.splits import SPLIT_NAMES, divide_val, read_splits, write_splits
from galaxies.errors import InputError
from galaxies.features.identity import Identity
from galaxies.features.store import Layout, create_store
from galaxies.heads.head import load_head, save_head
from stages import audit, classify, evaluate, measure, report, train
from tests.pipelines import REPOSITORY
from tests.toys import EXTRACT, toy_catalog, toy_images, toy_splits, write_toy_catalog, write_toy_galaxies

NUM_GALAXIES = 240
TRAIN: dict[str, Any] = {
    "layer": "layer2",
    "ending": "drop",
    "hidden_layers": [],
    "optimizer": "adamw",
    "learning_rate": 0.01,
    "decrease_on_plateau": 0.5,
    "patience": 3,
    "weight_decay": 0.1,
    "num_epochs": 15,
    "batch_size": 32,
    "class_weight": "none",
    "seed": 0,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a repository in which galaxies, catalog, splits and a store of separable features are ready."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    images = toy_images(NUM_GALAXIES)
    Path("data").mkdir()
    write_toy_galaxies(Path("data/galaxies.h5"), images)
    write_field(Path("data/field_of_view.json"), FieldOfView(32, None, None, None))
    write_toy_catalog(Path("data/catalog.parquet"), images)
    label = np.arange(NUM_GALAXIES) * 3 // NUM_GALAXIES
    split = np.tile(["train", "train", "train", "val", "test"], NUM_GALAXIES // 5)
    write_splits(Path("data/splits.parquet"), toy_splits(label, split))
    write_params()
    write_store(separation=5)
    return tmp_path


def write_store(*, separation: float, views: Any = 1) -> None:
    """Write features of three classes that stand apart by some standard deviations, in each view with a noise of its own."""
    images = toy_images(NUM_GALAXIES)
    identity = Identity.expected(ExtractParams(**{**EXTRACT, "views": views}), "layer2", toy_catalog(images).digest)
    label = np.arange(NUM_GALAXIES) * 3 // NUM_GALAXIES
    features = np.random.default_rng(0).normal(size=(NUM_GALAXIES, views, 8)) + separation * np.eye(3, 8)[label][:, None]
    path, layout = Path("features/layer2.zarr"), Layout((views, 8), "float32", compressed=False)
    shutil.rmtree(path, ignore_errors=True)
    create_store(path, num_rows=NUM_GALAXIES, layout=layout, identity=identity)[:] = features


def write_params(*, views: int = 1, **changes: Any) -> None:
    defaults = YAML(typ="safe").load((REPOSITORY / "params.yaml").read_text())["train"]
    extract = {**EXTRACT, "views": views}
    sections = {
        "extract": {name: list(value) if isinstance(value, tuple) else value for name, value in extract.items()},
        "train": {**defaults, **TRAIN, **changes},
        "runtime": {"device": "cpu", "batch_size": 8, "num_workers": 0},
    }
    with Path("params.yaml").open("w") as file:
        YAML().dump(sections, file)


def written_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for name in ("models", "metrics") for path in (folder / name).iterdir()}


def test_the_two_stages_write_what_is_promised(folder: Path) -> None:
    train.main()
    measure.main()
    evaluate.main()
    assert set(written_bytes(folder)) == {
        "head.pt",
        "training.csv",
        "sweep.csv",
        "train.json",
        "test.json",
        "intervals.json",
        "calibration.json",
        "seeds.json",
        "views.json",
        "predictions.csv",
        "confusion.csv",
        "classes.csv",
        "reliability.csv",
        "threshold_curves.csv",
        "abstention.csv",
        "strata.csv",
        "target_scores.csv",
        "target_reliability.csv",
        "target_density.csv",
        "target_residuals.csv",
        "galaxies.png",
    }
    assert json.loads(Path("metrics/seeds.json").read_text()) == {"num_seeds": 1}
    assert json.loads(Path("metrics/views.json").read_text()) == {"num_views": 1}
    metrics = json.loads(Path("metrics/test.json").read_text())
    assert metrics["accuracy"] > 0.9
    assert metrics["num_galaxies"] == 48
    predictions = pd.read_csv("metrics/predictions.csv", dtype={"id": str})
    assert list(predictions)[:7] == ["row", "galaxy", "id", "image_sha256", "group", "label", "predicted"]
    assert predictions["row"].tolist() == list(range(4, NUM_GALAXIES, 5))
    assert set(predictions["predicted"]) <= {"class 0", "class 1", "class 2"}
    assert (predictions["label"] == predictions["predicted"]).mean() == pytest.approx(metrics["accuracy"], abs=1e-4)
    assert pd.read_csv("metrics/confusion.csv")["count"].sum() == 48
    curve = pd.read_csv("metrics/training.csv")
    assert list(curve) == ["epoch", "split", "loss", "accuracy", "learning_rate"]
    assert len(curve) == 30
    report = json.loads(Path("metrics/train.json").read_text())
    assert {"best_epoch", "val_accuracy", "val_nll", "temperature", "num_features", "num_classes"} <= set(report)


def test_several_seeds_have_a_mean_and_a_deviation_and_the_same_bytes_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_params(num_seeds=3, num_epochs=1, learning_rate=1e-3)
    measure.main()
    written = []
    for _ in range(2):
        train.main()
        evaluate.main()
        written.append(written_bytes(folder))
    assert written[0] == written[1]
    found = json.loads(Path("metrics/seeds.json").read_text())
    assert found.pop("num_seeds") == 3
    splits = read_splits(Path("data/splits.parquet"), Catalog(Path("data/catalog.parquet")))
    trained, rows = load_head(Path("models/head.pt")), splits.rows("test")
    features = torch.from_numpy(np.asarray(zarr.open_array("features/layer2.zarr/activations")[:])[rows, 0])
    right = [
        (member.outputs(features).argmax(1).numpy() == splits.targets[rows]).mean() for member in (trained, *trained.others)
    ]
    assert len(set(right)) > 1
    assert found["accuracy"] == {"mean": round(np.mean(right), 4), "std": round(np.std(right, ddof=1), 4)}
    assert list(found) == ["accuracy", "balanced_accuracy", "macro_f1", "nll"]
    assert command(["show"]) == 0
    assert "Over 3 seeds of training:\n  accuracy " in capsys.readouterr().out


def test_stored_views_are_averaged_beside_the_plain_number(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_store(separation=2, views=8)
    write_params(views=8)
    train.main()
    measure.main()
    evaluate.main()
    found, plain = (json.loads(Path(f"metrics/{name}.json").read_text()) for name in ("views", "test"))
    assert found["num_views"] == 8
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "nll"):
        assert found[name]["one_view"] == plain[name]
    # Eight independent noises average out.
    assert found["accuracy"]["mean_of_views"] > plain["accuracy"] + 0.05
    assert found["nll"]["mean_of_views"] < plain["nll"]
    accuracy = found["accuracy"]
    assert 0 < accuracy["low"] < accuracy["difference"] < accuracy["high"]
    assert command(["show"]) == 0
    line = capsys.readouterr().out.partition("Averaged over 8 views of each galaxy, and against one view:\n")[2].splitlines()[0]
    assert line.split()[:3] == ["accuracy", str(accuracy["mean_of_views"]), f"{accuracy['difference']:+.4f}"]


def test_train_does_not_use_the_test_rows(folder: Path) -> None:
    train.main()
    clean = written_bytes(folder)
    splits = read_splits(Path("data/splits.parquet"), Catalog(Path("data/catalog.parquet")))
    test = splits.rows("test")
    array = zarr.open_array("features/layer2.zarr/activations", mode="r+")
    activations = np.asarray(array[:])
    activations[test] = np.nan
    array[:] = activations
    label = splits.label.copy()
    label[test] = np.random.default_rng(1).permutation(label[test])
    write_splits(Path("data/splits.parquet"), replace(splits, label=label))
    train.main()
    assert written_bytes(folder) == clean
    with pytest.raises(InputError, match=f"row {test[0]} is not finite"):
        evaluate.main()


def test_the_temperature_is_fitted_on_rows_that_did_not_choose(folder: Path) -> None:
    """Val rows that calibrate can be anything without changing the weights."""
    train.main()
    before = load_head(Path("models/head.pt"))
    splits = read_splits(Path("data/splits.parquet"), Catalog(Path("data/catalog.parquet")))
    val = splits.rows("val")
    calibrating = divide_val(splits.targets[val], splits.group[val], generator=np.random.default_rng(0))[1]
    array = zarr.open_array("features/layer2.zarr/activations", mode="r+")
    activations = np.asarray(array[:])
    activations[val[calibrating]] *= -1
    array[:] = activations
    train.main()
    after = load_head(Path("models/head.pt"))
    assert all(torch.equal(a, b) for a, b in zip(before.head.parameters(), after.head.parameters(), strict=True))
    assert after.calibration.temperature > 2 * before.calibration.temperature


def test_the_head_carries_the_identity_of_its_features(folder: Path) -> None:
    train.main()
    identity = load_head(Path("models/head.pt")).identity
    assert identity.layer == "layer2"
    assert identity.backbone.name == "resnet18"


def test_a_class_without_train_galaxies_is_named(folder: Path) -> None:
    splits = read_splits(Path("data/splits.parquet"), Catalog(Path("data/catalog.parquet")))
    split = np.where(splits.label == 2, SPLIT_NAMES.index("test"), splits.split).astype(np.uint8)
    write_splits(Path("data/splits.parquet"), replace(splits, split=split))
    with pytest.raises(InputError, match="no galaxy to train on in class 2"):
        train.main()


def test_evaluate_refuses_a_head_for_other_classes(folder: Path) -> None:
    train.main()
    trained = load_head(Path("models/head.pt"))
    names = ("class 0", "class 2", "class 1")
    save_head(Path("models/head.pt"), replace(trained, meaning=replace(trained.of_classes, class_names=names)))
    with pytest.raises(
        InputError, match=r"knows the classes class 0, class 2, class 1, data/splits\.parquet has class 0, class 1"
    ):
        evaluate.main()


def test_evaluate_refuses_features_of_another_identity(folder: Path) -> None:
    train.main()
    trained = load_head(Path("models/head.pt"))
    identity = replace(trained.identity, catalog="another")
    save_head(Path("models/head.pt"), replace(trained, identity=identity))
    with pytest.raises(InputError, match="catalog: the store has"):
        evaluate.main()


def test_the_audit_finds_planted_label_errors_and_the_report_has_its_page(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = read_splits(Path("data/splits.parquet"), Catalog(Path("data/catalog.parquet")))
    planted = [0, 100, 200]
    label = splits.label.copy()
    label[planted] = (label[planted] + 1) % 3
    write_splits(Path("data/splits.parquet"), replace(splits, label=label))
    train.main()
    measure.main()
    evaluate.main()
    monkeypatch.setattr("sys.argv", ["audit", "layer2"])
    audit.main()
    classify.main()
    report.main()
    suspects = pd.read_csv("metrics/suspected_labels.csv", dtype={"id": str})
    assert set(planted) & set(suspects["row"])
    assert set(suspects["row"]) <= set(planted)
    assert list(suspects)[:2] == ["id", "label"]
    page = Path("metrics/report.html").read_bytes()
    report.main()
    assert Path("metrics/report.html").read_bytes() == page
    params = YAML(typ="safe").load(Path("params.yaml").read_text())
    params["extract"]["image_size"] = 64
    with Path("params.yaml").open("w") as file:
        YAML().dump(params, file)
    with pytest.raises(InputError, match=r"params\.image_size: the store has 32, wanted is 64"):
        audit.main()
