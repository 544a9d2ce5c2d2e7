"""Stations keep order, are bounded, and let no exception get lost."""

import threading
from collections.abc import Iterator

import pytest

from galaxies.features.stations import in_advance, in_background


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
