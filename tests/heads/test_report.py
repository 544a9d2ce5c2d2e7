"""The curve has a row an epoch and split; the report is that of the epoch kept."""

import numpy as np
import pandas as pd
import pytest

from galaxies.heads.head import Head
from galaxies.heads.report import Epoch, Fit, report_fit, tabulate_curve

EPOCHS = pd.DataFrame(
    [(0.1, 1.0, 0.5, 0.9, 0.6), (0.1 * 0.7, 0.712345, 0.7, 0.8, 0.65), (0.05, 0.5, 0.9, 0.85, 0.6)], [1, 2, 3], Epoch._fields
)
FIT = Fit(Head(2, 2), 2, EPOCHS)


def test_the_curve_is_long_form_with_few_digits() -> None:
    table = tabulate_curve(FIT)
    assert table.to_csv(index=False).splitlines()[:5] == [
        "epoch,split,loss,accuracy,learning_rate",
        "1,train,1.0,0.5,0.1",
        "1,val,0.9,0.6,0.1",
        "2,train,0.7123,0.7,0.07",
        "2,val,0.8,0.65,0.07",
    ]
    assert len(table) == 6


def test_the_report_is_of_the_best_epoch_with_a_calibrated_nll() -> None:
    probabilities = np.array([[0.7, 0.3], [0.9, 0.1]])
    report = report_fit(FIT, 2.00004, probabilities, np.array([0, 1]))
    assert report.pop("val_nll") == pytest.approx(-np.log([0.7, 0.1]).mean(), abs=1e-4)
    assert report == {
        "best_epoch": 2,
        "train_accuracy": 0.7,
        "val_accuracy": 0.65,
        "temperature": 2.0,
        "num_features": 2,
        "num_classes": 2,
    }
