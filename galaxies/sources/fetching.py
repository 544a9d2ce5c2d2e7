"""Fetch many small files from one server, politely: a limited rate, a few at a time, pauses where it asks for them.

What has come is kept, each file checked and under its name in one step, so that a killed run costs what was in the air.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import requests
import urllib3

from galaxies.errors import InputError
from galaxies.files import format_bytes
from galaxies.sources.pace import Pace, read_retry_after

_USER_AGENT = f"galaxies (cutouts of a catalogue; {requests.utils.default_user_agent()})"
_TIMEOUT_S = (20.0, 60.0)  # to connect, and between two packets
_MOST_SECONDS = 180.0  # for one file: one that drips would otherwise hold a thread for hours
_MOST_BYTES = 64 << 20
_BLOCK_BYTES = 1 << 16
_ATTEMPTS = 6  # for one file
_MOST_FAILURES = 30  # files in a row that cannot be had: then something is wrong with server or address
_MOST_PAUSES = 12  # in a row that the server asks for
_LONGEST_PAUSE_S = 300.0
_LONGEST_RETRY_AFTER_S = 1800.0
_CLOSED = (401, 403)
_PASSING = (408, 425)  # client errors that may pass

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Courtesy:
    """How a server is asked."""

    rate_per_second: float = 5.0  # requests of all threads together, repeated ones included
    concurrency: int = 4  # requests that wait for an answer at a time
    pause_s: float = 1.0  # before a file is asked for again; doubled each time


@dataclass(frozen=True)
class Wanted:
    """A file that is wanted."""

    name: str  # that the caller knows it by
    url: str
    path: Path  # where it will stand


@dataclass(frozen=True)
class Fetched:
    """What became of it."""

    wanted: Wanted
    reason: str | None = None  # why it cannot be had; None: it stands in its place
    is_absent: bool = False  # whether that will stay so


class AbsentError(Exception):
    """There is no such file, and asking again would change nothing."""


class WrongContentError(Exception):
    """What came is not what was asked for; the next time it may be."""


def fetch_all(wanted: Iterable[Wanted], check: Callable[[Path], None], courtesy: Courtesy) -> Iterator[Fetched]:
    """Fetch files, in any order, and yield what became of each. Memory does not grow with their number.

    Args:
        wanted: the files.
        check: looks at what has come; raises AbsentError or WrongContentError.
        courtesy: how the server is asked.

    Raises:
        InputError: the server lets nobody in, is too busy, or fails all the time.
    """
    fetcher = _Fetcher(check, courtesy)
    iterator = iter(wanted)
    with ThreadPoolExecutor(courtesy.concurrency) as executor:
        try:
            running = {executor.submit(fetcher.fetch, one) for one in islice(iterator, 2 * courtesy.concurrency)}
            while running:
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for task in finished:
                    running.remove(task)
                    yield task.result()
                running |= {executor.submit(fetcher.fetch, one) for one in islice(iterator, len(finished))}
        finally:
            fetcher.pace.stop()
            executor.shutdown(cancel_futures=True)


class _Fetcher:
    """What the threads share."""

    def __init__(self, check: Callable[[Path], None], courtesy: Courtesy) -> None:
        self.pace, self._check, self._pause_s = Pace(courtesy.rate_per_second), check, courtesy.pause_s
        self._of_thread, self._lock = threading.local(), threading.Lock()
        self._num_failures = self._num_pauses = 0

    def fetch(self, wanted: Wanted) -> Fetched:
        """Bring one file. Raises InputError when none can be had."""
        reason = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                self.pace.sleep(min(self._pause_s * 2 ** (attempt - 1), _LONGEST_PAUSE_S))
            try:
                self._fetch_once(wanted)
            except AbsentError as error:
                self._num_failures = 0
                return Fetched(wanted, str(error), is_absent=True)
            except (requests.RequestException, urllib3.exceptions.HTTPError, WrongContentError) as error:
                reason = f"{_say(error)}, after {_ATTEMPTS} attempts"
            else:
                self._num_failures = 0
                return Fetched(wanted)
        with self._lock:
            self._num_failures += 1
        if self._num_failures >= _MOST_FAILURES:
            raise InputError(
                f"{self._num_failures} files in a row could not be had, the last one was {wanted.url} ({reason}). Is the "
                "server at work, and the address right? What has come is kept: the same command continues."
            )
        return Fetched(wanted, reason)

    def _fetch_once(self, wanted: Wanted) -> None:
        with self._ask(wanted.url) as response:
            status = f"the server answers {response.status_code} {response.reason}"
            if response.status_code in _CLOSED:
                raise InputError(f"{wanted.url}: {status}. What has come is kept: the same command continues.")
            if 400 <= response.status_code < 500 and response.status_code not in _PASSING:
                raise AbsentError(status)
            if response.status_code != 200:
                raise WrongContentError(status)
            wanted.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = wanted.path.with_name(f"{wanted.path.name}.{os.getpid()}.tmp")
            try:
                _receive(response, temporary)
                self._check(temporary)
                temporary.replace(wanted.path)
            finally:
                temporary.unlink(missing_ok=True)

    def _ask(self, url: str) -> requests.Response:
        """Ask once, or again as long as the server wants a pause."""
        while True:
            self.pace.wait()
            response = self._session().get(url, stream=True, timeout=_TIMEOUT_S)
            seconds = read_retry_after(response.headers.get("Retry-After"))
            if response.status_code != 429 and (response.status_code != 503 or seconds is None):
                self._num_pauses = 0
                return response
            response.close()
            self._pause(url, response, seconds)

    def _pause(self, url: str, response: requests.Response, seconds: float | None) -> None:
        seconds = min(self._pause_s * 2**self._num_pauses, _LONGEST_PAUSE_S) if seconds is None else seconds
        # The answers to what was asked before the pause belong to it.
        self._num_pauses += self.pace.hold(min(seconds, _LONGEST_RETRY_AFTER_S))
        if self._num_pauses > _MOST_PAUSES or seconds > _LONGEST_RETRY_AFTER_S:
            raise InputError(
                f"{url}: the server answers {response.status_code} {response.reason} and wants a pause of {seconds:.0f} s, the "
                f"{self._num_pauses}th in a row. Lower download.rate_per_second and run the same command again later: it "
                "continues."
            )
        if seconds >= 10:
            _logger.warning("the server wants a pause of %.0f s (%d %s)", seconds, response.status_code, response.reason)

    def _session(self) -> requests.Session:
        if not hasattr(self._of_thread, "session"):
            self._of_thread.session = requests.Session()
            self._of_thread.session.headers.update({"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"})
        session: requests.Session = self._of_thread.session
        return session


def _receive(response: requests.Response, path: Path) -> None:
    """Write a response to a file, whole, on the disk."""
    deadline, num_bytes = time.monotonic() + _MOST_SECONDS, 0
    with path.open("wb") as file:
        for block in response.iter_content(_BLOCK_BYTES):
            num_bytes += len(block)
            if num_bytes > _MOST_BYTES:
                raise WrongContentError(f"more than {format_bytes(_MOST_BYTES)} came")
            if time.monotonic() > deadline:
                raise WrongContentError(f"it took more than {_MOST_SECONDS:.0f} s")
            file.write(block)
        file.flush()
        os.fsync(file.fileno())


def _say(error: Exception) -> str:
    if isinstance(error, requests.Timeout):
        return "the server does not answer in time"
    if isinstance(error, requests.ConnectionError):
        return "the connection broke off"
    return str(error)
