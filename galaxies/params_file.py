"""Change single keys of params.yaml, and leave every other byte of it as it is: comments, order, blanks."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from galaxies.errors import InputError
from galaxies.files import write_text

Value = str | int | float | bool | list[str] | None

# A value, blanks, a comment and the end of the line; a sign of a comment in quotation marks is none.
_REST = r"""(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^#\n]*?)(?P<gap>[ \t]*)(?P<comment>#[^\r\n]*)?(?P<end>\r?\n?)"""
_PLAIN = re.compile(r"[\w./~+-]+")


def read_section(path: Path, section: str) -> dict[str, Any]:
    """Return the values of a section of the file at ``path``; none where it has no such section."""
    found = _load(path, _read(path)).get(section)
    return found if isinstance(found, dict) else {}


def change_section(path: Path, section: str, changes: Mapping[str, Value]) -> list[str]:
    """Set keys of a section in the file at ``path``; return a line for each key that changed.

    ``a.b`` is the key b of a section a in it, and is left out where there is no such section.

    Raises InputError when there is no such file or section, or it is written so that its lines cannot be changed one by one.
    """
    text = _read(path)
    before = _load(path, text)
    if not isinstance(before.get(section), dict):
        raise InputError(f"{path} has no section `{section}`.")
    changed = {key: value for key, value in changes.items() if _differs(before[section], key, value)}
    for key, value in changed.items():
        text = _set_line(text, section, key, _write(value))
    wanted = before
    for key, value in changed.items():
        wanted = _with_value(wanted, [section, *key.split(".")], value)
    if not _says(text, wanted):
        lines = "\n".join(f"  {key}: {_write(value)}" for key, value in changed.items())
        raise InputError(f"{path}: the section `{section}` is written in an unusual way; change it by hand:\n{lines}")
    if changed:
        write_text(path, text)
    return [f"{section}.{key}: {_write(value)}" for key, value in changed.items()]


def _read(path: Path) -> str:
    try:
        # Newlines as they are: translated, each line of a file of Windows would change.
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        raise InputError(f"There is no {path.name} in {path.resolve().parent}; run from the repository's top folder.") from None


def _load(path: Path, text: str) -> dict[str, Any]:
    try:
        found = YAML(typ="safe").load(text)
    except YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {error}") from error
    return found if isinstance(found, dict) else {}


def _differs(section: Mapping[str, Any], key: str, value: Value) -> bool:
    *way, last = key.split(".")
    inner: Any = section
    for name in way:
        inner = inner.get(name) if isinstance(inner, Mapping) else None
    return isinstance(inner, Mapping) and (last not in inner or bool(inner[last] != value))


def _with_value(values: Mapping[str, Any], way: Sequence[str], value: Value) -> dict[str, Any]:
    first, *rest = way
    return {**values, first: _with_value(values[first], rest, value) if rest else value}


def _says(text: str, wanted: Mapping[str, Any]) -> bool:
    try:
        return bool(YAML(typ="safe").load(text) == wanted)
    except YAMLError:
        return False


def _set_line(text: str, section: str, key: str, value: str) -> str:
    """Put a value into its line, the comment behind it at its column where there is room; add a line where there is none."""
    lines = text.splitlines(keepends=True)
    *way, key = section, *key.split(".")
    start, indent = -1, -1
    for name in way:
        blanks = "" if start < 0 else "[ ]+"
        within = _lines_within(lines, start, indent)
        found = next((number for number in within if re.match(rf"{blanks}{name}:\s*(#.*)?$", lines[number])), None)
        if found is None:
            return text
        start, indent = found, len(lines[found]) - len(lines[found].lstrip())
    for number in _lines_within(lines, start, indent):
        match = re.match(rf"(?P<key>\s+{key}:[ \t]*){_REST}$", lines[number])
        if match:
            column = len(match["key"] + match["value"] + match["gap"])
            head = f"{match['key'].rstrip()} {value}"
            comment = f"{head.ljust(column - 1)} {match['comment']}" if match["comment"] else head
            return "".join([*lines[:number], f"{comment}{match['end']}", *_without_value(lines[number:])])
    end = "\r\n" if lines[start].endswith("\r\n") else "\n"
    return "".join([*lines[: start + 1], f"{' ' * indent}  {key}: {value}{end}", *lines[start + 1 :]])


def _lines_within(lines: Sequence[str], start: int, indent: int) -> Iterator[int]:
    """Yield the lines of the section whose name stands in line ``start`` behind so many blanks; -1 and -1: of the file."""
    for number in range(start + 1, len(lines)):
        is_comment = re.match(r"\s*(#|$)", lines[number])
        if not is_comment and len(lines[number]) - len(lines[number].lstrip()) <= indent:
            return
        yield number


def _without_value(lines: Sequence[str]) -> list[str]:
    """Return the lines after the first, but for those of its key's value: DVC gives items of lists lines, comments between."""
    indent = re.escape(re.match(r"[ \t]*", lines[0])[0])  # type: ignore[index] # It matches any line.
    belongs, is_comment = re.compile(rf"{indent}([ \t]+[^\s#]|-\s)"), re.compile(r"\s*(#|$)")
    kept: list[str] = []
    for number, line in enumerate(lines[1:], start=1):
        if belongs.match(line):
            continue
        if not is_comment.match(line):
            return [*kept, *lines[number:]]
        kept.append(line)
    return kept


def _write(value: Value) -> str:
    """Return a value as YAML reads it back: text that would be a number, such as a digest of digits, in quotation marks."""
    if isinstance(value, list):
        return f"[{', '.join(map(_write, value))}]"
    if not isinstance(value, str):
        return json.dumps(value)
    is_plain = bool(_PLAIN.fullmatch(value)) and YAML(typ="safe").load(value) == value
    return value if is_plain else json.dumps(value, ensure_ascii=False)
