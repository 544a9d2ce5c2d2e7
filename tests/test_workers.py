"""Results of workers come in order, not too many wait, errors arrive, and no worker outlives the reader or the parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from galaxies.workers import in_workers


def name_process(number: int, pause: float) -> tuple[int, int]:
    """Return the number and the process that was asked, after a pause."""
    time.sleep(pause)
    return number, os.getpid()


def divide(number: int) -> float:
    return 1 / number


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_results_come_in_the_order_of_the_tasks(num_workers: int) -> None:
    # The first takes longest, so that the second worker is done before.
    results = list(in_workers(name_process, [(number, 0.3 * (number == 0)) for number in range(7)], num_workers=num_workers))
    assert [number for number, _ in results] == list(range(7))
    processes = {process for _, process in results}
    assert (os.getpid() in processes) == (num_workers < 2)
    assert len(processes) == max(num_workers, 1)


def test_tasks_are_drawn_when_there_is_room_for_their_results() -> None:
    drawn: list[int] = []

    def tasks() -> Iterator[tuple[int, float]]:
        for number in range(100):
            drawn.append(number)
            yield number, 0.0

    results = in_workers(name_process, tasks(), num_workers=2)
    next(results)
    time.sleep(0.2)
    assert len(drawn) == 5  # Two for each worker, and the one whose result is read.


@pytest.mark.parametrize("num_workers", [1, 2])
def test_an_error_of_a_task_arrives(num_workers: int) -> None:
    results = in_workers(divide, [(1,), (0,), (2,)], num_workers=num_workers)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


PROGRAM = """
import sys
from galaxies.workers import in_workers
from tests.test_workers import name_process
if __name__ == "__main__":
    for _, process in in_workers(name_process, ((number, 0.01) for number in range(10**6)), num_workers=2):
        print(process, flush=True)
"""


def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    """A worker that waits for work holds both ends of its queue, and would wait for ever."""
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, str(tmp_path / "program.py")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        workers: set[int] = set()
        while len(workers) < 2:
            workers.add(int(process.stdout.readline()))
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while any(psutil.pid_exists(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)
