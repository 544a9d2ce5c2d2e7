"""The tensors of a backbone: read from a local file that is never trusted, loaded strictly, known by their digest."""

import hashlib
import pickle
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from galaxies.errors import InputError

# Training scripts wrap the state dict they save under one of these keys.
_WRAPPERS = ("state_dict", "model", "model_state_dict")


def classifier_name(model: nn.Module) -> str | None:
    """Return the name of a model's classifier, its last Linear, which this project never uses; None without one."""
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    # timm's networks without a classifier, such as DINOv2, end in a Linear that belongs to a block; but timm says what is one.
    get_classifier: Callable[[], object] | None = getattr(model, "get_classifier", None)
    if get_classifier:
        classifier = get_classifier()
        return next((name for name, module in linear.items() if module is classifier), None)
    return list(linear)[-1] if linear else None


def file_state(path: Path) -> Mapping[str, Tensor]:
    """Return the state dict in a ``.safetensors`` or PyTorch file; code hidden in a pickle is refused, not run."""
    if not path.is_file():
        raise InputError(f"extract.weights: there is no file {path}; relative paths are relative to the repository.")
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, ValueError, LookupError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path} is not a file of plain tensors ({reason}). Expected is a state dict, saved as "
            "`torch.save(model.state_dict(), path)` or as safetensors; a pickled model is refused, since it can run code."
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} does not hold a state dict (names and tensors), but {type(state).__name__}.")
    return state


def load_before_classifier(model: nn.Module, state: Mapping[str, Tensor], *, used: Iterable[str], source: str) -> None:
    """Load ``state`` into ``model`` in place: strictly for the tensors in ``used``, and never into the classifier.

    Args:
        model: the backbone.
        state: names and tensors; a classifier of another size is no error, since it is not used.
        used: names of the tensors that stand before the deepest cut; all of them must be there, in the right shape.
        source: what to call the weights in an error.

    Raises:
        InputError: lists the missing, unexpected and wrongly shaped tensors.
    """
    own = model.state_dict()
    classifier = classifier_name(model)
    # `classifier.1` in one model, `fc` in another: the whole first component is the end of the network.
    ending = f"{classifier.split('.')[0]}." if classifier else None
    wanted = [name for name in used if not (classifier and name.startswith(f"{classifier}."))]
    missing = [name for name in wanted if name not in state]
    unexpected = [name for name in state if name not in own and not (ending and name.startswith(ending))]
    misshapen = [
        f"{name}: found {tuple(state[name].shape)}, expected {tuple(own[name].shape)}"
        for name in wanted
        if name in state and state[name].shape != own[name].shape
    ]
    complaints = [
        f"{len(names)} {kind}: {', '.join(names[:8])}{', …' if len(names) > 8 else ''}"
        for kind, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen))
        if names
    ]
    if complaints:
        raise InputError(
            f"{source} does not fit the backbone:\n  " + "\n  ".join(complaints) + "\nUse the extract.backbone that these "
            "weights were trained with."
        )
    model.load_state_dict({name: state[name] for name in wanted}, strict=False)


def tensors_sha256(state: Mapping[str, Tensor]) -> str:
    """Return the sha256 over the names, dtypes, shapes and bytes of tensors, whatever file they came in."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
