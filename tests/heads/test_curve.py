"""The curve has a row an epoch and split; the report is that of the epoch kept."""

import numpy as np
import pytest
import torch

from galaxies.heads.curve import report_fit, tabulate_curve
from galaxies.heads.head import Head, TrainedHead
from galaxies.heads.training import Epoch, Fit
from tests.toys import toy_identity

EPOCHS = (Epoch(1, 0.1, 1.0, 0.5, 0.9, 0.6), Epoch(2, 0.1 * 0.7, 0.712345, 0.7, 0.8, 0.65), Epoch(3, 0.05, 0.5, 0.9, 0.85, 0.6))


def test_the_curve_is_long_form_with_few_digits() -> None:
    table = tabulate_curve(EPOCHS)
    assert table.to_csv(index=False).splitlines()[:5] == [
        "epoch,split,loss,accuracy,learning_rate",
        "1,train,1.0,0.5,0.1",
        "1,val,0.9,0.6,0.1",
        "2,train,0.7123,0.7,0.07",
        "2,val,0.8,0.65,0.07",
    ]
    assert len(table) == 6


def test_the_report_is_of_the_best_epoch_with_a_calibrated_nll() -> None:
    head = Head(2, 2)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.eye(2) if parameter.ndim == 2 else torch.zeros(2))
    fit = Fit(head, 2, EPOCHS)
    trained = TrainedHead(head, ("a", "b"), 2.0, (0.5, 0.5), toy_identity())
    # Logits 2 and 0, at a temperature of 2: probability 1 / (1 + 1/e).
    probabilities = trained.probabilities(torch.tensor([[2.0, 0.0], [2.0, 0.0]])).numpy()
    report = report_fit(fit, trained, probabilities, np.array([0, 1]))
    right, wrong = np.log(1 + np.exp(-1)), np.log(1 + np.exp(1))
    assert report.pop("val_nll") == pytest.approx((right + wrong) / 2, abs=1e-4)
    assert report == {
        "best_epoch": 2,
        "train_accuracy": 0.7,
        "val_accuracy": 0.65,
        "temperature": 2.0,
        "num_features": 2,
        "num_classes": 2,
    }
