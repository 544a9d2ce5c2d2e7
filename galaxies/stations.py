"""Stations of a pipeline: threads that make elements in advance, threads that take calls in the background.

All queues are bounded, so memory does not grow when one station is slower than the next.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Argument = TypeVar("Argument")
Element = TypeVar("Element")

_QUEUE_DEPTH = 2


def in_advance(source: Iterator[Element]) -> Iterator[Element]:
    """Yield what ``source`` yields, made by one thread up to two elements ahead; its exceptions arrive here."""
    end = object()
    with ThreadPoolExecutor(1) as executor:
        pending = deque(executor.submit(next, source, end) for _ in range(_QUEUE_DEPTH))
        while (element := pending.popleft().result()) is not end:
            pending.append(executor.submit(next, source, end))
            yield element  # type: ignore[misc]


def in_order(call: Callable[[Argument], Element], arguments: Iterable[Argument], *, num_threads: int) -> Iterator[Element]:
    """Yield what ``call`` gives of each argument, in order, while threads make the next ones, each one of them.

    The arguments are drawn in the thread that iterates; exceptions of the calls arrive there.
    """
    executor = ThreadPoolExecutor(num_threads)
    pending: deque[Future[Element]] = deque()
    try:
        for argument in arguments:
            pending.append(executor.submit(call, argument))
            if len(pending) > num_threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)


@contextmanager
def in_background(num_threads: int = 1) -> Iterator[Callable[..., None]]:
    """Give a function ``call(function, *arguments)`` that runs calls in threads; with one thread, in order.

    It returns at once unless every thread is busy, and raises what an earlier call raised; so does leaving the block.
    """
    pending: deque[Future[object]] = deque()
    executor = ThreadPoolExecutor(num_threads)

    def call(function: Callable[..., object], *arguments: object) -> None:
        while len(pending) >= num_threads:
            pending.popleft().result()
        pending.append(executor.submit(function, *arguments))

    try:
        yield call
        for future in pending:
            future.result()
    finally:
        executor.shutdown(cancel_futures=True)
