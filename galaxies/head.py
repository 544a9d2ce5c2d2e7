"""The fully connected head: standardised features in, logits out; and the one file that holds all one needs to use it.

Legend: B rows, C features, K classes.
"""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from galaxies.errors import InputError
from galaxies.files import replacing
from galaxies.framing import FieldOfView
from galaxies.novelty import Novelty

FORMAT = "galaxies-head"
FORMAT_VERSION = 2

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
}

_AGAIN = "`dvc repro --force train` makes a head."

HiddenLayers = Sequence[int | str]
"""Widths and names of ACTIVATIONS, in order, as in ``(512, "relu", 128, "relu")``; empty: a linear probe."""


class Head(nn.Module):
    """Standardise features, then apply hidden layers and a last Linear: (B, C) float32 -> logits (B, K)."""

    mean: Tensor  # (C,) of the train rows
    std: Tensor  # (C,)

    def __init__(self, num_features: int, num_classes: int, hidden_layers: HiddenLayers = ()) -> None:
        super().__init__()
        self.num_features, self.num_classes, self.hidden_layers = num_features, num_classes, tuple(hidden_layers)
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("std", torch.ones(num_features))
        layers: list[nn.Module] = []
        width = num_features
        for layer in hidden_layers:
            if isinstance(layer, int):
                layers.append(nn.Linear(width, layer))
                width = layer
            else:
                layers.append(ACTIVATIONS[layer]())
        self.layers = nn.Sequential(*layers, nn.Linear(width, num_classes))

    def standardise(self, features: Tensor) -> Tensor:
        """Return (B, C) features with the train rows' mean and standard deviation taken out."""
        return (features - self.mean) / self.std

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits (B, K) of raw features (B, C)."""
        logits: Tensor = self.layers(self.standardise(features))
        return logits


@dataclass(frozen=True)
class TrainedHead:
    """A head and what its numbers mean."""

    head: Head
    class_names: tuple[str, ...]  # of the K logits
    temperature: float  # divides the logits before softmax, so that probabilities are calibrated
    set_thresholds: tuple[float, ...]  # of the K classes: the probability at which each enters a prediction set
    recipe: Mapping[str, Any]  # identity of the store it was trained on: how to make its features again
    train_counts: tuple[int, ...] | None = None  # train galaxies in each of the K classes
    field: FieldOfView | None = None  # what the training images show
    novelty: Novelty | None = None  # where the training features lie

    @torch.inference_mode()
    def probabilities(self, features: Tensor) -> Tensor:
        """Return calibrated probabilities (B, K) float64 of raw features (B, C)."""
        self.head.eval()
        return torch.softmax(self.head(features).double() / self.temperature, dim=1)


def save_head(path: Path, trained: TrainedHead) -> None:
    """Write a head to one file that loads without running code."""
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "num_features": trained.head.num_features,
        "hidden_layers": list(trained.head.hidden_layers),
        "class_names": list(trained.class_names),
        "temperature": trained.temperature,
        "set_thresholds": list(trained.set_thresholds),
        "recipe": dict(trained.recipe),
        "train_counts": None if trained.train_counts is None else list(trained.train_counts),
        "field": None if trained.field is None else vars(trained.field),
        "novelty": None if trained.novelty is None else vars(trained.novelty),
        "state_dict": {name: tensor.cpu() for name, tensor in trained.head.state_dict().items()},
    }
    # Through an open file: given a path, torch writes its name, a temporary one here, into the archive's bytes.
    with replacing(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)


def load_head(path: Path) -> TrainedHead:
    """Read a head, for the CPU and in eval mode.

    Raises InputError for a file that is missing, damaged, not ours, of another version, or that hides code.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"There is no head {path}; {_AGAIN}") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, OSError) as error:
        raise InputError(f"{path} is damaged, or hides code, and is not loaded ({type(error).__name__}); {_AGAIN}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path} is not a head of this project; {_AGAIN}")
    version = content.get("format_version")
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path} has the format version {version}, this program reads {FORMAT_VERSION}; use the version of this project "
            "that wrote it, or train again."
        )
    try:
        head = Head(content["num_features"], len(content["class_names"]), content["hidden_layers"])
        head.load_state_dict(content["state_dict"])
        return TrainedHead(
            head.eval(),
            tuple(content["class_names"]),
            float(content["temperature"]),
            tuple(content["set_thresholds"]),
            content["recipe"],
            None if content["train_counts"] is None else tuple(content["train_counts"]),
            None if content["field"] is None else FieldOfView(**content["field"]),
            None if content["novelty"] is None else Novelty(**content["novelty"]),
        )
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: its parts do not fit together ({error}); {_AGAIN}") from error
