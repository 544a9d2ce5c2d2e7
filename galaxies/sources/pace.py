"""When a server may be asked: requests of several threads at a limited rate, and pauses where it asks for them."""

import email.utils
import threading
import time

# So that no second sees more requests than the rate, wherever it begins, though some are some milliseconds late.
_MARGIN = 1.05


class StopError(Exception):
    """Another thread has ended the work."""


class Pace:
    """Spaces the requests of all threads, and holds them back while the server asks for it."""

    def __init__(self, rate_per_second: float) -> None:
        self._spacing = _MARGIN / rate_per_second
        self._lock, self._stopped = threading.Lock(), threading.Event()
        # A run that was killed just now may have asked just now.
        self._next = time.monotonic() + self._spacing

    def wait(self) -> None:
        """Return when it is time for one more request. Raises StopError when there shall be none."""
        while True:
            with self._lock:
                delay = self._next - time.monotonic()
                if delay <= 0:
                    self._next = time.monotonic() + self._spacing
                    return
            self.sleep(delay)

    def hold(self, seconds: float) -> bool:
        """Let nobody ask for some time; return whether nobody was held back already."""
        with self._lock:
            now = time.monotonic()
            is_first = self._next <= now + self._spacing
            self._next = max(self._next, now + seconds)
            return is_first

    def sleep(self, seconds: float) -> None:
        """Sleep. Raises StopError when there shall be no more requests."""
        if self._stopped.wait(seconds):
            raise StopError

    def stop(self) -> None:
        """Wake all threads, and let them end."""
        self._stopped.set()


def read_retry_after(text: str | None) -> float | None:
    """Return the seconds that a server asks for, as a number or as a date; None where it asks for none."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        date = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return max(0.0, date.timestamp() - time.time())
