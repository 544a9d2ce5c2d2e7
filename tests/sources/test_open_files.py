"""A file is opened once for all who want it, closed when many others were wanted since, and never while it is in use."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from galaxies.errors import InputError
from galaxies.sources.open_files import OpenFiles


class Opened:
    """What stands for an open file: it knows whether it was closed."""

    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        """Close it."""
        self.is_closed = True


class Opener:
    """Opens files and remembers them."""

    def __init__(self) -> None:
        self.opened: list[Opened] = []

    def __call__(self, path: Path) -> Opened:
        """Open a file."""
        if path.name == "damaged":
            self.opened.append(Opened())
            raise InputError("it is damaged")
        self.opened.append(Opened())
        return self.opened[-1]


def test_the_last_few_stay_open() -> None:
    opener = Opener()
    files = OpenFiles(opener, most=2)
    for name in "aabacbc":
        with files.use(Path(name)):
            pass
    # a, b, c, for which b went since a was wanted after it, and b again, for which a went.
    assert [opened.is_closed for opened in opener.opened] == [True, True, False, False]
    files.close()
    assert all(opened.is_closed for opened in opener.opened)


def test_a_file_in_use_is_not_closed_under_its_user() -> None:
    opener = Opener()
    files = OpenFiles(opener, most=1)
    with files.use(Path("a")) as first:
        for name in "bcd":
            with files.use(Path(name)):
                pass
        assert not first.is_closed
        with files.use(Path("a")) as again:
            assert again is first
    assert sum(not opened.is_closed for opened in opener.opened) == 1


def test_threads_share_one_opening() -> None:
    opener = Opener()
    files = OpenFiles(opener, most=3)

    def use(number: int) -> bool:
        with files.use(Path("abc"[number % 3])) as opened:
            return opened.is_closed

    with ThreadPoolExecutor(8) as executor:
        assert not any(executor.map(use, range(300)))
    assert len(opener.opened) == 3


def test_a_file_that_cannot_be_opened_is_tried_once() -> None:
    opener = Opener()
    files = OpenFiles(opener, most=2)
    for _ in range(5):
        with pytest.raises(InputError, match="it is damaged"), files.use(Path("damaged")):
            pass
    assert len(opener.opened) == 1
    files.close()
