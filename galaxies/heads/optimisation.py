"""How weights change: optimizers and learning rates for many heads at once, each with numbers of its own.

torch's optimizers take one learning rate for a tensor. Here a tensor holds the weights of S seeds times G settings,
(S, G, ...), and each of these heads has its rate and its decay.
"""

from collections.abc import Iterable, Mapping, Sequence
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

    The steps are torch's own fused ones: one pass over memory, and none for a head that has ended. Only weights decay: a bias
    carries how frequent a class is, and shrinking it would be wrong.
    """

    def __init__(self, kind: str, weights: Sequence[Tensor], others: Sequence[Tensor], *, are_stacked: bool) -> None:
        """Take the tensors of all heads, (S, G, ...), or where they are not stacked those of one model."""
        self._kind, self._are_stacked = kind, are_stacked
        self._parts = (weights, others)
        self._num_steps = 0
        num_moments = 2 if kind == "adamw" else 1
        self._moments = [[[torch.zeros_like(tensor) for tensor in part] for _ in range(num_moments)] for part in self._parts]
        with torch.no_grad():
            self._views = [
                [self._split(tensors) for tensors in (part, *moments)]
                for part, moments in zip(self._parts, self._moments, strict=True)
            ]

    @torch.no_grad()
    def step(self, rates: Sequence[float], decays: Sequence[float]) -> None:
        """Move all parameters by their gradients, which are used up; a rate and a decay a head, in the order of (S, G)."""
        self._num_steps += 1
        for part, views, own_decays in zip(self._parts, self._views, (decays, [0.0] * len(decays)), strict=True):
            gradients = self._split([torch.zeros_like(tensor) if tensor.grad is None else tensor.grad for tensor in part])
            for (rate, decay), heads in _group_equal(zip(rates, own_decays, strict=True)).items():
                if rate and part:
                    own, parameters, *moments = (
                        [tensor for head in heads for tensor in view[head]] for view in (gradients, *views)
                    )
                    self._update(own, parameters, moments, rate, decay)
            for tensor in part:
                tensor.grad = None

    def _split(self, tensors: Sequence[Tensor]) -> list[list[Tensor]]:
        """Return views of the tensors of each head."""
        if not self._are_stacked:
            return [list(tensors)]
        return [list(own) for own in zip(*(tensor.flatten(0, 1).unbind() for tensor in tensors), strict=True)]

    def _update(
        self, gradients: list[Tensor], parameters: list[Tensor], moments: list[list[Tensor]], rate: float, decay: float
    ) -> None:
        if self._kind == "sgd":
            torch._fused_sgd_(
                parameters,
                gradients,
                *moments,
                lr=rate,
                weight_decay=decay,
                momentum=_MOMENTUM,
                dampening=0.0,
                nesterov=True,
                maximize=False,
                is_first_step=self._num_steps == 1,
            )
            return
        first, second = moments
        steps = [torch.full((), float(self._num_steps), device=parameters[0].device)] * len(parameters)
        torch._fused_adamw_(
            parameters,
            gradients,
            first,
            second,
            [],
            steps,
            lr=rate,
            weight_decay=decay,
            beta1=_BETAS[0],
            beta2=_BETAS[1],
            eps=_EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs."""
        return {"num_steps": self._num_steps, "moments": self._moments}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        self._num_steps = state["num_steps"]
        for part, saved in zip(self._moments, state["moments"], strict=True):
            for own, others in zip(part, saved, strict=True):
                for moment, other in zip(own, others, strict=True):
                    moment.copy_(other)


def _group_equal(settings: Iterable[tuple[float, float]]) -> dict[tuple[float, float], list[int]]:
    """Return the positions of each setting: heads that share it take a step in one call."""
    positions: dict[tuple[float, float], list[int]] = {}
    for position, setting in enumerate(settings):
        positions.setdefault(setting, []).append(position)
    return positions


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
