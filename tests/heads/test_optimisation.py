"""Many heads take the steps that each would take alone under torch's own optimizers, schedulers and loss."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from galaxies.heads.optimisation import (
    CrossEntropy,
    Optimizer,
    Schedule,
    sum_and_differentiate,
    sum_losses,
    weigh_classes,
)
from tests.training import make_params

RATES, DECAYS = [0.1, 0.01, 0.02, 0.3], [0.0, 0.5, 0.2, 0.1]


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_every_head_takes_the_steps_of_torchs_own_optimizer(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    start, bias = torch.randn(2, 2, 3, 4, generator=generator), torch.randn(2, 2, 3, generator=generator)
    weights, biases = start.clone().requires_grad_(), bias.clone().requires_grad_()
    optimizer = Optimizer(kind, [weights], [biases])
    gradients = [[torch.randn(tensor.shape, generator=generator) for tensor in (weights, biases)] for _ in range(5)]
    for step in gradients:
        weights.grad, biases.grad = (gradient.clone() for gradient in step)
        optimizer.step(*(torch.tensor(values).reshape(2, 2) for values in (RATES, DECAYS)))
    for (s, g), rate, decay in zip(np.ndindex(2, 2), RATES, DECAYS, strict=True):
        weight, other = start[s, g].clone().requires_grad_(), bias[s, g].clone().requires_grad_()
        groups: list[dict[str, Any]] = [
            {"params": [weight], "weight_decay": decay},
            {"params": [other], "weight_decay": 0.0},
        ]
        reference: torch.optim.Optimizer = (
            torch.optim.AdamW(groups, rate) if kind == "adamw" else torch.optim.SGD(groups, rate, momentum=0.9, nesterov=True)
        )
        for step in gradients:
            weight.grad, other.grad = step[0][s, g].clone(), step[1][s, g].clone()
            reference.step()
        torch.testing.assert_close(weights[s, g], weight)
        torch.testing.assert_close(biases[s, g], other)


@pytest.mark.parametrize("class_weight", ["none", "balanced"])
@pytest.mark.parametrize("smoothing", [[0.0, 0.1, 0.4], [0.2, 0.2, 0.2]], ids=str)
def test_the_loss_and_its_gradient_are_those_of_torchs_cross_entropy(class_weight: str, smoothing: list[float]) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 7, generator=generator)
    targets = torch.tensor([[0, 1, 2, 3, 0, 0, 1], [3, 3, 2, 1, 0, 0, 0]])
    weight = weigh_classes(targets[0], 4, class_weight)
    wanted, mass = CrossEntropy(weight, torch.tensor(smoothing)).expand(targets)
    total, gradient = sum_and_differentiate(logits, wanted)
    assert torch.equal(total, sum_losses(logits, wanted))
    for s, g in np.ndindex(2, 3):
        alone = logits[s, g].clone().requires_grad_()
        expected = functional.cross_entropy(alone.T, targets[s], weight, label_smoothing=smoothing[g])
        torch.testing.assert_close((total / mass)[s, g], expected)
        torch.testing.assert_close(gradient[s, g] / mass[s, 0], *torch.autograd.grad(expected, alone))


def schedule(kind: str, **changes: Any) -> Schedule:
    return Schedule((1, 2), make_params(schedule=kind, num_epochs=20, patience=1, **changes), num_batches=1)


def factors(schedule: Schedule, num_steps: int = 1) -> Any:
    """Return the factors of the first steps, (T, 2)."""
    return schedule.factors(np.arange(num_steps))[:, 0]


def test_a_plateau_lowers_the_rate_of_each_head_as_torch_does() -> None:
    losses = np.array([[3.0, 3.0], [2.9, 3.1], [2.9, 3.0], [2.8999, 2.0], [2.9, 2.5], [2.9, 2.5], [2.9, 2.5], [1.0, 2.5]])
    heads = schedule("plateau")
    optimizers = [torch.optim.SGD([torch.zeros(1)], 1.0) for _ in range(2)]
    references = [torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1) for optimizer in optimizers]
    for epoch, pair in enumerate(losses, 1):
        heads.end_epoch(epoch, pair[None])
        for reference, loss in zip(references, pair, strict=True):
            reference.step(loss)
        assert factors(heads).tolist() == [[optimizer.param_groups[0]["lr"] for optimizer in optimizers]]
    assert heads.best_epoch.tolist() == [[8, 4]]


def test_the_cosine_rises_through_the_warm_up_and_falls_to_0() -> None:
    rises_and_falls = factors(schedule("cosine", warmup_epochs=4), 21)[:, 0].tolist()
    assert rises_and_falls[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rises_and_falls[12] == pytest.approx(0.5)
    assert rises_and_falls[20] == pytest.approx(0)
    assert all(a >= b for a, b in pairwise(rises_and_falls[4:]))


def test_early_stopping_ends_one_head_and_not_the_other() -> None:
    heads = schedule("plateau", early_stopping=2)
    for epoch, pair in enumerate([[3.0, 3.0], [3.0, 2.0], [3.0, 1.0]], 1):
        heads.end_epoch(epoch, np.array([pair]))
    assert heads.is_active.tolist() == [[False, True]]
    assert factors(heads)[0, 0] == 0
    heads.end_epoch(4, np.array([[0.1, 0.5]]))  # What has ended is not best any more.
    assert (heads.best_epoch.tolist(), heads.last_epoch.tolist()) == ([[1, 4]], [[3, 4]])


def test_a_head_that_broke_down_ends_and_keeps_its_best_epoch() -> None:
    heads = schedule("plateau")
    heads.end_epoch(1, np.array([[2.0, 2.0]]))
    heads.end_epoch(2, np.array([[np.inf, 1.0]]))
    assert heads.is_active.tolist() == [[False, True]]
    assert heads.best_epoch.tolist() == [[1, 2]]
