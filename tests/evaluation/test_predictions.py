"""What is said of the test galaxies is written by name, and comes back as it was written."""

import numpy as np
import pandas as pd

from galaxies.evaluation.predictions import parse_predictions, tabulate_predictions
from tests.toys import open_rows, toy_rows, toy_splits

NAMES = ("round", "edge-on", "spiral")
PROBABILITIES = np.array([[0.15, 0.15, 0.7], [0.9999987654, 0.0000012345678, 0.0]])


def write() -> pd.DataFrame:
    """Return the predictions of rows 1 and 3 of four."""
    catalog = open_rows(toy_rows([bytes([row]) * 32 for row in range(4)], ids=["a", "007", "b", "NA"]))
    splits = toy_splits(np.array([0, 1, 2, 0]), ["train", "test", "val", "test"], group=np.array([0, 5, 2, 5]), names=NAMES)
    return tabulate_predictions(catalog, splits, PROBABILITIES)


def test_each_test_galaxy_is_named_with_a_probability_a_class() -> None:
    table = write()
    names = ["row", "galaxy", "id", "image_sha256", "group", "label", "predicted", "p round", "p edge-on", "p spiral"]
    assert list(table) == names
    assert table.iloc[0].tolist() == [1, 1, "007", "01" * 8, 5, "edge-on", "spiral", 0.15, 0.15, 0.7]
    assert table["predicted"].tolist() == ["spiral", "round"]
    assert table["p edge-on"][1] == 1.235e-6  # Not 0: a galaxy of that class would cost any number of nats.


def test_what_is_read_is_what_was_written() -> None:
    saved = parse_predictions(write().to_csv(index=False), "here")
    assert saved.class_names == NAMES
    assert saved.galaxies["id"].tolist() == ["007", "NA"]
    assert saved.galaxies["image_sha256"].tolist() == ["01" * 8, "03" * 8]
    assert saved.probabilities.tolist() == [[0.15, 0.15, 0.7], [1.0, 1.235e-6, 0.0]]
