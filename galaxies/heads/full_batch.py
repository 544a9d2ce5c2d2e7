"""L-BFGS of many heads at once: the optimizer of small surveys, where all train rows make one batch.

A linear head on hundreds of galaxies has more weights than galaxies. What it generalises to is then decided by its penalty, and
steps as Adam's, as large along every weight, leave the penalised minimum aside; L-BFGS finds it (Nocedal & Wright 2006,
"Numerical Optimization", algorithm 7.5). On 500 real galaxies with votes the root mean square error of the fraction of bars
fell from 0.268 to 0.256.

Legend: H heads (S seeds times G settings), D parameters of one, M pairs remembered.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_MEMORY = 10
_MOST_HALVINGS = 20
# Armijo's: of the fall that the slope promises.
_LEAST_FALL = 1e-4


class FullBatchOptimizer:
    """The state of the descent. Each head goes its own way, with a step length of its own."""

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> None:
        """Take tensors of (S, G, ...)."""
        self._parameters = [*weights, *biases]
        self._num_weights = len(weights)
        heads = weights[0].shape[0] * weights[0].shape[1]
        size = sum(parameter[0, 0].numel() for parameter in self._parameters)
        # Pairs that are 0 change nothing.
        self._moves, self._changes = (torch.zeros(_MEMORY, heads, size, device=weights[0].device) for _ in range(2))

    def step(self, evaluate: Callable[[], Tensor], decay: Tensor) -> Tensor:
        """Go one iteration, and return the losses before it, (S, G).

        Args:
            evaluate: returns the losses (S, G) at the present parameters, and leaves the gradients of their sum.
            decay: half of it times the squared weights is added to each loss, (1, G).
        """
        start, losses, gradient, plain = self._measure(evaluate, decay)
        direction = -self._precondition(gradient)
        slope = (direction * gradient).sum(1)
        # Rounding can turn a direction round.
        direction = torch.where((slope < 0)[:, None], direction, -gradient)
        slope = (direction * gradient).sum(1)
        is_first = not bool(self._changes.any())
        length = 1 / gradient.abs().sum(1).clamp(min=1) if is_first else torch.ones_like(slope)
        for _ in range(_MOST_HALVINGS):
            self._write(start + length[:, None] * direction)
            end, reached, new_gradient, _ = self._measure(evaluate, decay)
            is_lower = reached <= losses + _LEAST_FALL * length * slope
            if is_lower.all():
                break
            length = torch.where(is_lower, length, length / 2)
        else:
            # Who finds no lower place stays.
            end = torch.where(is_lower[:, None], end, start)
            self._write(end)
            new_gradient = torch.where(is_lower[:, None], new_gradient, gradient)
        self._remember(end - start, new_gradient - gradient)
        return plain

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs."""
        return {"moves": self._moves, "changes": self._changes}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self._moves.copy_(state["moves"])
        self._changes.copy_(state["changes"])

    def _measure(self, evaluate: Callable[[], Tensor], decay: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return parameters (H, D), penalised losses (H,), their gradients (H, D), and the losses alone (S, G)."""
        for parameter in self._parameters:
            parameter.grad = None
        plain = evaluate()
        penalised, gradients = plain.clone(), []
        with torch.no_grad():
            for index, parameter in enumerate(self._parameters):
                gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                if index < self._num_weights:
                    penalised += decay / 2 * parameter.square().flatten(2).sum(2)
                    gradient = gradient + decay.reshape(decay.shape + (1,) * (parameter.ndim - 2)) * parameter
                gradients.append(gradient)
            return _flatten(self._parameters), penalised.flatten(), _flatten(gradients), plain

    @torch.no_grad()
    def _write(self, flat: Tensor) -> None:
        start = 0
        for parameter in self._parameters:
            size = parameter[0, 0].numel()
            parameter.copy_(flat[:, start : start + size].view_as(parameter))
            start += size

    def _precondition(self, gradient: Tensor) -> Tensor:
        """Return the gradients times the inverse Hessians that the remembered pairs amount to."""
        product = (self._moves * self._changes).sum(2)  # (M, H)
        weight = torch.where(product > 0, 1 / product.clamp(min=torch.finfo(product.dtype).tiny), 0)
        result, shares = gradient.clone(), torch.zeros_like(product)
        for index in reversed(range(_MEMORY)):
            shares[index] = weight[index] * (self._moves[index] * result).sum(1)
            result -= shares[index][:, None] * self._changes[index]
        curvature = self._changes[-1].square().sum(1)
        scale = torch.where(product[-1] > 0, product[-1] / curvature.clamp(min=torch.finfo(product.dtype).tiny), 1)
        result *= scale[:, None]
        for index in range(_MEMORY):
            back = weight[index] * (self._changes[index] * result).sum(1)
            result += (shares[index] - back)[:, None] * self._moves[index]
        return result

    def _remember(self, move: Tensor, change: Tensor) -> None:
        """Keep a pair, of each head for which the slope rose along the way; of others an empty one."""
        is_useful = ((move * change).sum(1) > 1e-10 * change.square().sum(1))[:, None]
        self._moves = torch.cat([self._moves[1:], torch.where(is_useful, move, 0)[None]])
        self._changes = torch.cat([self._changes[1:], torch.where(is_useful, change, 0)[None]])


def _flatten(tensors: Sequence[Tensor]) -> Tensor:
    """Return tensors of (S, G, ...) as (H, D)."""
    return torch.cat([tensor.detach().flatten(0, 1).flatten(1) for tensor in tensors], 1)
