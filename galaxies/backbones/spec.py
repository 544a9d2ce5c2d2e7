"""Which backbone, and what is kept of it: the section ``extract`` of params.yaml, as typed values.

Light to import, so that training needs no backbone to know which features are the right ones.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Annotated, Literal

from galaxies.params import Limits

INPUT = "input"
"""The layer that holds the images, resized: the cut before which nothing is frozen."""

EMBEDDINGS = "embeddings"
"""The layer that holds other people's embeddings, as the source gave them: no network of ours has made them."""

RANDOM = "random"
"""Instead of published weights: drawn from a seed."""

MAX_CHANNELS = 8

TIMM_PREFIX = "timm:"
LOCAL_PREFIX = "timm:local-dir:"

NUM_VIEWS = 8
"""Images that the symmetries of the square (D4) make of one."""

_WEIGHT_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors")


@dataclass(frozen=True)
class Transform:
    """What the weights want to see."""

    image_size: int  # px
    mean: tuple[float, ...]  # of each channel, on the scale 0 to 1
    std: tuple[float, ...]
    interpolation: str  # a value of torchvision's InterpolationMode
    zoom: float = 1.0  # 1: the whole cutout (a galaxy's outskirts matter, so nothing is cropped); 1.2: its inner 1 / 1.2
    channels: int = 3  # that the network sees; 1: images of three channels are turned grey
    places: tuple[int, ...] | None = None  # of the channels among the bands of the file that they were taken from; None: all


@dataclass(frozen=True)
class BackboneSpec:
    """A network as it is asked for: its name, its weights, and where its images differ from what these want."""

    name: (
        str  # a preset, a classification model of torchvision, timm:<model>, timm:hf_hub:<user>/<name>, timm:local-dir:<folder>
    )
    weights: str = RANDOM  # published weights (DEFAULT, or a name of torchvision's), shipped ones, random, or a path
    weights_sha256: str | None = None  # of a file of weights, or any; only for a path
    seed: int = 0  # of random weights
    image_size: int | None = None  # px; None takes the weights' own, as with mean and std, which a path must give
    mean: tuple[float, ...] | None = None  # of each channel on the scale 0 to 1
    std: tuple[float, ...] | None = None
    zoom: float | None = None  # of the field; None takes the weights' own, as with interpolation
    interpolation: str | None = None
    adapt_weights: bool = False  # whether weights for images of another size, patches or channels are resampled
    bands: tuple[str, ...] | None = None  # which of the file's are the channels; None: all, as three channels


@dataclass(frozen=True)
class ExtractParams:
    """The section ``extract`` of params.yaml: everything that determines the activations."""

    backbone: str = "resnet18_half"  # a preset, a torchvision classification model, timm:<model>, or timm:local-dir:<folder>
    weights: str = "galaxies-v1"  # published weights' name, random, or a path
    weights_sha256: str | None = None  # of a file of weights; null otherwise
    seed: Annotated[int, Limits(0, 2**63 - 1)] = 0  # of random weights
    layers: tuple[str, ...] = ("layer3+layer4",)  # a node, nodes joined by +, or input; one store each, all filled in one pass
    pool: Literal["avg", "cls", "map"] = "avg"  # avg: mean over positions; cls: the class token; map: the activation as it is
    views: Literal[1, 8] = 1  # images of each galaxy: itself, or the eight of D4
    image_size: Annotated[int, Limits(8, 4096)] | None = None  # px; null: the weights' own
    mean: tuple[float, ...] | None = None  # of each channel on the scale 0 to 1; null: the weights' own
    std: tuple[float, ...] | None = None  # as mean
    zoom: Annotated[float, Limits(1, 16)] | None = None  # of the field, about its middle; null: the weights' own, or 1
    interpolation: Literal["nearest", "bilinear", "bicubic"] | None = None  # of the resize; null: the weights' own
    bands: tuple[str, ...] | None = None  # of galaxies.h5 that are the channels, in order, as in [z, r, g]; null: all of them
    adapt_weights: bool = False  # resample weights for images of another size, patches or channels; else they are refused
    precision: Literal["float32", "bfloat16", "float16"] = "float32"  # of the forward pass
    dtype: Literal["auto", "float32", "float16"] = "auto"  # of the store; auto: features float32, maps float16
    version: int = 2  # raised when the code changes the numbers

    @property
    def spec(self) -> BackboneSpec:
        """The network that is asked for."""
        chosen = {each.name: getattr(self, each.name) for each in fields(BackboneSpec) if each.name != "name"}
        return BackboneSpec(self.backbone, **chosen)

    def problems(self) -> Iterator[str]:
        """Yield what the types cannot say."""
        if not self.layers or len(set(self.layers)) != len(self.layers):
            yield f"layers: found {list(self.layers)}, allowed is a list of one or more different layers"
        for layer in self.layers:
            nodes = layer.split("+")
            if "/" in layer or not all(nodes) or ({INPUT, EMBEDDINGS} & set(nodes) and len(nodes) > 1):
                yield (
                    f"layers: found {layer!r}, allowed are a node, nodes joined by + (layer3+layer4), {INPUT} and {EMBEDDINGS}"
                )
        if self.bands is not None and not 1 <= len(self.bands) <= MAX_CHANNELS:
            yield f"bands: found {list(self.bands)}, allowed are 1 to {MAX_CHANNELS} names of bands of the file"
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and (not values or (name == "std" and min(values) <= 0)):
                above = ", above 0" if name == "std" else ""
                yield f"{name}: found {list(values)}, allowed is a number for each channel{above}"
        if self.weights_sha256 is not None and not is_path(self.weights) and not is_local_folder(self.backbone):
            yield f"weights_sha256: found a digest, but weights ({self.weights}) is no file; allowed is null"


def layer_nodes(layers: Iterable[str]) -> tuple[str, ...]:
    """Return the nodes of the graph that layers are made of, each once: (``layer2``, ``layer3``) of ``layer2+layer3``."""
    nodes = (node for layer in layers if layer != INPUT for node in layer.split("+"))
    return tuple(dict.fromkeys(nodes))


def is_local_folder(backbone: str) -> bool:
    """Tell whether ``extract.backbone`` means a local folder with a network in timm's format."""
    return backbone.startswith(LOCAL_PREFIX)


def is_path(weights: str) -> bool:
    """Tell whether ``extract.weights`` means a local file, not the name of published weights."""
    return "/" in weights or weights.endswith(_WEIGHT_SUFFIXES)
