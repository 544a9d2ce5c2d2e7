"""What learns: the ending where it is kept, and after it a stack of heads on its standardised features.

Legend: B rows in a batch, C features, K outputs, S seeds, G settings.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from galaxies.backbones.ending import Ending, make_features
from galaxies.features.standardisation import measure_features
from galaxies.heads.batches import Batches
from galaxies.heads.head import Head, TrainedHead
from galaxies.heads.objectives import Objective
from galaxies.heads.optimisation import Optimizer
from galaxies.heads.stack import HeadStack, make_heads
from galaxies.heads.train_params import TrainParams


class Learner:
    """Heads of S seeds times G settings; an ending serves one of both."""

    def __init__(
        self, train: Batches, objective: Objective, params: TrainParams, ending: Ending | None, start: TrainedHead | None
    ) -> None:
        """Start from ``start``, or anew; ``train`` says how features are standardised, and is itself where it holds these."""
        self._params, self._ending, self._device = params, ending, train.targets.device
        if ending:
            ending.prepare_training(freeze_batch_norm=params.ending_batch_norm == "frozen")
            if start and start.ending:
                ending.load_state_dict(start.ending.state_dict())
        self._ending_optimizer = _make_optimizer(ending, params.optimizer)
        self._best_ending = _copy_state(ending)
        self._mean, self._std = (start.head.mean, start.head.std) if start else self._measure(train)
        fresh = make_heads(len(self._mean), objective.num_outputs, params.hidden_layers, params.seeds)
        if (biases := objective.first_biases()) is not None:
            _begin_biases(fresh, biases)
        heads = [(start.head if start else head).to(self._device) for head in fresh]
        self._stack = HeadStack(heads, len(params.settings), params.optimizer)

    def standardise(self, batches: Batches) -> None:
        """Standardise features once, and not in every step; those that an ending makes change with it."""
        if not self._ending:
            batches.standardise(self._mean, self._std)

    def outputs(self, activations: Tensor, dropping: Sequence[torch.Generator] = ()) -> Tensor:
        """Return the outputs (S, G, K, B) of activations (S, B, ...); with generators, one a seed, dropout is active."""
        with torch.autocast(self._device.type, torch.bfloat16) if self._params.precision == "bfloat16" else nullcontext():
            features = activations
            if self._ending:
                features = ((self._ending(activations[0]) - self._mean) / self._std).unsqueeze(0)
            return self._stack.outputs(features, dropping).float()

    def step(self, rate: Tensor, decay: Tensor) -> None:
        """Move everything by its gradients, which are used up; ``rate`` is (S, G), ``decay`` (1, G)."""
        self._stack.step(rate, decay)
        if self._ending_optimizer:
            self._ending_optimizer.step(rate[0, 0] * self._params.ending_lr_factor, decay[0, 0])

    def descend(self, evaluate: Callable[[], Tensor], decay: Tensor) -> Tensor:
        """Go one iteration of L-BFGS; arguments and result as of `FullBatchOptimizer.step`."""
        return self._stack.descend(evaluate, decay)

    def train(self, mode: bool = True) -> None:
        """Set the mode of the ending; that of the heads is chosen in every call."""
        if self._ending:
            self._ending.train(mode)

    def keep_best(self, is_best: NDArray[np.bool_]) -> None:
        """Remember the heads that are better than ever before, (S, G), and the ending with them."""
        self._stack.keep_best(is_best)
        if is_best[0, 0]:
            self._best_ending = _copy_state(self._ending)

    def best_heads(self, setting: int) -> list[Head]:
        """Return the best head of each seed, on the CPU; the ending becomes what it was then."""
        if self._ending:
            self._ending.load_state_dict(self._best_ending)
            self._ending.eval()
        heads = [self._stack.best_head(seed, setting) for seed in range(self._params.num_seeds)]
        for head in heads:
            head.mean.copy_(self._mean)
            head.std.copy_(self._std)
        return heads

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs."""
        return {
            "stack": self._stack.state(),
            "ending": _copy_state(self._ending),
            "best_ending": self._best_ending,
            "ending_optimizer": self._ending_optimizer.state() if self._ending_optimizer else None,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        self._stack.restore(state["stack"])
        if self._ending:
            self._ending.load_state_dict(state["ending"])
        self._best_ending = {name: value.to(self._device) for name, value in state["best_ending"].items()}
        if self._ending_optimizer:
            self._ending_optimizer.restore(state["ending_optimizer"])

    @torch.no_grad()
    def _measure(self, train: Batches) -> tuple[Tensor, Tensor]:
        mean, std = measure_features(make_features(self._ending, rows).cpu().numpy() for rows, _ in train.in_order())
        return torch.from_numpy(mean).to(self._device), torch.from_numpy(std).to(self._device)


def _make_optimizer(ending: Ending | None, kind: str) -> Optimizer | None:
    """Return the optimizer of the ending's parameters that learn, or None without any."""
    learning = [parameter for parameter in ending.parameters() if parameter.requires_grad] if ending else []
    weights = [parameter for parameter in learning if parameter.ndim > 1]
    others = [parameter for parameter in learning if parameter.ndim <= 1]
    return Optimizer(kind, weights, others) if learning else None


@torch.no_grad()
def _begin_biases(heads: Sequence[Head], biases: Tensor) -> None:
    for head in heads:
        last = head.network[-1]
        assert isinstance(last, nn.Linear)
        last.bias.copy_(biases)


def _copy_state(ending: Ending | None) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in ending.state_dict().items()} if ending else {}
