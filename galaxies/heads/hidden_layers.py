"""The hidden layers of a head, as they stand in params.yaml."""

from collections.abc import Sequence

from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
}

HiddenLayers = Sequence[int | str]
"""Widths, names of ACTIVATIONS and dropout, in order, as in ``(512, "relu", "dropout 0.5")``; empty: a linear probe."""


def make_hidden(element: int | str) -> nn.Module | None:
    """Return the module that an element of HiddenLayers names; None for a width, which is a Linear."""
    if isinstance(element, int):
        return None
    name, _, probability = element.partition(" ")
    return nn.Dropout(float(probability)) if name == "dropout" else ACTIVATIONS[element]()


def describe_hidden_problem(element: int | str) -> str | None:
    """Return what is allowed where an element of HiddenLayers is wrong, else None."""
    try:
        make_hidden(element)
        if not isinstance(element, int) or element >= 1:
            return None
    except (ValueError, KeyError):
        pass
    return f"allowed are widths of at least 1, {', '.join(ACTIVATIONS)}, and dropout with its probability, as in `dropout 0.5`"
