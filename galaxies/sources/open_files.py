"""Files that several galaxies are in stay open from one galaxy to the next, the last few of them."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """Whatever can be closed."""

    def close(self) -> None:
        """Close it."""


Opened = TypeVar("Opened", bound=Closable)


class OpenFiles(Generic[Opened]):
    """Opens each file once, whoever asks for it, and closes those not asked for for longest when there are many.

    Threads may share it. A file that cannot be opened is tried once too: of a damaged mosaic with thousands of galaxies every
    one gets the reason, at no cost.
    """

    def __init__(self, open_file: Callable[[Path], Opened], *, most: int) -> None:
        """Keep at most ``most`` files open beside those in use; ``open_file`` opens one."""
        self._open_file, self._most = open_file, most
        self._entries: OrderedDict[Path, _Entry[Opened]] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def use(self, path: Path) -> Iterator[Opened]:
        """Give the open file at ``path`` while the block runs. Raises what opening it raised."""
        with self._lock:
            entry = self._entries.setdefault(path, _Entry())
            self._entries.move_to_end(path)
            entry.num_users += 1
        try:
            yield entry.get(path, self._open_file)
        finally:
            with self._lock:
                entry.num_users -= 1
                self._close_old()

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            while self._entries:
                self._entries.popitem()[1].close()

    def _close_old(self) -> None:
        idle = [path for path, entry in self._entries.items() if not entry.num_users]
        for path in idle[: max(0, len(self._entries) - self._most)]:
            self._entries.pop(path).close()


class _Entry(Generic[Opened]):
    """A file that is open, will be, or cannot be."""

    def __init__(self) -> None:
        self.num_users = 0
        self._opened: Opened | None = None
        self._error: Exception | None = None
        self._lock = threading.Lock()

    def get(self, path: Path, open_file: Callable[[Path], Opened]) -> Opened:
        with self._lock:
            if self._error is not None:
                raise self._error.with_traceback(None)  # Else each galaxy would add to it.
            if self._opened is None:
                try:
                    self._opened = open_file(path)
                except Exception as error:
                    self._error = error
                    raise
            return self._opened

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
