"""The stage `audit` where galaxies are labelled by votes, numbers or tags, and have no class to be doubted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from galaxies.backbones.spec import ExtractParams
from galaxies.data.splits import UNLABELLED, write_splits
from galaxies.features.identity import Identity
from galaxies.features.store import Layout, create_store
from galaxies.gallery.page import list_test_rows
from stages import audit
from tests.toys import EXTRACT, toy_catalog, toy_images, toy_splits, write_toy_catalog, write_toy_galaxies

NUM_GALAXIES = 180
PLANTED = 4
WITH_CLASS = 150


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a repository with galaxies and features of three kinds far apart."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr("sys.argv", ["audit", "layer2"])
    images = toy_images(NUM_GALAXIES)
    Path("data").mkdir()
    write_toy_galaxies(Path("data/galaxies.h5"), images)
    write_toy_catalog(Path("data/catalog.parquet"), images)
    kind = np.arange(NUM_GALAXIES) % 3
    features = np.random.default_rng(0).normal(size=(NUM_GALAXIES, 1, 8)) + 8 * np.eye(3, 8)[kind][:, None]
    identity = Identity.expected(ExtractParams(**EXTRACT), "layer2", toy_catalog(images).digest)
    layout = Layout((1, 8), "float32", compressed=False)
    create_store(Path("features/layer2.zarr"), num_rows=NUM_GALAXIES, layout=layout, identity=identity)[:] = features
    sections: dict[str, Any] = {
        "extract": {name: list(value) if isinstance(value, tuple) else value for name, value in EXTRACT.items()},
        "runtime": {"device": "cpu", "batch_size": 8, "num_workers": 0},
    }
    with Path("params.yaml").open("w") as file:
        YAML().dump(sections, file)
    return tmp_path


def run(label: list[int]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Audit galaxies with these labels; return the suspects and what the gallery will show."""
    split = np.tile(["train", "train", "val", "test", "test"], NUM_GALAXIES // 5)
    write_splits(Path("data/splits.parquet"), toy_splits(np.array(label), split, names=["a", "b", "c"]))
    audit.main()
    return pd.read_csv("metrics/suspected_labels.csv"), json.loads(Path("data/exhibits.json").read_text())


def test_only_classes_are_doubted_and_all_test_galaxies_are_collected(folder: Path) -> None:
    label = [row % 3 if row < WITH_CLASS else UNLABELLED for row in range(NUM_GALAXIES)]
    label[PLANTED] = (label[PLANTED] + 1) % 3
    suspects, exhibits = run(label)
    assert suspects["row"].tolist() == [PLANTED]
    test = [row for row in range(NUM_GALAXIES) if row % 5 >= 3]
    assert [galaxy["row"] for galaxy in exhibits["galaxies"] if galaxy["split"] == "test"] == test
    # A page of classes judges those that have one.
    assert list_test_rows(exhibits) == [row for row in test if row < WITH_CLASS]


def test_without_any_class_there_is_nothing_to_doubt(folder: Path) -> None:
    suspects, exhibits = run([UNLABELLED] * NUM_GALAXIES)
    assert suspects.empty
    assert list(suspects)[:3] == ["id", "label", "present_label"]
    assert exhibits["classes"] == []
    assert all("suspicion" not in galaxy for galaxy in exhibits["galaxies"])
