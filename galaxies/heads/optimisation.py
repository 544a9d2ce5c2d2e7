"""How weights change: optimizers and learning rates for many heads at once, each with numbers of its own.

torch's optimizers take one learning rate for a tensor. Here a tensor holds the weights of S seeds times G settings,
(S, G, ...), and each of these heads has its rate and its decay.
"""

from collections.abc import Mapping, Sequence
from math import cos, pi
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_MOMENTUM = 0.9
_BETAS = (0.9, 0.999)
_EPSILON = 1e-8

# A validation loss counts as lower from this relative gain on, as in torch's ReduceLROnPlateau.
_THRESHOLD = 1e-4


class Optimizer:
    """AdamW (Loshchilov & Hutter 2019) or SGD with Nesterov momentum; each head has its own learning rate and weight decay.

    One of torch's fused calls, a single pass over memory, gives the steps of all heads at a rate of 1; then each head goes as
    much of its own as its rate says. Only weights decay: a bias carries how frequent a class is, and shrinking it would be
    wrong.
    """

    def __init__(self, kind: str, weights: Sequence[Tensor], others: Sequence[Tensor]) -> None:
        """Take tensors of (S, G, ...), or of any shape where all share one rate and decay."""
        self._kind = kind
        self._parameters = [*weights, *others]
        self._num_weights = len(weights)
        self._num_steps = 0
        num_moments = 2 if kind == "adamw" else 1
        self._steps, *self._moments = [
            [torch.zeros_like(parameter) for parameter in self._parameters] for _ in range(1 + num_moments)
        ]

    @torch.no_grad()
    def step(self, rate: Tensor, decay: Tensor) -> None:
        """Move all parameters by their gradients, which are used up; ``rate`` and ``decay`` are (S, G), or scalars."""
        if not self._parameters:
            return
        self._num_steps += 1
        decays = [_expand(decay, parameter) for parameter in self._parameters[: self._num_weights]]
        gradients = [torch.zeros_like(tensor) if tensor.grad is None else tensor.grad for tensor in self._parameters]
        if self._kind == "sgd":
            for parameter, gradient, own_decay in zip(self._parameters, gradients, decays, strict=False):
                gradient.addcmul_(parameter, own_decay)
        steps = self._unit_steps(gradients)
        for index, (parameter, step) in enumerate(zip(self._parameters, steps, strict=True)):
            own_rate = _expand(rate, parameter)
            if self._kind == "adamw" and index < self._num_weights:
                parameter.mul_(1 - own_rate * decays[index])
            parameter.addcmul_(step, own_rate)
            parameter.grad = None

    def _unit_steps(self, gradients: list[Tensor]) -> list[Tensor]:
        """Return the steps, without decay, at a rate of 1."""
        steps = self._steps
        for step in steps:
            step.zero_()
        if self._kind == "sgd":
            (momentum,) = self._moments
            torch._fused_sgd_(
                steps,
                gradients,
                momentum,
                lr=1.0,
                weight_decay=0.0,
                momentum=_MOMENTUM,
                dampening=0.0,
                nesterov=True,
                maximize=False,
                is_first_step=self._num_steps == 1,
            )
        else:
            first, second = self._moments
            torch._fused_adamw_(
                steps,
                gradients,
                first,
                second,
                [],
                [torch.full((), float(self._num_steps), device=steps[0].device)] * len(steps),
                lr=1.0,
                weight_decay=0.0,
                beta1=_BETAS[0],
                beta2=_BETAS[1],
                eps=_EPSILON,
                amsgrad=False,
                maximize=False,
            )
        return steps

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs."""
        return {"num_steps": self._num_steps, "moments": self._moments}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        self._num_steps = state["num_steps"]
        for own, others in zip(self._moments, state["moments"], strict=True):
            for moment, other in zip(own, others, strict=True):
                moment.copy_(other)


def _expand(values: Tensor, parameter: Tensor) -> Tensor:
    return values.reshape(values.shape + (1,) * (parameter.ndim - values.ndim))


class Schedule:
    """The factor of each learning rate as training goes on, and whether it goes on; arrays are (S, G).

    Both kinds rise linearly through the warm-up. ``plateau`` then multiplies by ``decrease`` whenever the validation loss has
    not fallen for more than ``patience`` epochs (torch's ReduceLROnPlateau); ``cosine`` falls to 0 at the last step
    (Loshchilov & Hutter 2017).
    """

    def __init__(
        self,
        shape: tuple[int, int],
        kind: str,
        *,
        num_steps: int,
        num_warmup_steps: int,
        decrease: float,
        patience: int,
        early_stopping: int | None,
    ) -> None:
        self._kind, self._num_steps, self._num_warmup_steps = kind, num_steps, num_warmup_steps
        self._decrease, self._patience, self._early_stopping = decrease, patience, early_stopping
        self._factor = np.ones(shape)
        self._plateau_loss = np.full(shape, np.inf)
        self._num_bad_epochs = np.zeros(shape, np.int64)
        self.best_loss = np.full(shape, np.inf)
        self.best_epoch = np.zeros(shape, np.int64)  # counted from 1; 0: none yet
        self.last_epoch = np.zeros(shape, np.int64)  # that changed anything
        self.is_active = np.ones(shape, bool)

    def factor(self, step: int) -> NDArray[np.float64]:
        """Return the factors at a step, counted from 0; 0 where training has ended."""
        common = min(1.0, (step + 1) / self._num_warmup_steps) if self._num_warmup_steps else 1.0
        if self._kind == "cosine" and step >= self._num_warmup_steps:
            remaining = max(1, self._num_steps - self._num_warmup_steps)
            common = (1 + cos(pi * (step - self._num_warmup_steps) / remaining)) / 2
        return np.where(self.is_active, self._factor * common, 0.0)

    def end_epoch(self, epoch: int, val_loss: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Take the losses after an epoch, not finite where training broke down; return where they are the lowest so far."""
        self.last_epoch[self.is_active] = epoch
        is_best = self.is_active & (val_loss < self.best_loss)
        self.best_loss[is_best], self.best_epoch[is_best] = val_loss[is_best], epoch
        if self._kind == "plateau":
            falls = val_loss < self._plateau_loss * (1 - _THRESHOLD)
            self._plateau_loss = np.where(falls, val_loss, self._plateau_loss)
            self._num_bad_epochs = np.where(falls, 0, self._num_bad_epochs + 1)
            decreases = self._num_bad_epochs > self._patience
            self._factor[decreases] *= self._decrease
            self._num_bad_epochs[decreases] = 0
        self.is_active &= np.isfinite(val_loss)
        if self._early_stopping is not None:
            self.is_active &= epoch - self.best_epoch < self._early_stopping
        return is_best

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs."""
        return {name: torch.from_numpy(value) for name, value in vars(self).items() if isinstance(value, np.ndarray)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a checkpoint."""
        for name, value in state.items():
            setattr(self, name, value.numpy())
