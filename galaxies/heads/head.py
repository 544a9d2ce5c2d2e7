"""The fully connected head: standardised features in, logits out; and the one file that holds all one needs to use it.

Legend: B rows, C features, K classes, S seeds.
"""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from galaxies.backbones.spec import BackboneSpec
from galaxies.data.field_of_view import FieldOfView
from galaxies.errors import InputError
from galaxies.features.identity import Identity
from galaxies.files import replacing
from galaxies.heads.novelty import Novelty

if TYPE_CHECKING:
    from galaxies.backbones.ending import Ending

FORMAT = "galaxies-head"
FORMAT_VERSION = 5

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
"""Widths, names of ACTIVATIONS and dropout, in order, as in ``(512, "relu", "dropout 0.5")``; empty: a linear probe."""


def make_layer(layer: int | str) -> nn.Module | None:
    """Return the module that an element of HiddenLayers names; None for a width, which is a Linear."""
    if isinstance(layer, int):
        return None
    name, _, probability = layer.partition(" ")
    return nn.Dropout(float(probability)) if name == "dropout" else ACTIVATIONS[layer]()


def describe_layer_problem(layer: int | str) -> str | None:
    """Return what is allowed where an element of HiddenLayers is wrong, else None."""
    try:
        make_layer(layer)
        if not isinstance(layer, int) or layer >= 1:
            return None
    except (ValueError, KeyError):
        pass
    return f"allowed are widths of at least 1, {', '.join(ACTIVATIONS)}, and dropout with its probability, as in `dropout 0.5`"


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
            layers.append(make_layer(layer) or nn.Linear(width, int(layer)))
            width = layer if isinstance(layer, int) else width
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
    """A head, the ending before it where that was kept, and what its numbers mean."""

    head: Head
    class_names: tuple[str, ...]  # of the K logits
    temperature: float  # divides the logits before softmax, so that probabilities are calibrated
    set_thresholds: tuple[float, ...]  # of the K classes: the probability at which each enters a prediction set
    identity: Identity  # of the store it was trained on: how to make its activations again
    train_counts: tuple[int, ...] | None = None  # train galaxies in each of the K classes
    field: FieldOfView | None = None  # what the training images show
    novelty: Novelty | None = None  # where the training features lie
    ending: Ending | None = None  # from activations to features; None where activations are features
    confidence_threshold: float = math.inf  # below it the head should abstain (calibration.fit_confidence_threshold)
    others: tuple[TrainedHead, ...] = ()  # of the further seeds, in order

    @torch.inference_mode()
    def features(self, activations: Tensor) -> Tensor:
        """Return the features (B, C) float32 of one view's activations as the store gives them.

        Those are features, or, for a kept ending, maps (B, C, H, W), tokens (B, T, C) or images (B, 3, s, s) uint8.
        """
        return self.ending.eval()(activations) if self.ending else activations.float()

    @torch.inference_mode()
    def logits(self, activations: Tensor) -> Tensor:
        """Return the logits (B, K) of what :meth:`features` takes."""
        logits: Tensor = self.head.eval()(self.features(activations))
        return logits

    @torch.inference_mode()
    def classify(self, features: Tensor) -> Tensor:
        """Return calibrated probabilities (B, K) float64 of features (B, C)."""
        return torch.softmax(self.head.eval()(features).double() / self.temperature, dim=1)

    def probabilities(self, activations: Tensor) -> Tensor:
        """Return calibrated probabilities (B, K) float64 of what :meth:`features` takes."""
        return self.classify(self.features(activations))

    def standardised_by(self, mean: Tensor, std: Tensor) -> TrainedHead:
        """Return a copy, without the heads of other seeds, that standardises features by another mean and std, (C,)."""
        head = copy.deepcopy(self.head)
        head.mean.copy_(mean)
        head.std.copy_(std)
        novelty = replace(self.novelty, mean=mean.double(), std=std.double()) if self.novelty else None
        return replace(self, head=head, novelty=novelty, others=())

    def to(self, device: torch.device) -> TrainedHead:
        """Move this head to a device, and return it."""
        for module in (self.head, self.ending):
            if module is not None:
                module.to(device)
        return self


def save_head(path: Path, trained: TrainedHead) -> None:
    """Write a head, with those of the other seeds, to one file that loads without running code."""
    members = (trained, *trained.others)
    states = [member.head.state_dict() for member in members]
    ending = trained.ending
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "num_features": trained.head.num_features,
        "hidden_layers": list(trained.head.hidden_layers),
        "class_names": list(trained.class_names),
        "temperatures": [member.temperature for member in members],
        "set_thresholds": [list(member.set_thresholds) for member in members],
        "confidence_thresholds": [member.confidence_threshold for member in members],
        "identity": trained.identity.to_json(),
        "train_counts": None if trained.train_counts is None else list(trained.train_counts),
        "field": None if trained.field is None else vars(trained.field),
        "novelty": None if trained.novelty is None else vars(trained.novelty),
        "state_dict": {name: torch.stack([state[name].cpu() for state in states]) for name in states[0]},  # (S, ...)
        "ending": {"spec": vars(ending.spec), "layer": ending.layer, "state_dict": _on_cpu(ending)} if ending else None,
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
        ending = _load_ending(content["ending"])
        first, *others = (_load_member(content, seed, ending) for seed in range(len(content["temperatures"])))
        return replace(first, others=tuple(others))
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: its parts do not fit together ({error}); {_AGAIN}") from error


def _load_member(content: Mapping[str, Any], seed: int, ending: Ending | None) -> TrainedHead:
    names = tuple(content["class_names"])
    head = Head(content["num_features"], len(names), content["hidden_layers"])
    head.load_state_dict({name: stacked[seed] for name, stacked in content["state_dict"].items()})
    temperature, thresholds = float(content["temperatures"][seed]), tuple(content["set_thresholds"][seed])
    return TrainedHead(
        head.eval(),
        names,
        temperature,
        thresholds,
        Identity.from_json(content["identity"]),
        None if content["train_counts"] is None else tuple(content["train_counts"]),
        None if content["field"] is None else FieldOfView(**content["field"]),
        None if content["novelty"] is None else Novelty(**content["novelty"]),
        ending,
        float(content["confidence_thresholds"][seed]),
    )


def _load_ending(saved: Mapping[str, Any] | None) -> Ending | None:
    if saved is None:
        return None
    # The code of the backbones takes seconds to import, and most heads do without.
    from galaxies.backbones.ending import rebuild_ending

    return rebuild_ending(BackboneSpec(**saved["spec"]), saved["layer"], saved["state_dict"])


def _on_cpu(module: nn.Module) -> dict[str, Tensor]:
    # Cloned, since a view would be saved with all the memory it looks at.
    return {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}
