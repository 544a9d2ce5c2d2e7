"""What a newcomer meets first: `make` on a machine that is not as it should be. Nothing is installed here but pip itself."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipelines import REPOSITORY

PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""

# A wheel of one command, made with what Python has.
BACKEND = """
from pathlib import Path
from zipfile import ZipFile

FILES = {
    "METADATA": "Metadata-Version: 2.1\\nName: stub\\nVersion: 0\\n",
    "WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    "entry_points.txt": "[console_scripts]\\ngalaxies = this:s\\n",
    "RECORD": "",
}

def build_editable(folder, settings=None, metadata=None):
    with ZipFile(Path(folder, "stub-0-py3-none-any.whl"), "w") as wheel:
        for name, text in FILES.items():
            wheel.writestr(f"stub-0.dist-info/{name}", text)
    return "stub-0-py3-none-any.whl"
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Make a folder with a name that scripts trip over, and with nothing to install."""
    folder = tmp_path / "my galaxies é"
    folder.mkdir()
    shutil.copy(REPOSITORY / "Makefile", folder)
    for name in ("requirements.txt", "requirements-dev.txt"):
        (folder / name).write_text("")
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "backend.py").write_text(BACKEND)
    (folder / "galaxies").mkdir()
    (folder / "galaxies" / "__main__.py").touch()  # What it does after an installation is not the matter here.
    return folder


def make(folder: Path, *arguments: str) -> str:
    """Run make from another folder, as with the shortest of all environments, and return what it printed."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder.parent)}
    done = subprocess.run(
        ["make", "-C", str(folder), f"PYTHON={sys.executable}", *arguments],
        cwd=folder.parent,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return f"{done.stdout}exit {done.returncode}"


def test_a_python_that_is_too_old_is_named(clone: Path) -> None:
    old = clone / "python3.9"
    pretend = "import sys; sys.version_info = (3, 9, 1); sys.version = '3.9.1'; exec(sys.argv[1])"
    old.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{pretend}" "$2"\n')
    old.chmod(0o755)
    printed = make(clone, "run", "PYTHON=./python3.9")
    assert "Python 3.11 or newer is needed, found 3.9.1; use make PYTHON=..." in printed
    assert not printed.endswith("exit 0")
    assert not (clone / ".venv").exists()


def test_setup_is_done_once_and_again_when_it_is_broken(clone: Path) -> None:
    assert make(clone, "setup").endswith("exit 0")
    stamp = clone / ".venv" / "installed"
    first = stamp.stat().st_mtime_ns
    assert (clone / ".venv" / "bin" / "galaxies").is_file()
    assert not (clone / ".venv" / "installed-dev").exists()
    (clone / ".venv" / "bin" / "pytest").write_text("#!/bin/sh\necho tests ran in $PWD\n")
    (clone / ".venv" / "bin" / "pytest").chmod(0o755)
    assert f"tests ran in {clone}" in make(clone, "test")
    assert stamp.stat().st_mtime_ns == first
    assert (clone / ".venv" / "installed-dev").is_file()

    moved = clone.rename(clone.with_name("moved"))
    assert make(moved, "setup").endswith("exit 0")
    assert str(moved) in (moved / ".venv" / "bin" / "pip").read_text()
    assert not (moved / ".venv" / "bin" / "pytest").exists()


def test_an_environment_whose_python_has_gone_is_made_anew(clone: Path) -> None:
    """An installation that failed leaves no stamp, so the next one goes on; a stamp with a broken Python is not believed."""
    (clone / "requirements.txt").write_text("./absent.whl\n")
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to("/absent/python")
    (clone / ".venv" / "installed").touch()
    os.utime(clone / "requirements.txt", (0, 0))
    printed = make(clone, "setup")
    assert "absent.whl" in printed
    assert not (clone / ".venv" / "installed").exists()
    assert subprocess.run([python, "-c", ""], check=False).returncode == 0
