"""The tensors of a backbone: fitted to its names and shapes, loaded strictly, known by their digest."""

import hashlib
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from galaxies.backbones.weight_file import name_as
from galaxies.errors import InputError


def is_timm(module: nn.Module) -> bool:
    """Tell whether a network is one of timm's."""
    return type(module).__module__.startswith("timm.")


def classifier_name(model: nn.Module) -> str | None:
    """Return the name of a model's classifier, its last Linear, which this project never uses; None without one."""
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    # timm's networks without a classifier, such as DINOv2, end in a Linear that belongs to a block; but timm says what is one.
    get_classifier: Callable[[], object] | None = getattr(model, "get_classifier", None)
    if get_classifier:
        classifier = get_classifier()
        return next((name for name, module in linear.items() if module is classifier), None)
    return list(linear)[-1] if linear else None


def before_classifier(model: nn.Module, names: Iterable[str]) -> list[str]:
    """Return the names of tensors that are not the classifier's."""
    classifier = classifier_name(model)
    return [name for name in names if not (classifier and name.startswith(f"{classifier}."))]


def fit_state(
    model: nn.Module, state: Mapping[str, Tensor], *, used: Collection[str], adapt: bool, source: str
) -> Mapping[str, Tensor]:
    """Return the tensors of a file as a model names and shapes them.

    timm's networks come with a function that knows the names in their authors' own files, and that resamples the position
    embedding and the patches of a ViT.

    Args:
        model: the backbone.
        state: names and tensors as they stand in the file.
        used: names of the tensors that matter.
        adapt: whether tensors for images of another size, patch size or number of channels may be changed to fit.
        source: what to call the weights in messages.

    Raises:
        InputError: they would have to be changed, and ``adapt`` is False; there are several networks in the file.
    """
    own = model.state_dict()
    named = name_as(state, before_classifier(model, used), partial(_convert, model), source=source)
    if named.is_resampled and not adapt:
        raise InputError(needs_adapting(source, "images or patches of another size", named.found, own))
    stem = next((f"{name}.weight" for name, part in model.named_modules() if isinstance(part, nn.Conv2d)), "")
    if stem not in named.state:
        return named.state
    found, wanted = list(named.state[stem].shape), list(own[stem].shape)
    if found[1:2] == wanted[1:2] or found[:1] + found[2:] != wanted[:1] + wanted[2:]:
        return named.state
    if not adapt:
        what = f"images of {found[1]} channels, and these have {wanted[1]}"
        raise InputError(needs_adapting(source, what, {stem: named.state[stem]}, own))
    return {**named.state, stem: adapt_channels(named.state[stem], wanted[1])}


def set_channels(model: nn.Module, num_channels: int) -> int | None:
    """Give a model a first convolution for images of so many channels, in place; return how many it took, None for as many.

    Its tensors are those of before, repeated and scaled, or added up for one channel.
    """
    conv = next((part for part in model.modules() if isinstance(part, nn.Conv2d)), None)
    if conv is None or conv.in_channels == num_channels:
        return None
    found, conv.in_channels = conv.in_channels, num_channels
    conv.weight = nn.Parameter(adapt_channels(conv.weight.detach(), num_channels), requires_grad=conv.weight.requires_grad)
    return found


def adapt_channels(weight: Tensor, num_channels: int) -> Tensor:
    """Return a first convolution (C, I, h, w) for images of another number of channels, (C, J, h, w).

    The channels are taken in turn, each divided by how often it is, so that a grey image gives what it gave; for one channel
    they are added up, and fewer than there were are scaled by I / J. Method: timm's ``adapt_input_conv``, which scales alike.
    """
    if num_channels == 1:
        return weight.sum(dim=1, keepdim=True)
    found = weight.shape[1]
    taken = torch.arange(num_channels) % found
    times = torch.bincount(taken)[taken] if num_channels >= found else torch.full((num_channels,), num_channels / found)
    return weight[:, taken] / times.view(1, -1, 1, 1)


def needs_adapting(
    source: str, what: str, found: Mapping[str, Tensor] | None = None, own: Mapping[str, Tensor] | None = None
) -> str:
    """Say that weights fit only after a change that nobody asked for, with the tensors of another shape where known."""
    shapes = "; ".join(_shape_differences(found, own, own)) if found and own else ""
    return (
        f"{source} is for {what}{f' ({shapes})' if shapes else ''}. Use the extract.image_size and extract.backbone that it "
        "was trained with, or let it be resampled: `-S extract.adapt_weights=true`."
    )


class Resampling(TorchFunctionMode):
    """Context manager that notes whether a tensor is resampled while it is on: every converter does that by interpolation."""

    happened = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.happened |= func is nn.functional.interpolate
        return func(*args, **(kwargs or {}))


def _convert(model: nn.Module, state: Mapping[str, Tensor]) -> tuple[Mapping[str, Tensor], bool]:
    """Return ``state`` under the names of a model, and whether a tensor was resampled."""
    own = model.state_dict()
    fits = all(name in state and state[name].shape == tensor.shape for name, tensor in own.items())
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if fits or not is_timm(model) or convert is None:
        return state, False
    try:
        with Resampling() as resampling:
            converted: Mapping[str, Tensor] = convert(dict(state), model)
    except (LookupError, RuntimeError, ValueError, AttributeError):
        return state, False  # Of another network: whoever loads it lists what does not fit.
    return converted, resampling.happened


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
    # `classifier.1` in one model, `fc` in another: the whole first component is the end of the network. timm says where a
    # classifier would be in a network that was built without.
    dropped = getattr(model, "pretrained_cfg", {}).get("classifier")
    endings = (f"{classifier.split('.')[0]}.",) if classifier else (f"{dropped}.",) if isinstance(dropped, str) else ()
    wanted = before_classifier(model, used)
    missing = [name for name in wanted if name not in state]
    unexpected = [name for name in state if name not in own and not name.startswith(endings)]
    misshapen = list(_shape_differences(state, own, wanted))
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


def _shape_differences(found: Mapping[str, Tensor], own: Mapping[str, Tensor], names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if name in found and found[name].shape != own[name].shape:
            yield f"{name}: found {tuple(found[name].shape)}, expected {tuple(own[name].shape)}"


def tensors_sha256(state: Mapping[str, Tensor]) -> str:
    """Return the sha256 over the names, dtypes, shapes and bytes of tensors, whatever file they came in."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
