"""Stations keep order, are bounded, and let no exception get lost."""

import threading
import time
from collections.abc import Iterator

import pytest

from galaxies.stations import in_advance, in_background, in_order


@pytest.mark.parametrize("num_elements", [0, 1, 2, 7])
def test_elements_arrive_in_order(num_elements: int) -> None:
    assert list(in_advance(iter(range(num_elements)))) == list(range(num_elements))


def test_no_more_than_the_queue_is_made_in_advance() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for element in range(100):
            made.append(element)
            yield element

    elements = in_advance(source())
    next(elements)
    elements.close()  # type: ignore[attr-defined] # It is a generator.
    assert len(made) <= 4


def test_an_exception_of_the_source_arrives() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("broken file")

    elements = in_advance(source())
    assert next(elements) == 1
    with pytest.raises(ValueError, match="broken file"):
        next(elements)


def test_calls_run_in_order_in_one_other_thread() -> None:
    seen: list[tuple[int, int]] = []
    with in_background() as call:
        for element in range(20):
            call(lambda element: seen.append((element, threading.get_ident())), element)
    assert [element for element, _ in seen] == list(range(20))
    assert {thread for _, thread in seen} != {threading.get_ident()}


def test_an_exception_of_the_last_call_arrives_at_the_end_of_the_block() -> None:
    def fail() -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), in_background() as call:
        call(fail)


@pytest.mark.parametrize("num_threads", [1, 2, 5])
@pytest.mark.parametrize("num_arguments", [0, 1, 7])
def test_results_come_in_the_order_of_the_arguments(num_arguments: int, num_threads: int) -> None:
    def call(argument: int) -> int:
        time.sleep(0.001 * (7 - argument))  # The later, the quicker.
        return -argument

    assert list(in_order(call, range(num_arguments), num_threads=num_threads)) == [
        -argument for argument in range(num_arguments)
    ]


def test_arguments_are_drawn_here_and_no_faster_than_results_are_taken() -> None:
    drawn: list[int] = []

    def arguments() -> Iterator[int]:
        for argument in range(100):
            drawn.append(threading.get_ident())
            yield argument

    results = in_order(lambda argument: argument, arguments(), num_threads=3)
    assert next(results) == 0
    assert len(drawn) == 4
    results.close()  # type: ignore[attr-defined] # It is a generator.
    assert set(drawn) == {threading.get_ident()}


def test_an_exception_of_a_call_arrives_in_its_place() -> None:
    def call(argument: int) -> int:
        if argument == 2:
            raise ValueError("broken file")
        return argument

    results = in_order(call, range(10), num_threads=3)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="broken file"):
        next(results)


def test_several_threads_take_calls_at_the_same_time_and_no_more_than_they_are() -> None:
    both, running = threading.Barrier(2, timeout=10), [0]

    def meet() -> None:
        running[0] += 1
        both.wait()  # Passed only if two calls run at once.
        running[0] -= 1

    with in_background(2) as call:
        for _ in range(10):
            call(meet)
            assert running[0] <= 2
