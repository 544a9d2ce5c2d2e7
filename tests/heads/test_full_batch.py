"""L-BFGS of many heads finds the minimum of each, and is refused where it cannot be."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from galaxies.errors import InputError
from galaxies.heads.batches import BatchOptions, ResidentBatches
from galaxies.heads.full_batch import FullBatchOptimizer
from tests.training import fit_toy, make_params


def test_each_head_comes_to_its_own_penalised_minimum() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(60, 80)).astype(np.float32)
    targets = generator.integers(0, 3, 60)
    decays = [0.01, 0.1, 1.0]
    weights = torch.zeros(1, 3, 3, 80, dtype=torch.float64, requires_grad=True)
    biases = torch.zeros(1, 3, 3, dtype=torch.float64, requires_grad=True)
    rows, classes = torch.from_numpy(features).double(), torch.from_numpy(targets)

    def evaluate() -> torch.Tensor:
        logits = torch.einsum("sgkc,nc->sgnk", weights, rows) + biases[:, :, None]
        losses = functional.cross_entropy(logits.flatten(0, 2), classes.repeat(3), reduction="none").view(1, 3, -1).mean(2)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        return losses.detach()

    optimizer, decay = FullBatchOptimizer([weights], [biases]), torch.tensor([decays], dtype=torch.float64)
    losses = [optimizer.step(evaluate, decay) for _ in range(60)]
    assert losses[-1].shape == (1, 3)
    for place, strength in enumerate(decays):
        reference = LogisticRegression(C=1 / (60 * strength), tol=1e-8, max_iter=1000).fit(rows.numpy(), targets)
        np.testing.assert_allclose(weights[0, place].detach(), reference.coef_, atol=2e-4)


def test_a_head_that_stands_at_its_minimum_stays() -> None:
    weights = torch.zeros(1, 2, 1, 1, requires_grad=True)
    biases = torch.zeros(1, 2, 1, requires_grad=True)
    goals = torch.tensor([[0.0, 3.0]])

    def evaluate() -> torch.Tensor:
        losses = (weights[..., 0, 0] - goals).square()
        losses.sum().backward()  # type: ignore[no-untyped-call]
        return losses.detach()

    optimizer = FullBatchOptimizer([weights], [biases])
    for _ in range(5):
        optimizer.step(evaluate, torch.zeros(1, 2))
    torch.testing.assert_close(weights.detach().flatten(), torch.tensor([0.0, 3.0]))


def test_a_toy_is_learned_the_same_way_each_time() -> None:
    first, second = (fit_toy(optimizer="lbfgs", num_epochs=10, sweep={"weight_decay": [0.01, 1.0]}) for _ in range(2))
    states = [fits.seeds[0].head.state_dict() for fits in (first, second)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert first.seeds[0].epochs["val_accuracy"].iloc[-1] > 0.95
    assert len(first.settings) == 2


def test_all_views_are_rows_where_training_is_augmented() -> None:
    features, targets = torch.arange(24.0).view(3, 8, 1), torch.tensor([0, 1, 2])
    for augment, expected in ((True, 24), (False, 3)):
        rows, labels = ResidentBatches(features.clone(), targets, BatchOptions(2, augment=augment)).whole()
        assert (rows.shape, labels.shape) == ((1, expected, 1), (1, expected))
    assert rows.flatten().tolist() == [0, 8, 16]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sweep": {"learning_rate": [0.1]}}, "tries weight_decay alone"),
        ({"sweep": {"label_smoothing": [0.1]}}, "tries weight_decay alone"),
        ({"ending": "keep"}, "an ending is kept"),
        ({"hidden_layers": [8, "dropout 0.5"]}, "never twice the same"),
    ],
    ids=str,
)
def test_what_does_not_combine_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_params(optimizer="lbfgs", **changes)
