"""What determines the numbers in a store: the parameters of extraction, the catalog, the weights. Nothing else may."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from galaxies.backbones.presets import known_transform
from galaxies.backbones.spec import EMBEDDINGS, INPUT, BackboneSpec, ExtractParams, Transform
from galaxies.data.embeddings_origin import EmbeddingsOrigin
from galaxies.features.framing import Framing
from galaxies.files import hash_json

_NO_BACKBONE = BackboneSpec(name="none", weights="none")
"""That of the layer ``input``, whose images no network has seen, and of ``embeddings``; of it counts what makes the images."""

_NO_MEAN, _NO_STD = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
"""Resized images are not normalised."""

_INPUT_SPEC = ("image_size", "zoom", "interpolation", "bands")
_INPUT_TRANSFORM = ("image_size", "interpolation", "zoom", "channels", "places")


@dataclass(frozen=True)
class Identity:
    """What one store's numbers follow from.

    Weights digest and transform are found out by loading the backbone; the transform of a preset is known before. An identity
    without them says what a store should be as far as parameters and catalog tell.

    A later field, here or in the types of these, is left out of the JSON while it has its default: so keys live on.
    """

    catalog: str  # digest over the images, in the order of the rows; empty of a kept survey, which grows
    layer: str
    backbone: BackboneSpec
    pool: str = "avg"
    views: int = 1
    precision: str = "float32"
    dtype: str = "auto"
    version: int = 2
    weights_digest: str | None = None  # of the tensors before the classifier
    transform: Transform | None = None  # as used
    embeddings: EmbeddingsOrigin | None = None  # of the layer of this name
    framing: Framing | None = None  # of a kept survey: how its images were read

    @classmethod
    def expected(cls, params: ExtractParams, layer: str, catalog_digest: str) -> Self:
        """Return what follows from parameters and catalog; which other layers are kept changes none of its numbers."""
        if layer == EMBEDDINGS:
            return cls(catalog_digest, layer, _NO_BACKBONE)
        transform = known_transform(params.spec)
        if layer == INPUT:
            # Resized images know no backbone, and of its transform no mean and standard deviation.
            backbone = replace(_NO_BACKBONE, **{name: getattr(params, name) for name in _INPUT_SPEC})
            return cls(catalog_digest, layer, backbone, version=params.version, transform=_of_images(transform))
        chosen = {name: getattr(params, name) for name in _FIRST_PARAMS}
        return cls(catalog_digest, layer, params.spec, **chosen, transform=transform)

    def found(self, weights_digest: str, transform: Transform) -> Self:
        """Return the whole identity, with what loading the backbone has shown."""
        if self.layer == INPUT:
            return replace(self, transform=_of_images(transform))
        return replace(self, weights_digest=weights_digest, transform=transform)

    def kept(self, framing: Framing) -> Self:
        """Return the identity of a kept survey for heads of this one: no catalog, the first view, and how images are read."""
        return replace(self, catalog="", views=1, framing=framing)

    def answers(self, head: "Identity") -> list[str]:
        """Return a line for each field in which this, a survey's, is none that a head of the identity ``head`` can answer from.

        Which galaxies they are does not count, nor where equal weights came from; of views the first answers. How far framings
        may differ is for :meth:`Framing.require` to say.
        """
        wanted = replace(head, catalog="", views=self.views, framing=None)
        if self.weights_digest is not None and self.weights_digest == wanted.weights_digest:
            origin = {name: getattr(self.backbone, name) for name in ("weights", "weights_sha256", "seed")}
            wanted = replace(wanted, backbone=replace(wanted.backbone, **origin))
        return self.differences(wanted)

    @property
    def key(self) -> str:
        """The hash that stands for all of this: 64 hexadecimal digits."""
        return hash_json(self.to_json())

    @property
    def pass_key(self) -> str:
        """The key that the layers of one forward pass share."""
        return hash_json(self.pass_json())

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; a key is the hash of these."""
        backbone = {name: value for name, value in _values(self.backbone, _FIRST_SPEC) if name != "name"}
        params = backbone | {"backbone": self.backbone.name} | {name: getattr(self, name) for name in _FIRST_PARAMS}
        params = {name: params[name] for name in _FIRST_ORDER} | params
        transform = dict(_values(self.transform, _FIRST_TRANSFORM)) if self.transform else None
        if self.layer == INPUT:
            params = {name: params[name] for name in (*_INPUT_SPEC, "version") if name in params}
            transform = {name: transform[name] for name in _INPUT_TRANSFORM if name in transform} if transform else None
        origin = {"sha256": self.embeddings.sha256, "columns": list(self.embeddings.columns)} if self.embeddings else None
        params = {} if self.layer == EMBEDDINGS else params
        framing = self.framing.to_json() if self.framing else None
        found = {"weights_digest": self.weights_digest, "transform": transform, "embeddings": origin, "framing": framing}
        known = {name: value for name, value in found.items() if value is not None}
        catalog = {"catalog": self.catalog} if self.catalog else {}
        return {**catalog, "layer": self.layer, "params": params, **known}

    def pass_json(self) -> dict[str, Any]:
        """Return what the layers of one forward pass have in common."""
        return {name: value for name, value in self.to_json().items() if name != "layer"}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the identity that :meth:`to_json` wrote. Raises ValueError for anything else."""
        try:
            params = _tuples(values["params"])
            name = params.pop("backbone", _NO_BACKBONE.name)
            chosen = {each: params.pop(each) for each in _FIRST_PARAMS if each in params}
            is_bare = values["layer"] in (INPUT, EMBEDDINGS)
            spec = replace(_NO_BACKBONE, name=name, **params) if is_bare else BackboneSpec(name, **params)
            transform, origin, framing = (values.get(each) for each in ("transform", "embeddings", "framing"))
            identity = cls(
                values.get("catalog", ""),
                values["layer"],
                spec,
                **chosen,
                weights_digest=values.get("weights_digest"),
                transform=_read_transform(transform) if transform else None,
                embeddings=EmbeddingsOrigin(**_tuples(origin)) if origin else None,
                framing=Framing.from_json(framing) if framing else None,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no identity of a store: {error}") from error
        if identity.to_json() != json.loads(json.dumps(values)):
            raise ValueError("an identity of a store with fields that this program does not know")
        return identity

    def differences(self, expected: "Identity") -> list[str]:
        """Return a line for each field in which this, a store's, differs from what is wanted and known."""
        return list(_differences(self.to_json(), expected.to_json(), prefix=""))


_FIRST_PARAMS = ("pool", "views", "precision", "dtype", "version")
_FIRST_SPEC = ("name", "weights", "weights_sha256", "seed", "image_size", "mean", "std")
_FIRST_ORDER = ("backbone", *_FIRST_SPEC[1:4], "pool", "views", *_FIRST_SPEC[4:], "precision", "dtype", "version")
"""In the attributes of a store, so that equal identities are equal bytes there too; a key knows no order."""

_FIRST_TRANSFORM = ("image_size", "mean", "std", "interpolation")


def _values(value: BackboneSpec | Transform, always: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Yield the fields as JSON: those of the first version always, later ones where they are not at their default."""
    for each in fields(value):
        content = getattr(value, each.name)
        if each.name in always or content != each.default:
            yield each.name, list(content) if isinstance(content, tuple) else content


def _of_images(transform: Transform | None) -> Transform | None:
    return replace(transform, mean=_NO_MEAN, std=_NO_STD) if transform else None


def _read_transform(values: Mapping[str, Any]) -> Transform:
    """Return a transform; that of ``input`` says nothing of mean and standard deviation."""
    return Transform(**{"mean": _NO_MEAN, "std": _NO_STD, **_tuples(values)})


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with tuples for JSON's lists."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _differences(found: Mapping[str, Any], expected: Mapping[str, Any], *, prefix: str) -> Iterator[str]:
    for name, value in expected.items():
        other = found.get(name)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            yield from _differences(other, value, prefix=f"{prefix}{name}.")
        elif other != value:
            yield f"{prefix}{name}: the store has {other!r}, wanted is {value!r}"
