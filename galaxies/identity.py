"""What determines the numbers in a store: the parameters of extraction, the catalog, the weights. Nothing else may.

Light to import, so that training needs no backbone to know which features are the right ones.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from galaxies.data.catalog import Catalog
from galaxies.params import Limits

Identity = Mapping[str, Any]
"""Plain JSON values, by name."""

INPUT = "input"
"""The layer that holds the images, resized: the cut before which nothing is frozen."""

_WEIGHT_SUFFIXES = (".pth", ".pt", ".safetensors")


@dataclass(frozen=True)
class ExtractParams:
    """The section ``extract`` of params.yaml: everything that determines the activations."""

    backbone: str  # a torchvision classification model, or timm:<model>
    weights: str  # published weights' name, random, or a path
    weights_sha256: str | None  # of a file of weights; null otherwise
    seed: Annotated[int, Limits(0, 2**63 - 1)]  # of random weights
    layers: tuple[str, ...]  # a node, nodes joined by +, or input; one store each, all filled in one pass
    pool: Literal["avg", "cls", "map"]  # avg: mean over positions; cls: the class token; map: the activation as it is
    views: Literal[1, 8]  # images of each galaxy: itself, or the eight of D4
    image_size: Annotated[int, Limits(8, 4096)] | None  # px; null: the weights' own
    mean: tuple[float, ...] | None  # of each channel on the scale 0 to 1; null: the weights' own
    std: tuple[float, ...] | None  # as mean
    precision: Literal["float32", "bfloat16", "float16"]  # of the forward pass
    dtype: Literal["auto", "float32", "float16"]  # of the store; auto: features float32, maps float16
    version: int  # raised when the code changes the numbers

    def problems(self) -> Iterator[str]:
        """Yield what the types cannot say."""
        if not self.layers or len(set(self.layers)) != len(self.layers):
            yield f"layers: found {list(self.layers)}, allowed is a list of one or more different layers"
        for layer in self.layers:
            nodes = layer.split("+")
            if "/" in layer or not all(nodes) or (INPUT in nodes and layer != INPUT):
                yield f"layers: found {layer!r}, allowed are a node, nodes joined by + (layer3+layer4), and {INPUT}"
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and (len(values) != 3 or (name == "std" and min(values) <= 0)):
                yield f"{name}: found {list(values)}, allowed are three numbers{', above 0' if name == 'std' else ''}"
        if self.weights_sha256 is not None and not is_path(self.weights):
            yield f"weights_sha256: found a digest, but weights ({self.weights}) is no file; allowed is null"


def expected_identity(params: ExtractParams, layer: str, catalog: Catalog) -> dict[str, Any]:
    """Return the part of a store's identity that follows from parameters and catalog, without weights or pixels."""
    chosen = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(params).items()}
    # Which other layers are kept beside this one changes none of its numbers.
    del chosen["layers"]
    if layer == INPUT:
        # Resized images know no backbone; of its transform, they take the size and the interpolation (full_identity).
        chosen = {name: chosen[name] for name in ("image_size", "version")}
    return {"catalog": catalog.digest, "layer": layer, "params": chosen}


def full_identity(params: ExtractParams, layer: str, catalog: Catalog, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a store's whole identity: also the backbone's ``recipe``, the weights' digest and the transform as found."""
    if layer == INPUT:
        recipe = {"transform": {name: recipe["transform"][name] for name in ("image_size", "interpolation")}}
    return {**expected_identity(params, layer, catalog), **recipe}


def layer_nodes(layers: Iterable[str]) -> tuple[str, ...]:
    """Return the nodes of the graph that layers are made of, each once: (``layer2``, ``layer3``) of ``layer2+layer3``."""
    nodes = (node for layer in layers if layer != INPUT for node in layer.split("+"))
    return tuple(dict.fromkeys(nodes))


def identity_key(identity: Identity) -> str:
    """Return the hash that stands for an identity: 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def pass_key(identity: Identity) -> str:
    """Return the key that the layers of one forward pass share."""
    return identity_key({name: value for name, value in identity.items() if name != "layer"})


def is_path(weights: str) -> bool:
    """Tell whether ``extract.weights`` means a local file, not the name of published weights."""
    return "/" in weights or weights.endswith(_WEIGHT_SUFFIXES)
