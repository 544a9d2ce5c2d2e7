"""A head that is asked about stored activations, with or without its backbone.

Legend: C features.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import torch
from torch import Tensor

from galaxies.heads.class_meaning import ClassMeaning
from galaxies.heads.head import TrainedHead
from galaxies.prediction.model import Model, load_answering
from galaxies.prediction.predictions import predict_features
from galaxies.prediction.table import make_schema, tabulate_answers
from galaxies.prediction.told import make_told_schema, tabulate_told_answers, tell_features


@dataclass(frozen=True)
class AskedHead:
    """A head that answers from stored activations."""

    trained: TrainedHead
    digest: str  # sha256 of its file
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - it is immutable
    is_adapted: bool = False

    @cached_property
    def schema(self) -> pa.Schema:
        """Of the answers; its metadata says whose they are."""
        about = {
            "head_sha256": self.digest,
            "weights_digest": self.trained.identity.weights_digest,
            "adapted": self.is_adapted,
        }
        if not isinstance(self.trained.meaning, ClassMeaning):
            return make_told_schema(self.trained.meaning, about)
        return make_schema(self.trained.class_names, {**about, "class_names": self.trained.class_names})

    def tabulate(self, features: Tensor) -> dict[str, pa.Array]:
        """Return the columns, by name, that say what the head says of features (B, C), which are on its device."""
        if isinstance(self.trained.meaning, ClassMeaning):
            return tabulate_answers(predict_features(self.trained, features))
        return tabulate_told_answers(tell_features(self.trained, features))

    def standardised_by(self, mean: Tensor, std: Tensor) -> "AskedHead":
        """Return the head standardising features by another mean and deviation, (C,) (``adaptation``)."""
        return replace(self, trained=self.trained.standardised_by(mean, std), is_adapted=True)


def ask(path: str | Path, *, device: torch.device = torch.device("cpu")) -> AskedHead:  # noqa: B008 - it is immutable
    """Load a head, without its backbone. Raises InputError where there is none."""
    return AskedHead(*load_answering(path, device=device), device)


def ask_model(model: Model) -> AskedHead:
    """Return the head of a model."""
    return AskedHead(model.trained, model.digest, model.device)
