"""Typed sections of parameters: a frozen dataclass declares the keys, their types and limits; anything else is an error.

A section's dataclass lives in the module that owns the work. Its fields are the section's keys, each with a default, so that
a params.yaml which is older than a key still works; ``Limits`` in an ``Annotated`` type bounds a number. A ``problems`` method
may yield more complaints, each starting with its key.

Not pydantic (2.14, tried): it takes ``true`` for an allowed 1, names the allowed values of one alternative at a time, proposes
no near key, and its import takes 0.09 s of every stage.
"""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

from galaxies.errors import InputError

Section = TypeVar("Section")


@dataclass(frozen=True)
class Limits:
    """The range of a number, both ends included."""

    minimum: float | None = None
    maximum: float | None = None


def parse_section(cls: type[Section], values: object, section: str) -> Section:
    """Return an instance of the dataclass ``cls`` made from ``values``; a key that is missing takes its default.

    Raises:
        InputError: one message that lists every unknown, ill-typed or out-of-range key with what was found and what is allowed.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"params.yaml: the section `{section}` must be a mapping of keys, found {_show(values)}.")
    complaints: list[str] = []
    parsed = _parse(cls, values, "", complaints)
    if not complaints:
        complaints += getattr(parsed, "problems", lambda: ())()
    if complaints or parsed is None:
        listing = "\n".join(f"  {section}.{complaint}" for complaint in complaints)
        raise InputError(f"params.yaml, section `{section}`:\n{listing}")
    return parsed


def _parse(cls: type[Section], values: Mapping[Any, Any], prefix: str, complaints: list[str]) -> Section | None:
    """Return an instance of the dataclass ``cls``, or None after adding what is wrong to ``complaints``."""
    hints = typing.get_type_hints(cls, include_extras=True)
    names = [field.name for field in dataclasses.fields(cast(Any, cls))]
    replaced: Mapping[str, str] = getattr(cls, "REPLACED", {})
    found = [f"{key}: {_explain_unknown(key, names, replaced)}" for key in values if key not in names]
    plain: dict[str, Any] = {}
    for name in (name for name in names if name in values):
        value, hint = values[name], hints[name]
        if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
            plain[name] = _parse(cast(type[Any], hint), value, f"{prefix}{name}.", complaints)
            continue
        try:
            plain[name] = _convert(value, hint)
        except _Mismatch:
            found.append(f"{name}: found {_show(value)}, allowed is {_describe(hint)}")
    complaints += [f"{prefix}{complaint}" for complaint in found]
    return None if complaints else cls(**plain)


class _Mismatch(Exception):
    """A value does not fit its type."""


def _convert(value: object, hint: Any) -> Any:
    """Return ``value`` as the type ``hint`` asks for; raise _Mismatch where it does not fit."""
    limits = [extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Limits)]
    if limits:
        number = _convert(value, typing.get_args(hint)[0])
        for limit in limits:
            _require(number is None or limit.minimum is None or number >= limit.minimum)
            _require(number is None or limit.maximum is None or number <= limit.maximum)
        return number
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        _require(any(value == allowed and type(value) is type(allowed) for allowed in arguments))
        return value
    if origin in (typing.Union, types.UnionType):
        return next(_alternatives(value, arguments))
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise _Mismatch
        return tuple(_convert(element, arguments[0]) for element in value)
    return _convert_plain(value, hint)


def _convert_plain(value: object, hint: Any) -> Any:
    if hint is type(None):
        _require(value is None)
        return None
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        _require(abs(value) < 1 << 1023)  # Beyond it there is no float.
        return float(value)
    # bool is an int to Python, but `batch_size: true` is a mistake.
    _require(isinstance(value, hint) and (hint is bool or not isinstance(value, bool)))
    if hint is float:
        _require(value == value and abs(cast(float, value)) != float("inf"))
    # ruamel.yaml gives subclasses that remember how they were written; a result must not carry them on.
    return hint(value)


def _alternatives(value: object, hints: tuple[Any, ...]) -> Iterator[Any]:
    for hint in hints:
        try:
            yield _convert(value, hint)
        except _Mismatch:
            continue
    raise _Mismatch


def _require(condition: bool) -> None:
    if not condition:
        raise _Mismatch


def _show(value: object) -> str:
    """Say a value as YAML spells it, where Python spells it differently."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)


def _explain_unknown(key: object, names: list[str], replaced: Mapping[str, str]) -> str:
    if key in replaced:
        return f"this key is gone; {replaced[str(key)]}"
    close = difflib.get_close_matches(str(key), names, n=1)
    return f"unknown key; did you mean `{close[0]}`?" if close else f"unknown key; the keys are {', '.join(names)}"


def _describe(hint: Any) -> str:
    """Say in words what a type allows."""
    for extra in getattr(hint, "__metadata__", ()):
        if isinstance(extra, Limits):
            return _describe(typing.get_args(hint)[0]) + _describe_limits(extra)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return " | ".join(str(allowed) for allowed in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_describe(argument) for argument in arguments)
    if origin is tuple:
        return f"a list of {_describe(arguments[0])}"
    if dataclasses.is_dataclass(hint):
        return f"a mapping of {', '.join(field.name for field in dataclasses.fields(hint))}"
    words = {int: "an integer", float: "a number", str: "text", bool: "true or false", type(None): "null"}
    return words[hint]


def _describe_limits(limits: Limits) -> str:
    if limits.minimum is not None and limits.maximum is not None:
        return f" from {_number(limits.minimum)} to {_number(limits.maximum)}"
    return f" of at least {_number(limits.minimum)}" if limits.minimum is not None else f" of at most {_number(limits.maximum)}"


def _number(limit: float | None) -> str:
    """Write a limit as it would be typed: 10000000, not 1e+07."""
    return str(int(limit)) if limit is not None and limit == int(limit) else f"{limit:g}"
