"""How a head is trained: the section ``train`` of params.yaml, and which combinations with ``extract`` make sense."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from galaxies.backbones.spec import INPUT, ExtractParams
from galaxies.errors import InputError
from galaxies.heads.head import HiddenLayers, describe_layer_problem
from galaxies.params import Limits

LearningRate = Annotated[float, Limits(1e-10, 1e3)]
WeightDecay = Annotated[float, Limits(0.0, 1e3)]
LabelSmoothing = Annotated[float, Limits(0.0, 0.99)]


@dataclass(frozen=True)
class SweepParams:
    """Values to try, every combination of them; an empty list is the one value of ``train``."""

    learning_rate: tuple[LearningRate, ...] = ()
    weight_decay: tuple[WeightDecay, ...] = ()
    label_smoothing: tuple[LabelSmoothing, ...] = ()
    hidden_layers: tuple[tuple[int | str, ...], ...] = ()


@dataclass(frozen=True)
class TrainParams:
    """The section ``train`` of params.yaml."""

    layer: str = "layer3+layer4"  # one of extract.layers
    ending: Literal["drop", "keep"] = "drop"  # the backbone's blocks after the layer; kept, they train with the head
    ending_lr_factor: Annotated[float, Limits(0.0, 1e3)] = 0.1  # of the learning rate, for the ending
    ending_batch_norm: Literal["frozen", "trained"] = "frozen"  # statistics and parameters of the ending's BatchNorm
    hidden_layers: tuple[int | str, ...] = ()  # widths, names of activations, and `dropout 0.5`; empty: a linear probe
    optimizer: Literal["adamw", "sgd"] = "adamw"  # sgd has Nesterov momentum 0.9
    learning_rate: LearningRate = 0.001
    schedule: Literal["plateau", "cosine"] = "plateau"
    warmup_epochs: Annotated[int, Limits(0, 100_000)] = 0  # in which the learning rate rises from 0
    decrease_on_plateau: Annotated[float, Limits(0.0, 1.0)] = 0.5  # factor of the learning rate; 1: never
    patience: Annotated[int, Limits(0, 10_000)] = 3  # epochs without a lower validation loss before the decrease
    early_stopping: Annotated[int, Limits(1, 100_000)] | None = None  # epochs without a lower validation loss before the end
    weight_decay: WeightDecay = 1.0  # adamw: each step shrinks weights by learning_rate * weight_decay
    label_smoothing: LabelSmoothing = 0.0  # share of each target that is spread over all classes
    augment: Literal["none", "d4"] = "none"  # d4: each epoch sees one of the eight views of a galaxy, drawn by chance
    precision: Literal["float32", "bfloat16"] = "float32"  # bfloat16 by autocast, for a GPU
    num_epochs: Annotated[int, Limits(1, 100_000)] = 60
    batch_size: Annotated[int, Limits(1, 1_000_000)] = 256
    class_weight: Literal["none", "balanced"] = "none"  # balanced: every class weighs the same in the loss
    seed: Annotated[int, Limits(0, 2**63 - 1)] = 0
    num_seeds: Annotated[int, Limits(1, 100)] = 1  # heads of the seeds `seed`, `seed` + 1, …, trained together
    start_from: str | None = None  # path of another head to start from
    start_from_sha256: str | None = None  # of that file
    sweep: SweepParams = SweepParams()

    def problems(self) -> Iterator[str]:
        """Yield what the types cannot say."""
        yield from _layer_problems("hidden_layers", self.hidden_layers)
        for hidden_layers in self.sweep.hidden_layers:
            yield from _layer_problems("sweep.hidden_layers", hidden_layers)
        rates = self.sweep.learning_rate or (self.learning_rate,)
        decays = self.sweep.weight_decay or (self.weight_decay,)
        if self.optimizer == "adamw" and max(rates) * max(decays) >= 1:
            yield (
                f"weight_decay: found {max(decays):g}, which with learning_rate {max(rates):g} wipes the weights out in every "
                f"step of adamw; allowed is less than {1 / max(rates):g}"
            )
        if self.start_from is None and self.start_from_sha256 is not None:
            yield "start_from_sha256: found a digest, but start_from names no head; allowed is null"
        if self.ending == "keep" and (self.num_seeds > 1 or any(vars(self.sweep).values())):
            yield (
                "ending: found keep, with num_seeds or sweep; only heads on fixed activations train together. Queue the runs, "
                "as with `dvc exp run --queue -S train.learning_rate=1e-3,1e-4`"
            )
        if self.ending == "drop" and self.layer == INPUT:
            yield "ending: found drop, but at layer input there are no features yet; use `-S train.ending=keep`"


def _layer_problems(key: str, hidden_layers: HiddenLayers) -> Iterator[str]:
    for element in hidden_layers:
        if problem := describe_layer_problem(element):
            yield f"{key}: found {element!r}, {problem}"


def require_trainable(train: TrainParams, extract: ExtractParams) -> None:
    """Raise InputError, which says what to change, where the activations are not what the training needs."""
    if train.layer not in extract.layers:
        raise InputError(
            f"train.layer: found {train.layer!r}, but extract.layers are {', '.join(extract.layers)}; use "
            f"`-S 'extract.layers=[{train.layer}]'`, or one of these."
        )
    has_maps = train.layer == INPUT or (extract.pool == "map" and "+" not in train.layer)
    if train.ending == "drop" and has_maps:
        raise InputError(
            f"train.ending: found drop, but {train.layer} is kept as maps, and a head without ending reads pooled features; "
            "use `-S extract.pool=avg`, or `-S train.ending=keep`."
        )
    if train.ending == "keep" and "+" in train.layer:
        raise InputError(
            f"train.ending: found keep, but {train.layer} joins several nodes, and an ending comes after one; use "
            "`-S train.ending=drop`, or one of the nodes."
        )
    if train.ending == "keep" and not has_maps:
        raise InputError(
            f"train.ending: found keep, but {train.layer} is kept as pooled features, and an ending needs the whole maps; use "
            "`-S extract.pool=map`, or `-S train.ending=drop`."
        )
    if train.augment == "d4" and train.layer != INPUT and extract.views == 1:
        raise InputError(
            f"train.augment: found d4, but {train.layer} holds one view of each galaxy; use `-S extract.views=8`, or "
            "`-S train.augment=none`. (At layer input the views are made while training.)"
        )
