"""Many heads as one: their weights stand in common tensors, so one matrix product serves them all.

Legend: S seeds, G settings, B rows in a batch, C features, K classes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from galaxies.head import Head, HiddenLayers, make_layer


class HeadStack:
    """Heads of S seeds times G settings with the same layers; all settings of a seed start alike and see the same batches.

    Attributes:
        weights: of each Linear, (S, G, out, in).
        biases: of each Linear, (S, G, out).
    """

    def __init__(self, heads: Sequence[Head], num_settings: int) -> None:
        """Make a stack of copies of ``heads``, one a seed."""
        first = heads[0]
        self._architecture = (first.num_features, first.num_classes, first.hidden_layers)
        self._layers = [*(make_layer(layer) for layer in first.hidden_layers), None]  # None: a Linear
        linears = [[module for module in head.layers if isinstance(module, nn.Linear)] for head in heads]

        def stack(tensors: list[Tensor]) -> Tensor:
            seeds = torch.stack(tensors).detach()
            return seeds.unsqueeze(1).repeat_interleave(num_settings, dim=1).requires_grad_()

        self.weights = [stack([linear.weight for linear in same]) for same in zip(*linears, strict=True)]
        self.biases = [stack([linear.bias for linear in same]) for same in zip(*linears, strict=True)]

    @property
    def parameters(self) -> list[Tensor]:
        """All tensors that are trained."""
        return [*self.weights, *self.biases]

    def logits(self, features: Tensor, generators: Sequence[torch.Generator] = ()) -> Tensor:
        """Return the logits (S, G, B, K) of standardised features (S, B, C), or (1, B, C) that all seeds share.

        With ``generators``, one a seed, dropout is active. All settings of a seed drop the same units, so that each trains as
        it would alone.
        """
        num_seeds, num_settings = self.biases[0].shape[:2]
        hidden, linear = features, 0
        for layer in self._layers:
            if layer is None:
                weight, bias = self.weights[linear], self.biases[linear]
                linear += 1
                if linear == 1:
                    hidden = _first_product(hidden, weight, bias)
                else:
                    product = torch.baddbmm(
                        bias.flatten(0, 1).unsqueeze(1), hidden.flatten(0, 1), weight.flatten(0, 1).transpose(1, 2)
                    )
                    hidden = torch.unflatten(product, 0, (num_seeds, num_settings))
            elif isinstance(layer, nn.Dropout):
                hidden = _drop(hidden, layer.p, generators)
            else:
                hidden = layer(hidden)
        return hidden

    def head(self, parameters: Sequence[Tensor], seed: int, setting: int) -> Head:
        """Return one head of a stack whose tensors are ``parameters``, in the order of the property, on the CPU."""
        num_features, num_classes, hidden_layers = self._architecture
        head = Head(num_features, num_classes, hidden_layers)
        linears = [module for module in head.layers if isinstance(module, nn.Linear)]
        own = [*(linear.weight for linear in linears), *(linear.bias for linear in linears)]
        with torch.no_grad():
            for parameter, stacked in zip(own, parameters, strict=True):
                parameter.copy_(stacked[seed, setting])
        return head.eval()


def _first_product(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return (S, G, B, out) of features (S, B, C): one wide product for all settings of a seed."""
    num_seeds, num_settings = bias.shape[:2]
    if num_seeds == 1:
        # The backward pass of a batch of one product was measured 3.6 times slower than that of a plain one.
        product = functional.linear(features[0], weight.flatten(0, 2), bias.flatten()).unsqueeze(0)
    else:
        wide = weight.flatten(1, 2).transpose(1, 2)  # (S, C, G * out)
        product = torch.baddbmm(bias.flatten(1).unsqueeze(1), features.expand(num_seeds, -1, -1), wide)
    return torch.unflatten(product, 2, (num_settings, -1)).transpose(1, 2)


def make_heads(num_features: int, num_classes: int, hidden_layers: HiddenLayers, seeds: Sequence[int]) -> list[Head]:
    """Return a fresh head a seed, whatever the global generator does."""
    heads = []
    with torch.random.fork_rng(devices=[]):
        for seed in seeds:
            torch.manual_seed(seed)
            heads.append(Head(num_features, num_classes, hidden_layers))
    return heads


def _drop(hidden: Tensor, probability: float, generators: Sequence[torch.Generator]) -> Tensor:
    if not generators:
        return hidden
    shape = (hidden.shape[-2], hidden.shape[-1]) if hidden.ndim == 4 else hidden.shape[1:]
    drawn = torch.stack([torch.rand(shape, generator=generator, device=hidden.device) for generator in generators])
    keeps = (drawn >= probability) / (1 - probability)
    return hidden * (keeps.unsqueeze(1) if hidden.ndim == 4 else keeps)
