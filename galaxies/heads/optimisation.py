"""How heads learn: losses, steps and learning rates of many heads at once, each with numbers of its own.

torch's optimizers take one learning rate for a tensor, its cross-entropy one smoothing. Here a tensor holds the weights of S
seeds times G settings, (S, G, ...), and each of these heads has its rate, its decay and its smoothing. The numbers are those
of torch (tests compare them).

Legend: B rows in a batch, K classes, S seeds, G settings.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from galaxies.heads.train_params import TrainParams

_MOMENTUM = 0.9
_BETAS = (0.9, 0.999)
_EPSILON = 1e-8

# A validation loss counts as lower from this relative gain on, as in torch's ReduceLROnPlateau.
_THRESHOLD = 1e-4


class CrossEntropy:
    """Weighted cross-entropies with label smoothing."""

    def __init__(self, weight: Tensor, smoothing: Tensor) -> None:
        """Take the weight of each class, (K,), and the share of each target that is spread over all classes, (G,)."""
        self._weight, sharp = weight, torch.diag(weight)
        smoothing = smoothing[:1] if bool((smoothing == smoothing[0]).all()) else smoothing
        # What a row of each class (last) wants of each logit: (G or 1, K, K).
        self._wanted_by_class = sharp + smoothing[:, None, None] * (weight.unsqueeze(1) / len(weight) - sharp)

    def expand(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return what rows with targets (S, B) want of the logits, (S, G or 1, K, B), and the sum of their weights, (S, 1)."""
        wanted = self._wanted_by_class.index_select(-1, targets.flatten())
        wanted = wanted.view(*wanted.shape[:2], *targets.shape).movedim(2, 0)
        return wanted, self._weight[targets].sum(1, keepdim=True)


def sum_losses(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the sums over the rows of the cross-entropies of logits (S, G, K, B), (S, G)."""
    return -(wanted * logits.log_softmax(-2)).sum((-2, -1))


@torch.no_grad()
def sum_and_differentiate(logits: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return the same and its derivative by the logits, (S, G, K, B), in closed form: half the time of autograd (measured)."""
    return sum_losses(logits, wanted), logits.softmax(-2).mul_(wanted.sum(-2, keepdim=True)).sub_(wanted)


@torch.no_grad()
def count_right(logits: Tensor, targets: Tensor) -> Tensor:
    """Return how many rows have no class before their target, (S, G); shapes as above, targets (S, B)."""
    index = targets[:, None, None].expand(*logits.shape[:2], 1, -1)  # (S, G, 1, B)
    # 40 times faster than argmax along this axis (measured).
    return (logits.gather(-2, index).squeeze(-2) >= logits.amax(-2)).sum(-1)


def weigh_classes(targets: Tensor, num_classes: int, class_weight: str) -> Tensor:
    """Return the weight of each class, (K,): 1, or ``balanced`` the inverse of its share, which averages to 1 over the rows."""
    if class_weight == "none":
        return torch.ones(num_classes, device=targets.device)
    counts = torch.bincount(targets, minlength=num_classes)
    return len(targets) / (num_classes * counts.float())


class Optimizer:
    """AdamW (Loshchilov & Hutter 2019) or SGD with Nesterov momentum; each head has its own learning rate and weight decay.

    A function of torch gives the steps of all heads at a rate of 1, in a single pass over memory; then each head goes as much
    of its own as its rate says. (torch's classes call the same, and add 40 µs to the 750 µs that a batch takes one head.) Only
    weights decay: a bias carries how frequent a class is, and shrinking it would be wrong.
    """

    def __init__(self, kind: str, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> None:
        """Take tensors of (S, G, ...), or of any shape where all share one rate and decay; at least one."""
        self._kind, self._parameters, self._num_weights = kind, [*weights, *biases], len(weights)
        self._steps, self._first, self._second = (
            [torch.zeros_like(parameter) for parameter in self._parameters] for _ in range(3)
        )
        self._times = [torch.zeros((), device=parameter.device) for parameter in self._parameters]  # steps done

    @torch.no_grad()
    def step(self, rate: Tensor, decay: Tensor) -> None:
        """Move all parameters by their gradients, which are used up; ``rate`` and ``decay`` are (S, G), or scalars."""
        gradients = [torch.zeros_like(tensor) if tensor.grad is None else tensor.grad for tensor in self._parameters]
        for index, (parameter, step, gradient) in enumerate(zip(self._parameters, self._steps, gradients, strict=True)):
            is_weight = index < self._num_weights
            if is_weight and self._kind == "adamw":
                # Its decay is a part of the step that no moment remembers: so the step begins with it.
                torch.mul(parameter, _expand(-decay, parameter), out=step)
                continue
            step.zero_()
            if is_weight:
                gradient.addcmul_(parameter, _expand(decay, parameter))
        self._add_steps(gradients)
        for parameter, step in zip(self._parameters, self._steps, strict=True):
            parameter.addcmul_(step, _expand(rate, parameter))
            parameter.grad = None

    def _add_steps(self, gradients: list[Tensor]) -> None:
        """Add the steps at a rate of 1, without decay."""
        options: dict[str, Any] = {"lr": 1.0, "weight_decay": 0.0, "maximize": False, "fused": True}
        if self._kind == "adamw":
            options |= {"beta1": _BETAS[0], "beta2": _BETAS[1], "eps": _EPSILON, "amsgrad": False}
            adamw(self._steps, gradients, self._first, self._second, [], self._times, **options)
        else:
            options |= {"momentum": _MOMENTUM, "dampening": 0.0, "nesterov": True}
            sgd(self._steps, gradients, list(self._first), **options)

    def state(self) -> dict[str, list[Tensor]]:
        """Return what a checkpoint needs."""
        return {"first": self._first, "second": self._second, "times": self._times}

    @torch.no_grad()
    def restore(self, state: Mapping[str, list[Tensor]]) -> None:
        """Continue from a checkpoint."""
        for name, tensors in self.state().items():
            for tensor, saved in zip(tensors, state[name], strict=True):
                tensor.copy_(saved)


def _expand(values: Tensor, parameter: Tensor) -> Tensor:
    return values.reshape(values.shape + (1,) * (parameter.ndim - values.ndim))


class Schedule:
    """The factor of each learning rate as training goes on, and whether it goes on; arrays are (S, G).

    Both kinds rise linearly through the warm-up. ``plateau`` then multiplies by ``decrease_on_plateau`` whenever the validation
    loss has not fallen for more than ``patience`` epochs (torch's ReduceLROnPlateau); ``cosine`` falls to 0 at the last step
    (Loshchilov & Hutter 2017).
    """

    def __init__(self, shape: tuple[int, int], params: TrainParams, num_batches: int) -> None:
        """Start at (S, G) heads that train as ``params`` say, ``num_batches`` steps an epoch."""
        self._params = params
        self._num_steps, self._num_warmup_steps = params.num_epochs * num_batches, params.warmup_epochs * num_batches
        self._factor = np.ones(shape)
        self._plateau_loss = np.full(shape, np.inf)
        self._num_bad_epochs = np.zeros(shape, np.int64)
        self.best_loss = np.full(shape, np.inf)
        self.best_epoch = np.zeros(shape, np.int64)  # counted from 1; 0: none yet
        self.last_epoch = np.zeros(shape, np.int64)  # that changed anything
        self.is_active = np.ones(shape, bool)

    def factors(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the factors at T steps, counted from 0, (T, S, G); 0 where training has ended."""
        common = np.minimum(1, (steps + 1) / self._num_warmup_steps) if self._num_warmup_steps else np.ones(len(steps))
        if self._params.schedule == "cosine":
            share = (steps - self._num_warmup_steps) / max(1, self._num_steps - self._num_warmup_steps)
            common = np.where(share < 0, common, (1 + np.cos(np.pi * share)) / 2)
        return np.where(self.is_active, self._factor * common[:, None, None], 0)

    def end_epoch(self, epoch: int, val_loss: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Take the losses after an epoch, not finite where training broke down; return where they are the lowest so far."""
        self.last_epoch[self.is_active] = epoch
        is_best = self.is_active & (val_loss < self.best_loss)
        self.best_loss[is_best], self.best_epoch[is_best] = val_loss[is_best], epoch
        if self._params.schedule == "plateau":
            falls = val_loss < self._plateau_loss * (1 - _THRESHOLD)
            self._plateau_loss = np.where(falls, val_loss, self._plateau_loss)
            self._num_bad_epochs = np.where(falls, 0, self._num_bad_epochs + 1)
            decreases = self._num_bad_epochs > self._params.patience
            self._factor[decreases] *= self._params.decrease_on_plateau
            self._num_bad_epochs[decreases] = 0
        self.is_active &= np.isfinite(val_loss)
        if self._params.early_stopping is not None:
            self.is_active &= epoch - self.best_epoch < self._params.early_stopping
        return is_best

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs."""
        return {name: torch.from_numpy(value) for name, value in vars(self).items() if isinstance(value, np.ndarray)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a checkpoint."""
        for name, value in state.items():
            setattr(self, name, value.numpy())
