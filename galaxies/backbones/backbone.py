"""A pretrained network, frozen, with the transform its weights ask for, cut at nodes of its graph; and what follows a cut."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, fx, nn

from galaxies.backbones.architectures import build
from galaxies.backbones.ending import Ending
from galaxies.backbones.graph import Graph
from galaxies.backbones.presets import known_transform
from galaxies.backbones.spec import INPUT, LOCAL_PREFIX, RANDOM, BackboneSpec, Transform, is_local_folder, is_path, layer_nodes
from galaxies.backbones.weight_file import file_state
from galaxies.backbones.weights import before_classifier, fit_state, load_before_classifier, tensors_sha256
from galaxies.errors import InputError
from galaxies.files import file_sha256, require_digest


@dataclass(frozen=True)
class Backbone:
    """A frozen network: in evaluation mode, without gradients."""

    name: str
    module: nn.Module
    transform: Transform
    weights_digest: str  # of the tensors before the classifier


def load_backbone(spec: BackboneSpec, *, layers: Sequence[str], folder: Path = Path()) -> Backbone:
    """Build a network, give it its weights and freeze it.

    Args:
        spec: which network, with which weights.
        layers: layers up to which a file's weights must be whole; with ``input`` among them, all must be there.
        folder: what a relative path of weights, or of a local folder, is relative to.

    Raises:
        InputError: unknown name, weights or layer; a file that is missing, changed, unsafe or made for another network.
    """
    path = weights_file(spec, folder)
    module, transform = build(spec if path is None else replace(spec, weights=RANDOM), folder)
    module.eval().requires_grad_(False)
    if path is not None:
        if (spec.mean is None or spec.std is None) and not is_local_folder(spec.name) and known_transform(spec) is None:
            raise InputError(
                f"extract.mean and extract.std: found null, but a file of weights ({spec.weights}) does not say how its images "
                "were normalised; use e.g. `-S 'extract.mean=[0.485,0.456,0.406]' -S 'extract.std=[0.229,0.224,0.225]'`, "
                "ImageNet's usual ones."
            )
        _load_file(module, path, spec, layers)
    _forbid_inplace(module)
    state = module.state_dict()
    kept = {name: state[name] for name in before_classifier(module, state)}
    return Backbone(spec.name, module, transform, tensors_sha256(kept))


def weights_file(spec: BackboneSpec, folder: Path = Path()) -> Path | None:
    """Return the file that holds a backbone's weights, which need not be there; None of published, shipped or random ones.

    Raises InputError where a local folder in timm's format holds none, or several that may be meant.
    """
    if is_path(spec.weights):
        return folder / Path(spec.weights).expanduser()
    if not is_local_folder(spec.name) or spec.weights == RANDOM:
        return None
    path = folder / Path(spec.name.removeprefix(LOCAL_PREFIX)).expanduser()
    known = [path / name for name in ("model.safetensors", "pytorch_model.bin") if (path / name).is_file()]
    found = known[:1] or sorted(file for file in path.glob("*") if is_path(file.name) and file.is_file())
    if len(found) != 1 and path.is_dir():
        names = f"several files of weights: {', '.join(file.name for file in found)}" if found else "no file of weights"
        raise InputError(
            f"extract.backbone: {path} holds {names}, expected is model.safetensors; use `-S extract.weights=<its path>`."
        )
    return found[0] if found else path / "model.safetensors"


def cut(model: nn.Module, nodes: Sequence[str]) -> fx.GraphModule:
    """Return the part of ``model`` up to the deepest of ``nodes``; it maps images to a dict of node -> activation.

    The name of a module means the last node in it. Raises InputError for an unknown node, with the nearest names, and for one
    that does not separate the graph, with those that do.
    """
    return Graph(model).beginning_to(nodes)


def make_ending(spec: BackboneSpec, layer: str, *, folder: Path = Path()) -> Ending:
    """Return the ending of a backbone, with its weights.

    Args:
        spec: the backbone; a file of weights must be whole up to the classifier, wherever the cut is.
        layer: the cut.
        folder: what a relative path of weights is relative to.

    Raises:
        InputError: the layer cannot be a cut, or the weights are missing, incomplete or wrong.
    """
    backbone = load_backbone(spec, layers=(INPUT,), folder=folder)
    transform = backbone.transform
    # Enough to build it again, and to give it the tensors that a head file holds.
    built = BackboneSpec(spec.name, image_size=transform.image_size, mean=transform.mean, std=transform.std, bands=spec.bands)
    return Ending(Graph(backbone.module).ending_after(layer), built, layer).eval()


def rebuild_ending(spec: BackboneSpec, layer: str, state: Mapping[str, Tensor], *, folder: Path = Path()) -> Ending:
    """Return the ending that a head file holds as ``state``: the tensors of that of ``spec`` after ``layer``.

    A relative local folder of the network is one of ``folder``.

    Raises RuntimeError when they do not fit each other, InputError for an unknown backbone or layer.
    """
    ending = make_ending(spec, layer, folder=folder)
    ending.load_state_dict(dict(state))
    return ending


def _load_file(module: nn.Module, path: Path, spec: BackboneSpec, layers: Iterable[str]) -> None:
    state = file_state(path)
    require_digest(file_sha256(path), spec.weights_sha256, key="extract.weights_sha256", what=str(path))
    nodes = layer_nodes(layers)
    # Only the tensors before the deepest cut must be there; a cut at `input` trains them all.
    used = (cut(module, nodes) if nodes else module).state_dict()
    state = fit_state(module, state, used=used, adapt=spec.adapt_weights, source=str(path))
    load_before_classifier(module, state, used=used, source=str(path))


def _forbid_inplace(model: nn.Module) -> None:
    """Stop an in-place ReLU from overwriting the activation of the node before it, which may be one of the layers."""
    for module in model.modules():
        if hasattr(module, "inplace"):
            setattr(module, "inplace", False)  # noqa: B010 - a plain assignment is typed as one of a submodule
