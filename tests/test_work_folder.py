"""Unfinished work is continued by one process at a time, under the conditions it was made under, and never passes for other."""

import errno
import fcntl
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from galaxies.errors import InputError
from galaxies.work_folder import (
    discard_finished_work,
    discard_work,
    is_in_use,
    locked,
    open_work_folder,
    work_path,
    work_path_beside,
)
from tests.pipelines import REPOSITORY

CPU = {"device": "cpu", "num_threads": 2}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def do_work(path: Path, name: str = "part", *, conditions: dict[str, object] = CPU, ends: bool = False) -> None:
    with open_work_folder(path) as work:
        work.begin(conditions)
        (path / name).write_text(name)
        if ends:
            work.finish()


def test_a_folder_is_named_by_all_that_determines_the_result(tmp_path: Path) -> None:
    path = work_path(tmp_path, "train", {"a": 1, "b": [2]})
    assert path.parent == tmp_path / ".dvc" / "tmp" / "train"
    assert path == work_path(tmp_path, "train", {"b": [2], "a": 1})
    assert path.name != work_path(tmp_path, "train", {"a": 1, "b": [3]}).name
    assert work_path_beside(tmp_path / "out.csv") == tmp_path / ".out.csv.parts"


def test_work_is_found_again_under_the_same_conditions(tmp_path: Path) -> None:
    path = tmp_path / "made" / "work"
    do_work(path)
    do_work(path, "other", conditions=dict(reversed(CPU.items())))
    assert names(path) == ["conditions.json", "other", "part"]


def test_under_other_conditions_it_starts_anew_and_says_what_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    do_work(tmp_path / "work", ends=True)
    (tmp_path / "work" / "folder").mkdir()
    do_work(tmp_path / "work", "other", conditions={**CPU, "device": "cuda"})
    assert names(tmp_path / "work") == ["conditions.json", "other"]
    assert "work is thrown away, and starts anew: device was 'cpu', is 'cuda'" in caplog.text
    assert "num_threads" not in caplog.text


@pytest.mark.parametrize("record", [None, "", "{", "[1]", '{"device": "cpu"}'])
def test_work_whose_conditions_are_not_on_record_starts_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, record: str | None
) -> None:
    do_work(tmp_path / "work")
    (tmp_path / "work" / "conditions.json").unlink()
    if record is not None:
        (tmp_path / "work" / "conditions.json").write_text(record)
    do_work(tmp_path / "work", "other")
    assert names(tmp_path / "work") == ["conditions.json", "other"]
    assert "starts anew" in caplog.text


def test_new_work_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    do_work(tmp_path / "work")
    assert not caplog.text


def test_what_is_whole_outlives_other_conditions(tmp_path: Path) -> None:
    do_work(tmp_path / "work", "whole")
    do_work(tmp_path / "work", "part")
    with open_work_folder(tmp_path / "work") as work:
        work.begin({"device": "cuda"}, keep=["whole"])
    assert names(tmp_path / "work") == ["conditions.json", "whole"]


def test_a_kill_while_work_is_thrown_away_leaves_none_that_passes_for_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        do_work(tmp_path / "work", name)

    def die(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("galaxies.work_folder._delete", die)
        with pytest.raises(KeyboardInterrupt):
            do_work(tmp_path / "work", conditions={"device": "cuda"})
    do_work(tmp_path / "work", "d")
    assert names(tmp_path / "work") == ["conditions.json", "d"]


def test_a_folder_that_is_left_empty_is_gone_with_its_lock(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), open_work_folder(tmp_path / "work"):
        _ = 1 // 0
    assert names(tmp_path) == []


def test_discarded_work_is_gone_with_its_lock_and_work_in_use_is_not(tmp_path: Path) -> None:
    path = tmp_path / "work"
    assert discard_work(path)
    do_work(path)
    assert names(tmp_path) == ["work", "work.lock"]
    with open_work_folder(path):
        assert is_in_use(path)
        assert not discard_work(path)
    assert not is_in_use(path)
    assert names(path) == ["conditions.json", "part"]
    assert discard_work(path)
    assert names(tmp_path) == []


def test_other_work_that_has_ended_is_discarded_and_unfinished_work_is_not(tmp_path: Path) -> None:
    for name in ("old", "in use", "present"):
        do_work(tmp_path / name, ends=True)
    do_work(tmp_path / "unfinished")
    with open_work_folder(tmp_path / "in use"):
        discard_finished_work(but=tmp_path / "present")
    assert [name for name in names(tmp_path) if not name.endswith(".lock")] == ["in use", "present", "unfinished"]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    message = "No space left on device; make room and run the same command again; what is finished is kept"
    with pytest.raises(InputError, match=message), open_work_folder(tmp_path / "work"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


WORK = """
import sys, time
from pathlib import Path
from galaxies.work_folder import open_work_folder
with open_work_folder(Path(sys.argv[1])) as work:
    work.begin({})
    (work.path / "part").touch()
    time.sleep(60)
"""


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_of_a_killed_process_is_free_and_its_work_is_there(tmp_path: Path, kill: signal.Signals) -> None:
    path = tmp_path / "work"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, "-c", WORK, str(path)], env=environment) as process:
        while not (path / "part").exists():
            assert process.poll() is None
            time.sleep(0.01)
        assert is_in_use(path)
        process.send_signal(kill)
    do_work(path, "other", conditions={})
    assert names(path) == ["conditions.json", "other", "part"]


def test_one_holds_the_lock_and_the_next_waits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, order = tmp_path / "made" / "work", list[str]()

    def second() -> None:
        with open_work_folder(path):
            order.append("second")

    thread = threading.Thread(target=second)
    with caplog.at_level(logging.WARNING), open_work_folder(path):
        with pytest.raises(BlockingIOError), locked(path, wait=False):
            pass
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert "another process does the same work; waiting for it" in caplog.text


def test_the_holder_may_delete_what_is_locked_while_others_want_it(tmp_path: Path) -> None:
    """A lock on a deleted file would let two in at once."""
    path, inside, most = tmp_path / "work", [0], [0]

    def work() -> None:
        for _ in range(20):
            with locked(path):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                path.mkdir()
                time.sleep(0.001)
                shutil.rmtree(path)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert most == [1]
    assert names(tmp_path) == []


def test_a_file_in_the_place_of_the_folder_is_an_error_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "work").touch()
    with pytest.raises(FileExistsError), open_work_folder(tmp_path / "work"):
        pass


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system in which no folder can be made")
def test_where_no_folder_can_be_made_is_an_error_and_not_tried_for_ever() -> None:
    with pytest.raises(FileNotFoundError), locked(Path("/proc/results/work")):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_a_file_system_without_locks_is_an_error_and_no_file_stands_for_a_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A file that says "locked" outlives its process: after a kill nobody would ever work there again."""

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(InputError, match=r"work\.lock: the file system there knows no locks \(.*Work in a folder of"):
        do_work(tmp_path / "work")
    assert not (tmp_path / "work").exists()
    monkeypatch.undo()
    do_work(tmp_path / "work")
