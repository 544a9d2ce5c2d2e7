"""The fully connected head: standardised features in, outputs out; and the one file that holds all one needs to use it.

Legend: B rows, C features, K outputs, S seeds.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from galaxies.backbones.ending import Ending, make_features
from galaxies.backbones.spec import BackboneSpec
from galaxies.data.field_of_view import FieldOfView
from galaxies.errors import InputError
from galaxies.features.identity import Identity
from galaxies.files import replacing
from galaxies.heads.calibration import Calibration
from galaxies.heads.class_meaning import ClassMeaning
from galaxies.heads.hidden_layers import HiddenLayers, make_hidden
from galaxies.heads.meanings import Meaning, pack_meaning, unpack_meaning
from galaxies.heads.novelty import Novelty

FORMAT = "galaxies-head"
FORMAT_VERSION = 7

_AGAIN = "`dvc repro --force train` makes a head."


class Head(nn.Module):
    """Standardise features, then apply hidden layers and a last Linear: (B, C) float32 -> outputs (B, K), of classes logits."""

    mean: Tensor  # (C,) of the train rows
    std: Tensor  # (C,)

    def __init__(self, num_features: int, num_outputs: int, hidden_layers: HiddenLayers = ()) -> None:
        super().__init__()
        self.num_features, self.num_outputs, self.hidden_layers = num_features, num_outputs, tuple(hidden_layers)
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("std", torch.ones(num_features))
        modules: list[nn.Module] = []
        width = num_features
        for element in hidden_layers:
            modules.append(make_hidden(element) or nn.Linear(width, int(element)))
            width = element if isinstance(element, int) else width
        self.network = nn.Sequential(*modules, nn.Linear(width, num_outputs))

    def standardise(self, features: Tensor) -> Tensor:
        """Return (B, C) features with the train rows' mean and standard deviation taken out."""
        return (features - self.mean) / self.std

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits (B, K) of raw features (B, C)."""
        logits: Tensor = self.network(self.standardise(features))
        return logits


@dataclass(frozen=True)
class TrainedHead:
    """A head, the ending before it where that was kept, and what its numbers mean."""

    head: Head
    meaning: Meaning  # what its outputs mean, and what they are worth
    identity: Identity  # of the store it was trained on: how to make its activations again
    field: FieldOfView  # what the training images show
    novelty: Novelty  # where the training features lie
    ending: Ending | None  # from activations to features; None where activations are features
    others: tuple[TrainedHead, ...] = ()  # of the further seeds, in order

    @property
    def of_classes(self) -> ClassMeaning:
        """What the logits mean. Raises InputError when the head tells no classes."""
        if not isinstance(self.meaning, ClassMeaning):
            raise InputError(
                f"This head tells {self.meaning.KIND} ({', '.join(self.meaning.names)}), and a head for classes is needed; "
                "train one: `dvc exp run -S train.target=class`."
            )
        return self.meaning

    @property
    def calibration(self) -> Calibration:
        """What the logits of a head for classes are worth."""
        return self.of_classes.calibration

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the K logits of a head for classes."""
        return self.of_classes.class_names

    @property
    def train_counts(self) -> tuple[int, ...]:
        """Train galaxies in each of the K classes of a head for classes."""
        return self.of_classes.train_counts

    @property
    def bands(self) -> tuple[str, ...]:
        """The names of the channels that its images have, in order."""
        return self.identity.backbone.bands or self.field.channels.bands

    @torch.inference_mode()
    def features(self, activations: Tensor) -> Tensor:
        """Return the features (B, C) float32 of one view's activations as the store gives them.

        Those are features, or, for a kept ending, maps (B, C, H, W), tokens (B, T, C) or images (B, 3, s, s) uint8.
        """
        return make_features(self.ending, activations)

    @torch.inference_mode()
    def outputs(self, activations: Tensor) -> Tensor:
        """Return the outputs (B, K), of classes logits, of what :meth:`features` takes."""
        outputs: Tensor = self.head.eval()(self.features(activations))
        return outputs

    @torch.inference_mode()
    def classify(self, features: Tensor) -> Tensor:
        """Return calibrated probabilities (B, K) float64 of features (B, C)."""
        return self.calibration.probabilities(self.head.eval()(features))

    def probabilities(self, activations: Tensor) -> Tensor:
        """Return calibrated probabilities (B, K) float64 of what :meth:`features` takes."""
        return self.classify(self.features(activations))

    def standardised_by(self, mean: Tensor, std: Tensor) -> TrainedHead:
        """Return a copy, without the heads of other seeds, that standardises features by another mean and std, (C,)."""
        head = copy.deepcopy(self.head)
        head.mean.copy_(mean)
        head.std.copy_(std)
        return replace(self, head=head, novelty=replace(self.novelty, mean=mean.double(), std=std.double()), others=())

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
        "hidden_layers": list(trained.head.hidden_layers),
        "meanings": [pack_meaning(member.meaning) for member in members],
        "identity": trained.identity.to_json(),
        "field": trained.field.to_json(),
        "novelty": vars(trained.novelty),
        "state_dict": {name: torch.stack([state[name].cpu() for state in states]) for name in states[0]},  # (S, ...)
        "ending": {"spec": vars(ending.spec), "layer": ending.layer, "state_dict": _on_cpu(ending)} if ending else None,
    }
    # Through an open file: given a path, torch writes its name, a temporary one here, into the archive's bytes.
    with replacing(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)


def load_head(path: Path, *, folder: Path | None = None) -> TrainedHead:
    """Read a head, for the CPU and in eval mode.

    Args:
        path: of the file.
        folder: of what the local folder is one that a kept ending's network may stand in; None: the repository of ``path``.
            In DVC's temporary copies what Git does not track is in the main repository alone.

    Raises InputError for a file that is missing, damaged, not ours, of another version, or that hides code.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"There is no head {path.resolve()}; {_AGAIN}") from None
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
        return _unpack(content, path.resolve().parent.parent if folder is None else folder)
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: its parts do not fit together ({error}); {_AGAIN}") from error


def _unpack(content: Mapping[str, Any], folder: Path) -> TrainedHead:
    states = content["state_dict"]
    members = []
    for seed, packed in enumerate(content["meanings"]):
        meaning = unpack_meaning(packed)
        head = Head(states["mean"].shape[1], meaning.num_outputs, content["hidden_layers"])
        head.load_state_dict({name: stacked[seed] for name, stacked in states.items()})
        members.append((head.eval(), meaning))
    first = TrainedHead(
        *members[0],
        Identity.from_json(content["identity"]),
        FieldOfView.from_json(content["field"]),
        Novelty(**content["novelty"]),
        _load_ending(content["ending"], folder),
    )
    others = (replace(first, head=head, meaning=meaning) for head, meaning in members[1:])
    return replace(first, others=tuple(others))


def _load_ending(saved: Mapping[str, Any] | None, folder: Path) -> Ending | None:
    if saved is None:
        return None
    # The code of the backbones takes seconds to import, and most heads do without.
    from galaxies.backbones.backbone import rebuild_ending

    return rebuild_ending(BackboneSpec(**saved["spec"]), saved["layer"], saved["state_dict"], folder=folder)


def _on_cpu(module: nn.Module) -> dict[str, Tensor]:
    # Cloned, since a view would be saved with all the memory it looks at.
    return {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}
