"""How a head is trained: the section ``train`` of params.yaml, and which combinations with ``extract`` make sense."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, ClassVar, Literal

from galaxies.backbones.spec import EMBEDDINGS, INPUT, ExtractParams
from galaxies.data.scales import Scale
from galaxies.errors import InputError
from galaxies.heads.head import TrainedHead
from galaxies.heads.hidden_layers import describe_hidden_problem
from galaxies.heads.target_params import Target, find_target_problems
from galaxies.params import Limits

LearningRate = Annotated[float, Limits(1e-10, 1e3)]
WeightDecay = Annotated[float, Limits(0.0, 1e3)]
LabelSmoothing = Annotated[float, Limits(0.0, 0.99)]


@dataclass(frozen=True)
class Setting:
    """What may differ between heads that train together."""

    learning_rate: float
    weight_decay: float
    label_smoothing: float


@dataclass(frozen=True)
class SweepParams:
    """Values to try, every combination of them; an empty list is the one value of ``train``."""

    learning_rate: tuple[LearningRate, ...] = ()
    weight_decay: tuple[WeightDecay, ...] = ()
    label_smoothing: tuple[LabelSmoothing, ...] = ()

    REPLACED: ClassVar = {
        "hidden_layers": "heads that train together have the same layers; queue the runs, as with "
        "`dvc exp run --queue -S 'train.hidden_layers=[],[512,relu]'`"
    }


@dataclass(frozen=True)
class TrainParams:
    """The section ``train`` of params.yaml."""

    layer: str = "layer3+layer4"  # one of extract.layers
    target: Target = "class"  # what the head learns; all but the class stand in split.targets
    columns: tuple[str, ...] = ()  # of split.targets, with numbers or tags; of votes some of the questions, empty: all
    questions: str | None = None  # of votes: a built-in tree, or the path of a YAML file
    questions_sha256: str | None = None  # of that file
    vote_columns: Literal["auto", "counts", "fractions", "debiased"] = "auto"  # auto: the first that are there, in this order
    vote_loss: Literal["dirichlet_multinomial", "cross_entropy"] = "dirichlet_multinomial"  # cross_entropy: of fractions
    number_loss: Literal["gaussian", "quantiles"] = "gaussian"  # gaussian: value and width; quantiles: 5, 50 and 95 %
    scales: tuple[Scale, ...] = ()  # of each number; empty: all linear
    units: tuple[str, ...] = ()  # of each number, as people write them; empty: none
    error_columns: tuple[str, ...] = ()  # with the standard deviation of each number, or "" where none is; empty: none is known
    ending: Literal["drop", "keep"] = "drop"  # the backbone's blocks after the layer; kept, they train with the head
    ending_lr_factor: Annotated[float, Limits(0.0, 1e3)] = 0.1  # of the learning rate, for the ending
    ending_batch_norm: Literal["frozen", "trained"] = "frozen"  # statistics and parameters of the ending's BatchNorm
    hidden_layers: tuple[int | str, ...] = ()  # widths, names of activations, and `dropout 0.5`; empty: a linear probe
    optimizer: Literal["adamw", "sgd", "lbfgs"] = "adamw"  # sgd has Nesterov momentum 0.9; lbfgs: all rows are one batch
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

    @property
    def seeds(self) -> range:
        """The seeds of the heads that train together."""
        return range(self.seed, self.seed + self.num_seeds)

    @property
    def settings(self) -> tuple[Setting, ...]:
        """Every combination of the values in ``sweep``; without any, the one setting of this section."""
        return tuple(
            Setting(*values)
            for values in product(
                self.sweep.learning_rate or (self.learning_rate,),
                self.sweep.weight_decay or (self.weight_decay,),
                self.sweep.label_smoothing or (self.label_smoothing,),
            )
        )

    def problems(self) -> Iterator[str]:
        """Yield what the types cannot say."""
        for element in self.hidden_layers:
            if problem := describe_hidden_problem(element):
                yield f"hidden_layers: found {element!r}, {problem}"
        rate, decay = (max(getattr(setting, name) for setting in self.settings) for name in ("learning_rate", "weight_decay"))
        if self.optimizer == "adamw" and rate * decay >= 1:
            yield (
                f"weight_decay: found {decay:g}, which with learning_rate {rate:g} wipes the weights out in every step of "
                f"adamw; allowed is less than {1 / rate:g}"
            )
        smoothing = max(setting.label_smoothing for setting in self.settings)
        yield from find_target_problems({**vars(self), "label_smoothing": smoothing})
        yield from self._find_problems_of_lbfgs()
        if self.start_from is None and self.start_from_sha256 is not None:
            yield "start_from_sha256: found a digest, but start_from names no head; allowed is null"
        if self.ending == "keep" and (self.num_seeds > 1 or len(self.settings) > 1):
            yield (
                "ending: found keep, with num_seeds or sweep; only heads on fixed activations train together. Queue the runs, "
                "as with `dvc exp run --queue -S train.learning_rate=1e-3,1e-4`"
            )
        if self.ending == "drop" and self.layer == INPUT:
            yield "ending: found drop, but at layer input there are no features yet; use `-S train.ending=keep`"

    def _find_problems_of_lbfgs(self) -> Iterator[str]:
        """Yield what a descent on all rows at once cannot do."""
        if self.optimizer != "lbfgs":
            return
        for name in ("learning_rate", "label_smoothing"):
            if getattr(self.sweep, name):
                yield f"sweep.{name}: found values, but optimizer is lbfgs, which tries weight_decay alone; allowed is []"
        if self.ending == "keep":
            yield "optimizer: found lbfgs, but an ending is kept, and learns from batches; allowed is adamw | sgd"
        if any(str(element).startswith("dropout") for element in self.hidden_layers):
            yield "optimizer: found lbfgs, but with dropout a loss is never twice the same; allowed is adamw | sgd"


def require_trainable(train: TrainParams, extract: ExtractParams) -> None:
    """Raise InputError, which says what to change, where the activations are not what the training needs."""
    for problem in _find_contradictions(train, extract):
        raise InputError(f"train.{problem}")


def _find_contradictions(train: TrainParams, extract: ExtractParams) -> Iterator[str]:
    layer, keeps = train.layer, train.ending == "keep"
    if layer not in extract.layers:
        yield (
            f"layer: found {layer!r}, but extract.layers are {', '.join(extract.layers)}; use "
            f"`-S 'extract.layers=[{layer}]'`, or one of these."
        )
    if layer == EMBEDDINGS and (keeps or train.augment == "d4"):
        yield (
            f"layer: found {layer}, which are features of one view that no network of ours has made; use "
            "`-S train.ending=drop -S train.augment=none`."
        )
    has_maps = layer == INPUT or (extract.pool == "map" and "+" not in layer and layer != EMBEDDINGS)
    if not keeps and has_maps:
        yield (
            f"ending: found drop, but {layer} is kept as maps, and a head without ending reads pooled features; use "
            "`-S extract.pool=avg`, or `-S train.ending=keep`."
        )
    if keeps and "+" in layer:
        yield (
            f"ending: found keep, but {layer} joins several nodes, and an ending comes after one; use `-S train.ending=drop`, "
            "or one of the nodes."
        )
    if keeps and not has_maps:
        yield (
            f"ending: found keep, but {layer} is kept as pooled features, and an ending needs the whole maps; use "
            "`-S extract.pool=map`, or `-S train.ending=drop`."
        )
    if train.augment == "d4" and layer != INPUT and extract.views == 1:
        yield (
            f"augment: found d4, but {layer} holds one view of each galaxy; use `-S extract.views=8`, or "
            "`-S train.augment=none`. (At layer input the views are made while training.)"
        )


def require_start(start: TrainedHead, train: TrainParams, backbone: str, names: Sequence[str]) -> None:
    """Raise InputError, which names each difference, unless ``start`` is a head that these parameters could have made."""
    trained_on = start.ending.spec if start.ending else start.identity.backbone
    pairs = {
        "extract.backbone": (trained_on.name, backbone),
        "train.layer": (start.identity.layer, train.layer),
        "train.ending": ("keep" if start.ending else "drop", train.ending),
        "train.hidden_layers": (list(start.head.hidden_layers), list(train.hidden_layers)),
        "train.target": (start.meaning.KIND, train.target),
        "what it tells": (list(start.meaning.names), list(names)),
    }
    differences = [
        f"  {name}: it has {found}, wanted is {wanted}" for name, (found, wanted) in pairs.items() if found != wanted
    ]
    if differences:
        listing = "\n".join(differences)
        raise InputError(f"train.start_from: {train.start_from} is a head of another kind:\n{listing}")
