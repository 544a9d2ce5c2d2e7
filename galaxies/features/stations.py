"""Stations of a pipeline: one thread that makes elements in advance, one that takes calls in the background.

Both queues are bounded, so memory does not grow when one station is slower than the next.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

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


@contextmanager
def in_background() -> Iterator[Callable[..., None]]:
    """Give a function ``call(function, *arguments)`` that runs calls in order in one thread.

    It returns at once unless two calls are waiting, and raises what an earlier call raised; so does leaving the block.
    """
    pending: deque[Future[object]] = deque()
    executor = ThreadPoolExecutor(1)

    def call(function: Callable[..., object], *arguments: object) -> None:
        while len(pending) >= _QUEUE_DEPTH:
            pending.popleft().result()
        pending.append(executor.submit(function, *arguments))

    try:
        yield call
        for future in pending:
            future.result()
    finally:
        executor.shutdown(cancel_futures=True)
