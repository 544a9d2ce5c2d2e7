"""What the library imports against what is installed with it: a tool of the tests is no dependency of a user's run."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from tests.pipelines import REPOSITORY


def imported_packages(folder: str) -> set[str]:
    """Return the packages of others that the code of a folder imports, also inside functions."""
    packages = set()
    for path in (REPOSITORY / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            packages |= {name.split(".")[0] for name in names}
    return packages - set(sys.stdlib_module_names) - {"galaxies", "stages", "__future__"}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_all_that_the_library_and_the_stages_import_is_a_dependency_of_every_user() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    declared = {normalised(re.split(r"[<>=!~ \[]", line)[0]) for line in project["dependencies"]}
    # What a function imports on demand may be an extra, with a file of requirements of its own.
    extras = {normalised(line) for name, lines in project["optional-dependencies"].items() if name != "dev" for line in lines}
    distributions = packages_distributions()
    for package in sorted((imported_packages("galaxies") | imported_packages("stages")) - extras):
        providers = {normalised(name) for name in distributions[package]}
        assert providers & declared, f"{package} ({', '.join(providers)})"


def test_every_dependency_is_pinned_for_users() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    lines = Path(REPOSITORY, "requirements.txt").read_text().splitlines()
    pinned = {normalised(line.split("==")[0]) for line in lines if "==" in line and not line.startswith(" ")}
    assert {normalised(re.split(r"[<>=!~ \[]", line)[0]) for line in project["dependencies"]} <= pinned
