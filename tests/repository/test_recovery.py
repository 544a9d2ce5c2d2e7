"""What a killed DVC or Git left behind is put right, and nothing that is in use."""

import subprocess
import sys
from pathlib import Path

import pytest

from galaxies.errors import InputError
from galaxies.repository.recovery import recover


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Make a Git repository with a commit and DVC's temporary folder."""
    for command in (
        ("init", "-q", "-b", "main"),
        ("-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-q", "--allow-empty", "-m", "first"),
    ):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    return tmp_path


def test_nothing_is_said_of_a_sound_repository(repository: Path) -> None:
    readers = repository / ".dvc" / "tmp" / "rwlock"
    readers.write_text("{}")
    assert list(recover(repository)) == []
    assert readers.exists()


@pytest.mark.parametrize("content", ["", '{"read": {"data/gal'])
def test_a_list_of_readers_that_was_cut_off_is_deleted(repository: Path, content: str) -> None:
    readers = repository / ".dvc" / "tmp" / "rwlock"
    readers.write_text(content)
    (line,) = recover(repository)
    assert "rwlock was cut off" in line
    assert not readers.exists()


def test_locks_of_git_are_deleted_and_git_works_again(repository: Path) -> None:
    locks = [repository / ".git" / name for name in ("index.lock", "refs/exps/exec/EXEC_BASELINE.lock")]
    for lock in locks:
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    (repository / "file").touch()
    add = ["git", "-C", str(repository), "add", "file"]
    assert subprocess.run(add, check=False, capture_output=True).returncode
    assert len(list(recover(repository))) == 2
    assert not any(lock.exists() for lock in locks)
    subprocess.run(add, check=True)


def test_a_detached_head_is_named_and_left_alone(repository: Path) -> None:
    subprocess.run(["git", "-C", str(repository), "checkout", "-q", "--detach"], check=True)
    (line,) = recover(repository)
    assert "git checkout main" in line


def test_while_dvc_works_its_locks_are_left_alone_and_a_sound_repository_is_no_matter(repository: Path) -> None:
    readers = repository / ".dvc" / "tmp" / "rwlock"
    program = repository / "dvc"
    program.write_text("import time; print(flush=True); time.sleep(60)")
    process = subprocess.Popen([sys.executable, str(program), "repro"], cwd=repository, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        assert list(recover(repository)) == []
        readers.write_text("")
        with pytest.raises(InputError, match=rf"process {process.pid} .*dvc repro\) works in "):
            list(recover(repository))
        assert readers.exists()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    list(recover(repository))
    assert not readers.exists()
