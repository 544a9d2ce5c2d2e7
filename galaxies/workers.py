"""Worker processes: the results of many calls, in order, with a bounded number of them waiting."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar, TypeVarTuple

Result = TypeVar("Result")
Task = TypeVarTuple("Task")


def in_workers(function: Callable[[*Task], Result], tasks: Iterable[tuple[*Task]], *, num_workers: int) -> Iterator[Result]:
    """Yield ``function(*task)`` for each task, in the order of the tasks.

    Args:
        function: of a module's top level, so that a worker can import it.
        tasks: drawn one by one, at most two for each worker ahead of the result that is read.
        num_workers: processes; 0 or 1 calls in this one.
    """
    if num_workers <= 1:
        yield from (function(*task) for task in tasks)
        return
    # A fresh interpreter each: a fork would inherit the threads of PyTorch and HDF5 in an unknown state.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(num_workers, context, initializer=_follow_parent)
    pending: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            # A bounded window: results must not pile up in memory while their reader is busy.
            if len(pending) == 2 * num_workers:
                yield pending.popleft().result()
            pending.append(executor.submit(function, *task))
        while pending:
            yield pending.popleft().result()
    finally:
        # Also when the reader stops early: the workers finish the task in hand and are gone when this returns.
        executor.shutdown(wait=True, cancel_futures=True)


def _follow_parent() -> None:
    """Make a worker leave the interrupt key to its parent, and end when that is gone, however it went.

    A worker that waits for work holds both ends of its queue and would wait for ever after a kill of the parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # A worker has one.
    parent.join()
    os._exit(1)
