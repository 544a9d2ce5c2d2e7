"""The heads of a training that have the same layers: their parameters, their optimizer, and what each was at its best.

Legend: B rows in a batch, C features, K classes, S seeds, G settings of this group.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from galaxies.heads.head import Head
from galaxies.heads.optimisation import Optimizer
from galaxies.heads.stack import HeadStack


class HeadGroup:
    """Heads of S seeds times G settings in training.

    Attributes:
        selection: which of a sweep's settings these are, as an index; all of them as a slice, which costs nothing.
        stack: the heads.
    """

    def __init__(self, columns: Sequence[int], heads: Sequence[Head], optimizer: str, *, num_settings: int) -> None:
        """Start the settings ``columns``, of ``num_settings`` in all, from ``heads``, one a seed."""
        self._columns = list(columns)
        self.selection: slice | list[int] = slice(None) if len(self._columns) == num_settings else self._columns
        self.stack = HeadStack(heads, len(self._columns))
        self._optimizer = Optimizer(optimizer, self.stack.weights, self.stack.biases)
        self._best = [parameter.detach().clone() for parameter in self.stack.parameters]

    def step(self, rate: Tensor, decay: Tensor) -> None:
        """Move all heads by their gradients; ``rate`` is (S, all settings), ``decay`` (1, all settings)."""
        self._optimizer.step(rate[:, self.selection], decay[:, self.selection])

    def keep_best(self, is_best: NDArray[Any]) -> None:
        """Remember the heads that are better than ever before; ``is_best`` is (S, all settings) bool."""
        chosen = torch.from_numpy(is_best[:, self.selection]).to(self._best[0].device)
        for best, parameter in zip(self._best, self.stack.parameters, strict=True):
            best[chosen] = parameter.detach()[chosen]

    def has(self, setting: int) -> bool:
        """Tell whether a setting of the sweep is one of these."""
        return setting in self._columns

    def best_head(self, seed: int, setting: int) -> Head:
        """Return the best head of one seed and setting of the sweep, on the CPU."""
        return self.stack.head(self._best, seed, self._columns.index(setting))

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs."""
        return {"parameters": self.stack.parameters, "best": self._best, "optimizer": self._optimizer.state()}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        own, saved = [*self.stack.parameters, *self._best], [*state["parameters"], *state["best"]]
        for tensor, value in zip(own, saved, strict=True):
            tensor.copy_(value)
        self._optimizer.restore(state["optimizer"])
