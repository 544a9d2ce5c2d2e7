"""A cutout service on this machine that draws any position, and behaves as badly as real ones do.

Used by the tests of cutouts and ``python -m benchmarks.cutout_kills``.
"""

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from PIL import Image

TEMPLATE = "/cutout.{kind}?ra={{ra}}&dec={{dec}}&layer={{layer}}&pixscale={{pixscale}}&size={{size}}"


class CutoutServer(ThreadingHTTPServer):
    """Draws the position that it is asked for, unless ``misbehave`` has an answer of its own for a request, by its number.

    Attributes:
        queries: what it was asked for, in order.
        times: when, in s.
        agents: who asked.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.misbehave: Callable[[int, dict[str, str]], Answer | None] = lambda number, query: None
        self.queries: list[dict[str, str]] = []
        self.times: list[float] = []
        self.agents: set[str] = set()
        self.lock = threading.Lock()

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet: who was killed hangs up."""

    def url(self, kind: str = "jpg") -> str:
        """Return the template of the address."""
        return f"http://127.0.0.1:{self.server_port}{TEMPLATE.format(kind=kind)}"

    def most_in_a_second(self) -> int:
        """Return the largest number of requests that arrived within one second."""
        times = np.sort(self.times)
        return int((np.searchsorted(times, times + 1) - np.arange(len(times))).max(initial=0))


class _Handler(BaseHTTPRequestHandler):
    server: CutoutServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        with self.server.lock:
            number = len(self.server.queries)
            self.server.queries.append(query)
            self.server.times.append(time.monotonic())
            self.server.agents.add(self.headers["User-Agent"])
        answer = self.server.misbehave(number, query)
        (answer or send(draw(query, parts.path)))(self)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


Answer = Callable[[_Handler], None]


def noise(query: dict[str, str]) -> NDArray[np.uint8]:
    """Return the picture of a position, (S, S, 3), the same each time."""
    seed = [round(float(query[name]) * 1e6) % 2**32 for name in ("ra", "dec")]
    size = int(query["size"])
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def draw(query: dict[str, str], path: str = ".jpg") -> bytes:
    """Return a picture or, for a path that ends so, a FITS cube of a position."""
    content = io.BytesIO()
    if path.endswith(".fits"):
        planes = np.moveaxis((noise(query).astype(np.float32) / 255) ** 8 / 10, -1, 0)  # Dark, as a sky is.
        fits.PrimaryHDU(planes, fits.Header({"BANDS": "grz", "BUNIT": "nanomaggy"})).writeto(content)
    else:
        Image.fromarray(noise(query)).save(content, "JPEG", quality=90)
    return content.getvalue()


def send(
    content: bytes, *, status: int = 200, limit: int | None = None, has_length: bool = True, retry_after: str | None = None
) -> Answer:
    """Answer with some content, of which ``limit`` bytes arrive."""

    def answer(handler: _Handler) -> None:
        handler.send_response(status)
        if retry_after is not None:
            handler.send_header("Retry-After", retry_after)
        if has_length:
            handler.send_header("Content-Length", str(len(content)))
        if limit is not None or not has_length:
            handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(content[:limit])
        handler.close_connection = handler.close_connection or limit is not None or not has_length

    return answer


def refuse(status: int, *, retry_after: str | None = None) -> Answer:
    """Answer with a status alone."""
    return send(b"", status=status, retry_after=retry_after)


def late(seconds: float, answer: Answer) -> Answer:
    """Answer after a while."""

    def wait(handler: _Handler) -> None:
        time.sleep(seconds)
        answer(handler)

    return wait


def misbehave_at_random(
    seed: int, *, retry_after: str = "1", pause_s: float = 0.05
) -> Callable[[int, dict[str, str]], Answer | None]:
    """Return a bad character: of 100 requests 5 fail, 2 are refused for a while, 4 are cut off, 3 wrong, 4 slow."""

    def misbehave(number: int, query: dict[str, str]) -> Answer | None:
        content = draw(query)
        chance = np.random.default_rng([seed, number]).random()
        bounds: list[tuple[float, Answer]] = [
            (0.05, refuse(500)),
            (0.07, refuse(429, retry_after=retry_after)),
            (0.09, send(content, limit=len(content) // 2)),
            (0.11, send(content[: len(content) // 2], has_length=False)),
            (0.13, send(b"<html>Please try again later.</html>")),
            (0.14, send(draw({**query, "size": "8"}))),
            (0.18, late(pause_s, send(content))),
        ]
        return next((answer for bound, answer in bounds if chance < bound), None)

    return misbehave


@contextmanager
def serve_cutouts() -> Iterator[CutoutServer]:
    """Run a service in a thread."""
    with CutoutServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def write_positions(path: Path, number: int, *, first: int = 0) -> Path:
    """Write a catalogue of positions in two classes."""
    lines = [f"g{n},{(n * 7.3) % 360:.5f},{(n * 1.7) % 170 - 85:.5f},{'xy'[n % 2]}" for n in range(first, first + number)]
    path.write_text("\n".join(["id,ra,dec,label", *lines]) + "\n")
    return path
