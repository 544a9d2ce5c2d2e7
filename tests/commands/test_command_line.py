"""The command line: what it lists, what it is told, and that a newcomer can ask it."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from galaxies.__main__ import main
from galaxies.commands.command import Command
from galaxies.commands.command_line import GROUPS, make_parser
from tests.pipelines import REPOSITORY

COMMANDS = {command.name: command for commands in GROUPS.values() for command in commands}


def test_the_help_lists_every_command_in_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if line.split(":")[0] in ("make", "look", "predict", "mend")] == list(GROUPS)
    for command in COMMANDS.values():
        assert f"\n  {command.name} " in printed
        assert command.summary in printed
    assert max(map(len, printed.splitlines())) <= 100


def test_nothing_typed_is_answered_with_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("usage: galaxies COMMAND ...")


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.name)
def test_every_command_has_an_example_that_it_understands(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    name, *arguments = shlex.split(command.example)
    assert name == "galaxies"
    assert make_parser().parse_args(arguments).run is command.run
    with pytest.raises(SystemExit, match="0"):
        main([command.name, "--help"])
    assert f"example:\n  {command.example}\n" in capsys.readouterr().out


def test_a_mistyped_command_is_answered_with_all_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["pedict"])
    printed = capsys.readouterr().err
    assert "pedict" in printed
    assert all(name in printed for name in COMMANDS)


def test_metrics_that_are_not_here_are_looked_for_in_the_right_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in docs/ of a repository whose pipeline has run."""
    monkeypatch.chdir(tmp_path)
    assert main(["show"]) == 1
    expected = f"There is no metrics/test.json in {tmp_path}; `dvc repro` makes it in the repository's top folder."
    assert expected in capsys.readouterr().err


def test_a_number_of_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["layers", "resnet18", "--num-galaxies", "0"])
    assert "found 0, expected 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize("magnitude", ["nan", "inf", "-99", "999"])
def test_a_zero_point_that_cannot_be_is_refused(magnitude: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["predict", "a.fits", "--out", "b.csv", f"--zero-point={magnitude}"])
    assert f"found {magnitude}, expected an AB magnitude" in capsys.readouterr().err


@pytest.mark.parametrize("scale", ["0", "-0.3", "nan", "inf"])
def test_a_pixel_scale_that_cannot_be_is_refused(scale: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["predict", "a.fits", "--out", "b.csv", f"--pixel-scale={scale}"])
    assert f"found {scale}, expected a number above 0" in capsys.readouterr().err


def test_the_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys; from galaxies.__main__ import main; main([]); sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, capture_output=True)


def test_the_package_installs_the_command(tmp_path: Path) -> None:
    """As `pip install .` does, of a copy: setuptools leaves ``build/`` beside the code."""
    copy = tmp_path / "copy"
    shutil.copytree(REPOSITORY / "galaxies", copy / "galaxies", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, copy)
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-compile", "--no-cache-dir", "--target", "installed")
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(copy)], cwd=tmp_path, check=True, capture_output=True)
    command = tmp_path / "installed" / "bin" / "galaxies"
    environment = {"PYTHONPATH": str(tmp_path / "installed"), "PATH": "/usr/bin:/bin"}
    printed = subprocess.run([command], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout
    assert printed.startswith("usage: galaxies COMMAND ...")
    packed = {path.relative_to(tmp_path / "installed") for path in (tmp_path / "installed").rglob("*.*")}
    for path in (REPOSITORY / "galaxies").rglob("*.*"):
        if "__pycache__" not in path.parts:
            assert path.relative_to(REPOSITORY) in packed
