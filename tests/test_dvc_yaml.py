"""dvc.yaml against the code: DVC knows only what is listed there, so what is missing would leave old results in place."""

import ast
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from dvc.schema import COMPILED_MULTI_STAGE_SCHEMA as MULTI_STAGE_SCHEMA
from ruamel.yaml import YAML

from galaxies.backbones.spec import ExtractParams
from galaxies.gallery.page import SCRIPTS
from galaxies.gallery.projection import PROJECTION_SCRIPTS
from tests.pipelines import REPOSITORY

WHAT_IS_LEARNED = {f"train.{name}" for name in ("target", "columns", "questions", "questions_sha256", "vote_columns")} | {
    f"train.{name}" for name in ("scales", "units", "error_columns")
}


def stage(name: str) -> dict[str, Any]:
    stages: dict[str, dict[str, Any]] = YAML(typ="safe").load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    return stages[name]


def imported_files(script: Path) -> set[Path]:
    """Return the project's files that a script needs, itself included: all imports, also those inside functions."""
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        for node in ast.walk(ast.parse((REPOSITORY / path).read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                module = Path(*name.split("."))
                candidates = (module.with_suffix(".py"), module / "__init__.py")
                waiting += [candidate for candidate in candidates if (REPOSITORY / candidate).is_file()]
    return found


def listed_code(name: str) -> set[Path]:
    return {Path(dep) for dep in stage(name).get("deps", []) if dep.startswith(("stages/", "galaxies/"))}


@pytest.mark.parametrize(
    "name", ["train", "baselines", "measure", "audit", "evaluate", "classify", "report", "project", "draw"]
)
def test_a_stage_depends_on_every_module_it_imports(name: str) -> None:
    # The files of `stages` and of the library's top, and whole folders of the library.
    assert listed_code(name) == {Path(*path.parts[:2]) for path in imported_files(Path("stages", f"{name}.py"))}


def test_a_new_head_encodes_no_picture_of_the_plane_anew() -> None:
    """`draw` runs for every head, and encoded thousands of pictures each time."""
    assert "data/projection_pictures.parquet" in stage("project")["outs"]
    assert "data/projection_pictures.parquet" in stage("draw")["deps"]
    assert "models/head.pt" not in stage("project")["deps"]


def test_the_page_of_the_report_has_these_files() -> None:
    pages = {"page.html", "style.css", *SCRIPTS, "projection.html", "projection.css", *PROJECTION_SCRIPTS}
    assert {path.name for path in (REPOSITORY / "galaxies/gallery/assets").iterdir()} == pages


@pytest.mark.parametrize("name", ["download", "split", "extract"])
def test_the_stages_that_make_data_depend_on_no_code_but_on_a_version(name: str) -> None:
    listed = stage(name)
    assert not listed_code(name)
    assert {name, f"{name}.version"} & set(listed["params"])


def test_every_parameter_of_extract_but_the_layers_runs_it_again() -> None:
    names = {field.name for field in fields(ExtractParams)} - {"layers"}
    assert set(stage("extract")["params"]) == {f"extract.{name}" for name in names}


def test_what_changes_speed_alone_is_in_no_stage() -> None:
    for name in YAML(typ="safe").load((REPOSITORY / "dvc.yaml").read_text())["stages"]:
        assert not [param for param in stage(name).get("params", []) if param.startswith("runtime")]


def test_dvc_takes_the_file() -> None:
    """A column called ``true`` without quotes is a truth value to YAML, and then DVC refuses all of dvc.yaml."""
    text = (REPOSITORY / "dvc.yaml").read_text()
    MULTI_STAGE_SCHEMA(YAML(typ="safe").load(text))


def test_a_new_learning_rate_does_not_run_the_baselines_again() -> None:
    assert "models/head.pt" not in stage("baselines")["deps"]
    assert set(stage("baselines")["params"]) == WHAT_IS_LEARNED


def test_what_is_evaluated_is_what_was_learned() -> None:
    assert set(stage("evaluate")["params"]) == WHAT_IS_LEARNED


def test_the_model_registry_knows_what_training_writes() -> None:
    (artifact,) = YAML(typ="safe").load((REPOSITORY / "dvc.yaml").read_text())["artifacts"].values()
    assert artifact["path"] in stage("train")["outs"]
