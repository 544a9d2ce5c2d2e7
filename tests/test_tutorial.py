"""The notebook docs/tutorial.ipynb: that it still runs, and that what it shows is what it makes."""

import ast
import importlib
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from ruamel.yaml import YAML

from tests.documents import add_command
from tests.pipelines import REPOSITORY, make_pipeline

TUTORIAL = REPOSITORY / "docs" / "tutorial.ipynb"


def read_cells(path: Path) -> list[Any]:
    """Return the cells with code."""
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]  # type: ignore[no-untyped-call]


def kinds(cell: Any) -> list[str]:
    """Return what a cell shows: text, or the types of a figure or table."""
    return [", ".join(sorted(output["data"])) if "data" in output else output["output_type"] for output in cell.outputs]


def test_the_notebook_was_run_from_top_to_bottom_and_is_small() -> None:
    cells = read_cells(TUTORIAL)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert sum("image/jpeg" in kind for cell in cells for kind in kinds(cell)) >= 4
    assert "error" not in [kind for cell in cells for kind in kinds(cell)]
    text = TUTORIAL.read_text(encoding="utf-8")
    assert len(text) < 500_000
    assert "Traceback" not in text
    assert re.findall(r"(?<![\w.])/(?:home|root|tmp|Users)/", text) == []


def test_what_the_notebook_imports_of_ours_is_there() -> None:
    """The quick half of running it."""
    found = 0
    for cell in read_cells(TUTORIAL):
        code = "\n".join(line for line in cell.source.splitlines() if not line.startswith(("!", "%")))
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("galaxies"):
                module = importlib.import_module(node.module or "")
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []
                found += 1
    assert found >= 2


@pytest.mark.slow
def test_the_notebook_runs_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On fewer galaxies than it says, in a repository with the default parameters and the metrics of the default run."""
    # Imported here: its libraries take a second, and the other tests do without.
    from nbclient import NotebookClient

    defaults = YAML(typ="safe").load((REPOSITORY / "params.yaml").read_text())
    pipeline = make_pipeline(tmp_path / "galaxies", **defaults)
    (pipeline.folder / "docs").mkdir()
    shutil.copy(TUTORIAL, pipeline.folder / "docs")
    shutil.copy(REPOSITORY / "dvc.lock", pipeline.folder)
    shutil.copytree(REPOSITORY / "metrics", pipeline.folder / "metrics", dirs_exist_ok=True)
    pipeline.run("git", "add", "-A")
    pipeline.run("git", "commit", "-qm", "the default run")
    add_command(pipeline)
    for name, value in pipeline.environment.items():
        monkeypatch.setenv(name, value)
    # The kernel is this Python, wherever the kernels of this machine are listed.
    monkeypatch.setenv("JUPYTER_PATH", str(write_kernel(tmp_path / "jupyter")))

    notebook = nbformat.read(pipeline.folder / "docs" / "tutorial.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = [kinds(cell) for cell in cells]
    (first,) = [cell for cell in cells if "num_galaxies = 2000" in cell.source]
    first.source = first.source.replace("num_galaxies = 2000", "num_galaxies = 400")
    resources = {"metadata": {"path": str(pipeline.folder / "docs")}}
    NotebookClient(notebook, kernel_name="galaxies-test", resources=resources, timeout=600).execute()
    assert [kinds(cell) for cell in cells] == shown
    assert pipeline.run("git", "status", "--porcelain") == ""
    assert pipeline.run("dvc", "exp", "list", "--name-only") == ""


def write_kernel(folder: Path) -> Path:
    """Write the description of a kernel that this Python runs, and return the folder that Jupyter looks into."""
    kernel = folder / "kernels" / "galaxies-test"
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    description = {"argv": command, "display_name": "galaxies", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(description))
    return folder
