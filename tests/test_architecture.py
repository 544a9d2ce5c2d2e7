"""The library is layers: a folder uses itself and those before it, so that each can be read without those after it."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.pipelines import REPOSITORY

LIBRARY = REPOSITORY / "galaxies"

LAYERS = (
    "tables",
    "data",
    "simulation",
    "sources",
    "backbones",
    "features",
    "heads",
    "evaluation",
    "gallery",
    "prediction",
    "repository",
    "commands",
)
"""As in the README. Modules at the top stand before all of them, but for what the package and its command offer."""

AT_THE_TOP = {"__init__": "prediction", "__main__": "commands"}
"""The last layer that a module at the top may use."""


def used_layers(path: Path) -> Iterator[str]:
    """Yield the folder of each module of the library that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            first, *rest = name.split(".")
            if first == "galaxies" and rest and rest[0] in LAYERS:
                yield rest[0]


def test_these_are_the_folders() -> None:
    assert {path.parent.name for path in LIBRARY.glob("*/__init__.py")} == set(LAYERS)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_uses_those_before_it(layer: str) -> None:
    allowed = LAYERS[: LAYERS.index(layer) + 1]
    files = sorted((LIBRARY / layer).glob("*.py"))
    assert len(files) > 1
    for path in files:
        assert set(used_layers(path)) <= set(allowed), path.name


def test_a_module_at_the_top_uses_no_layer() -> None:
    for path in LIBRARY.glob("*.py"):
        last = AT_THE_TOP.get(path.stem)
        allowed = LAYERS[: LAYERS.index(last) + 1] if last else ()
        assert set(used_layers(path)) <= set(allowed), path.name


def used_modules(path: Path) -> set[str]:
    """Return the modules of the library that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("galaxies"):
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_no_modules_use_each_other() -> None:
    """An import inside a function once hid that a model and its adaptation did."""
    files = {".".join(path.relative_to(REPOSITORY).with_suffix("").parts): path for path in LIBRARY.rglob("*.py")}
    used = {name: used_modules(path) & set(files) for name, path in files.items()}
    assert sum(map(len, used.values())) > 200
    assert "galaxies.prediction.adaptation" in used["galaxies.prediction.model"]
    list(TopologicalSorter(used).static_order())  # CycleError names them.
