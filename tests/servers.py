"""A file server of ten lines that behaves as badly as it is told to, one answer after the other."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
LAST_MODIFIED = "Wed, 21 Oct 2015 07:28:00 GMT"


class Server(ThreadingHTTPServer):
    """Gives its ``answers`` in order, the last one again and again, and remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[Answer] = [send()]
        self.ranges: list[str | None] = []
        self.if_ranges: list[str | None] = []
        self.num_bytes = 0

    @property
    def url(self) -> str:
        """The address of the file."""
        return f"http://127.0.0.1:{self.server_port}/file.h5"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.ranges.append(self.headers["Range"])
        self.server.if_ranges.append(self.headers["If-Range"])
        answers = self.server.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


Answer = Callable[[_Handler], None]


def send(
    content: bytes = CONTENT,
    *,
    etag: str = '"1"',
    ranges: bool = True,
    if_range: bool = True,
    has_length: bool = True,
    shift: int = 0,
    excess: int = 0,
    limit: int | None = None,
) -> Answer:
    """Send the part that is asked for.

    Args:
        content: the whole file.
        etag: of the file.
        ranges: whether Range is understood.
        if_range: whether If-Range is.
        has_length: whether the length is announced.
        shift: how far the part is off.
        excess: how much the announced length is.
        limit: bytes after which the connection is cut.
    """

    def answer(handler: _Handler) -> None:
        asked, wanted = handler.headers["Range"], handler.headers["If-Range"]
        partly = ranges and asked is not None and (not if_range or wanted in (None, etag, LAST_MODIFIED))
        start = int(asked.removeprefix("bytes=").removesuffix("-")) - shift if partly and asked else 0
        handler.send_response(206 if partly else 200)
        if partly:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if has_length:
            handler.send_header("Content-Length", str(len(content) - start + excess))
        handler.send_header("ETag", etag)
        handler.send_header("Last-Modified", LAST_MODIFIED)
        handler.end_headers()
        body = content[start:] if limit is None else content[start : start + limit]
        handler.server.num_bytes += len(body)  # First: whoever has read it all may look at once.
        handler.wfile.write(body)

    return answer


def cut(limit: int, *, content: bytes = CONTENT, etag: str = '"1"', has_length: bool = True) -> Answer:
    """Send ``limit`` bytes of what is asked for and hang up."""
    return send(content, etag=etag, has_length=has_length, limit=limit)


def stall(limit: int, proceed: threading.Event, *, content: bytes = CONTENT) -> Answer:
    """Send ``limit`` bytes and keep the connection open until ``proceed`` is set."""

    def answer(handler: _Handler) -> None:
        cut(limit, content=content)(handler)
        handler.wfile.flush()
        proceed.wait(60)

    return answer


def lie(excess: int) -> Answer:
    """Send everything, with a length that is wrong by ``excess`` bytes."""
    return send(excess=excess)


def refuse(status: int, **headers: str) -> Answer:
    """Answer with a status and no file."""

    def answer(handler: _Handler) -> None:
        handler.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            handler.send_header(name, value)
        handler.end_headers()

    return answer


@contextmanager
def serve() -> Iterator[Server]:
    """Run a server in a thread."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
