"""Many heads take the steps that each would take alone under torch's own optimizers, schedulers and loss."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from galaxies.heads.losses import sum_losses, weigh_classes
from galaxies.heads.optimisation import Optimizer, Schedule

RATES, DECAYS = [0.1, 0.01, 0.02, 0.3], [0.0, 0.5, 0.2, 0.1]


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_every_head_takes_the_steps_of_torchs_own_optimizer(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    start, bias = torch.randn(2, 2, 3, 4, generator=generator), torch.randn(2, 2, 3, generator=generator)
    own = [start.clone().requires_grad_(), bias.clone().requires_grad_()]
    optimizer = Optimizer(kind, own[:1], own[1:])
    gradients = [[torch.randn(tensor.shape, generator=generator) for tensor in own] for _ in range(5)]
    for step in gradients:
        own[0].grad, own[1].grad = (gradient.clone() for gradient in step)
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
        torch.testing.assert_close(own[0][s, g], weight)
        torch.testing.assert_close(own[1][s, g], other)


@pytest.mark.parametrize("class_weight", ["none", "balanced"])
def test_the_loss_and_its_gradient_are_those_of_torchs_cross_entropy(class_weight: str) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 7, generator=generator)
    targets = torch.tensor([[0, 1, 2, 3, 0, 0, 1], [3, 3, 2, 1, 0, 0, 0]])
    smoothing = torch.tensor([0.0, 0.1, 0.4])
    weight = weigh_classes(targets[0], 4, class_weight)
    logits.requires_grad_()
    total, mass = sum_losses(logits, targets, weight=weight, smoothing=smoothing)
    (gradient,) = torch.autograd.grad((total / mass).sum(), logits)
    for s, g in np.ndindex(2, 3):
        own = logits[s, g].detach().requires_grad_()
        expected = functional.cross_entropy(own.T, targets[s], weight, label_smoothing=float(smoothing[g]))
        torch.testing.assert_close((total / mass)[s, g], expected)
        torch.testing.assert_close(gradient[s, g], *torch.autograd.grad(expected, own))


def schedule(kind: str, **changes: Any) -> Schedule:
    options: dict[str, Any] = {"num_steps": 20, "num_warmup_steps": 0, "decrease": 0.5, "patience": 1, "early_stopping": None}
    return Schedule((1, 2), kind, **{**options, **changes})


def test_a_plateau_lowers_the_rate_of_each_head_as_torch_does() -> None:
    losses = np.array([[3.0, 3.0], [2.9, 3.1], [2.9, 3.0], [2.8999, 2.0], [2.9, 2.5], [2.9, 2.5], [2.9, 2.5], [1.0, 2.5]])
    own = schedule("plateau")
    optimizers = [torch.optim.SGD([torch.zeros(1)], 1.0) for _ in range(2)]
    references = [torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1) for optimizer in optimizers]
    for epoch, pair in enumerate(losses, 1):
        own.end_epoch(epoch, pair[None])
        for reference, loss in zip(references, pair, strict=True):
            reference.step(loss)
        assert own.factor(0).tolist() == [[optimizer.param_groups[0]["lr"] for optimizer in optimizers]]
    assert own.best_epoch.tolist() == [[8, 4]]


def test_the_cosine_rises_through_the_warm_up_and_falls_to_0() -> None:
    own = schedule("cosine", num_warmup_steps=4)
    factors = [float(own.factor(step)[0, 0]) for step in range(21)]
    assert factors[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert factors[12] == pytest.approx(0.5)
    assert factors[20] == pytest.approx(0)
    assert all(a >= b for a, b in pairwise(factors[4:]))


def test_early_stopping_ends_one_head_and_not_the_other() -> None:
    own = schedule("plateau", early_stopping=2)
    for epoch, pair in enumerate([[3.0, 3.0], [3.0, 2.0], [3.0, 1.0]], 1):
        own.end_epoch(epoch, np.array([pair]))
    assert own.is_active.tolist() == [[False, True]]
    assert own.factor(0)[0, 0] == 0
    own.end_epoch(4, np.array([[0.1, 0.5]]))  # What has ended is not best any more.
    assert (own.best_epoch.tolist(), own.last_epoch.tolist()) == ([[1, 4]], [[3, 4]])


def test_a_head_that_broke_down_ends_and_keeps_its_best_epoch() -> None:
    own = schedule("plateau")
    own.end_epoch(1, np.array([[2.0, 2.0]]))
    own.end_epoch(2, np.array([[np.inf, 1.0]]))
    assert own.is_active.tolist() == [[False, True]]
    assert own.best_epoch.tolist() == [[1, 2]]
