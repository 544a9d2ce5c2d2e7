"""A file of weights as training programs leave it: read without trust, taken out of its wrappers, and named as the network is.

What is taken off or left out is logged, so that a user sees which of several networks in a checkpoint is used.
"""

import logging
import pickle
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from galaxies.errors import InputError

# Under these names training programs keep a state dict, beside optimizers and counters. Where there are several the first is
# taken: averaged weights before raw ones, the teacher before the student (timm's load_state_dict; DINO, DINOv2, I-JEPA).
_WRAPPERS = (
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema", "teacher", "target_encoder"),
    *("state_dict", "model_state_dict", "model", "student"),
)
# Of two networks of the same names in one state dict the one whose prefix has one of these words: an average of the other, or
# in MoCo (encoder_q) and BYOL (online) the one that their authors evaluate.
_PREFERRED = re.compile(r"(^|\.|_)(ema|teacher|target_encoder|encoder_q|online)(\.|_)")
# DINOv2 may keep its blocks in chunks, and then names the third block of the first chunk blocks.0.2: the second number counts
# over all chunks (BlockChunk in dinov2/models/vision_transformer.py).
_CHUNKED = re.compile(r"(^|\.)blocks\.\d+\.(?=\d+\.)")
_COMMON_FRACTION = 0.3  # of the tensors that share a prefix, for it to be tried on names that are not the network's own
_LONGEST_PREFIX = 4  # parts of it

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NamedState:
    """A state dict under the names of a network."""

    state: Mapping[str, Tensor]
    found: Mapping[str, Tensor]  # as the file has it, without the prefix
    is_resampled: bool  # whether a tensor was resampled for images or patches of another size


def file_state(path: Path) -> Mapping[str, Tensor]:
    """Return the state dict in a ``.safetensors`` or PyTorch file; code hidden in a pickle is refused, not run."""
    if not path.is_file():
        raise InputError(f"extract.weights: there is no file {path}; relative paths are relative to the repository.")
    content, taken = _load(path), ""
    while (name := _wrapper(content, path)) is not None:
        content, taken = content[name], f"{taken}[{name}]"
    if not _has_tensors(content):
        raise InputError(f"{path} does not hold a state dict (names and tensors), but {type(content).__name__}.")
    if taken:
        _logger.info("%s: the weights are those in %s.", path, taken)
    state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if len(state) < len(content):
        _logger.info("%s: %s is no tensor and left out.", path, _list([str(name) for name in content if name not in state]))
    return state


def name_as(
    state: Mapping[str, Tensor],
    own: Collection[str],
    convert: Callable[[Mapping[str, Tensor]], tuple[Mapping[str, Tensor], bool]],
    *,
    source: str,
) -> NamedState:
    """Return the tensors of a state dict under the names of a network, without a prefix that a training program put before.

    Args:
        state: as it stands in the file.
        own: the network's names.
        convert: from the names of the network's authors to ``own``, as far as it can; and whether it resampled.
        source: what to call the weights in messages.

    Raises:
        InputError: there are two such networks in the state dict, and no saying which is meant.
    """
    if any(map(_CHUNKED.search, state)) and not any(map(_CHUNKED.search, own)):
        _logger.info("%s: its blocks stand in chunks, as DINOv2 keeps them; they are numbered through.", source)
        state = {_CHUNKED.sub(r"\1blocks.", name): tensor for name, tensor in state.items()}
    best, most, prefix = NamedState(state, state, is_resampled=False), -1, ""
    for tried in _prefixes(state, own, source):
        found = {name.removeprefix(tried): tensor for name, tensor in state.items() if name.startswith(tried)}
        converted, is_resampled = convert(found)
        fitting = sum(name in converted for name in own)
        if fitting > most:
            best, most, prefix = NamedState(converted, found, is_resampled), fitting, tried
        if fitting == len(own):
            break
    if prefix:
        others = [name for name in state if not name.startswith(prefix)]
        left_out = f"; left out: {_list(others)} ({len(others)} tensors)" if others else ""
        _logger.info("%s: the prefix %s is taken off its names%s.", source, prefix, left_out)
    return best


def _prefixes(state: Mapping[str, Tensor], own: Collection[str], source: str) -> Iterator[str]:
    """Yield what may stand before the names of one network, the most likely first."""
    yield ""
    before = Counter(prefix for name in state for prefix in _dotted_prefixes(name) if name.removeprefix(prefix) in own)
    most = max(before.values(), default=0)
    likely = [prefix for prefix, number in before.items() if number == most]
    preferred = [prefix for prefix in likely if _PREFERRED.search(prefix)] or likely
    if 2 * most <= len(own):
        preferred = []  # A name like norm.weight stands in many networks.
    if len(preferred) > 1:
        raise InputError(
            f"{source} holds several networks of the same names, under {_list(preferred)}; save the state dict of the one "
            "that is meant to a file of its own."
        )
    yield from preferred
    # Names of the network's authors, which timm knows but which are not its own, say nothing but that many share a prefix.
    shared = Counter(prefix for name in state for prefix in _dotted_prefixes(name)[:_LONGEST_PREFIX])
    yield from (prefix for prefix, number in shared.items() if number >= _COMMON_FRACTION * len(state))


def _dotted_prefixes(name: str) -> list[str]:
    return [name[: dot.end()] for dot in re.finditer(r"\.", name)]


def _wrapper(content: Any, path: Path) -> str | None:
    """Return the key of the state dict in a checkpoint; None where the content is one already, or holds none."""
    if not isinstance(content, Mapping):
        return None
    inside = [key for key, value in content.items() if isinstance(key, str) and _holds_state(value)]
    known = [name for name in _WRAPPERS if name in inside]
    if known or (len(inside) == 1 and not _has_tensors(content)):
        chosen = (known or inside)[0]
        if len(known) > 1:
            _logger.info("%s holds %s; %s is taken.", path, _list(known), chosen)
        return chosen
    if inside and not _has_tensors(content):
        raise InputError(
            f"{path} holds several state dicts ({_list(inside)}); save the one that is meant to a file of its own."
        )
    return None


def _holds_state(value: Any) -> bool:
    """Tell whether a value is a state dict, or a mapping that has one inside; an optimizer's has numbers for names."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return False
    return _has_tensors(value) or any(map(_holds_state, value.values()))


def _has_tensors(content: Any) -> bool:
    return isinstance(content, Mapping) and any(isinstance(value, Tensor) for value in content.values())


class _StandIn(dict[Any, Any]):
    """Takes the place of an object of another program; keeps nothing and runs nothing."""

    def __new__(cls, *_: Any, **__: Any) -> "_StandIn":
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        pass

    __hash__ = object.__hash__  # type: ignore[assignment]  # It may be the key of a mapping.


def _load(path: Path) -> Any:
    try:
        return load_file(path) if path.suffix == ".safetensors" else _load_pickle(path)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, ValueError, LookupError) as error:
        # torch wraps the reason into advice to run whatever code the file holds.
        reason = next(iter(str(error).rpartition("WeightsUnpickler error: ")[2].strip().splitlines()), type(error).__name__)
        raise InputError(
            f"{path} is not a file of plain tensors ({reason}). Expected is a state dict, saved as "
            "`torch.save(model.state_dict(), path)` or as safetensors; a pickled model is refused, since it can run code."
        ) from error


def _load_pickle(path: Path) -> Any:
    """Load a PyTorch file by torch's reader of plain tensors; objects of other programs in it become stand-ins.

    Lightning, for one, keeps the state of its callbacks and the parameters of a training beside the weights.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        refused = error
    try:
        names = get_unsafe_globals_in_checkpoint(path)
    except (ValueError, RuntimeError):
        raise refused from None  # Written before PyTorch 1.6, or no pickle.
    stand_ins: list[Any] = [(type(name.rpartition(".")[2], (_StandIn,), {}), name) for name in names]
    try:
        with safe_globals(stand_ins):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, TypeError) as error:
        raise ValueError(f"among it are {_list(names)}, and torch's reader of plain tensors refuses these") from error
    if isinstance(content, _StandIn):
        raise ValueError(f"it is a pickled {type(content).__name__}")
    _logger.info("%s also holds objects of %s, which are not read.", path, _list(names))
    return content


def _list(names: Collection[str], most: int = 4) -> str:
    return ", ".join([*list(names)[:most], *(["…"] if len(names) > most else [])])
