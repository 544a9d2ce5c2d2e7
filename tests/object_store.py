"""An S3 server on this machine (moto's), that misbehaves when it is told to."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app  # type: ignore[attr-defined]
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Response

BUCKET = "survey"

Environ = dict[str, Any]
Fault = Callable[[Environ], Response | None]
"""Looks at a request, may change it, and answers it in the server's stead or not at all."""


class ObjectStore:
    """Attributes: url of the endpoint; fault, none at first; requests as method and path, in order."""

    def __init__(self) -> None:
        self.fault: Fault = lambda environ: None
        self.requests: list[tuple[str, str]] = []
        self._app = DomainDispatcherApplication(create_backend_app)
        self.server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def _answer(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        self.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        response = self.fault(environ)
        answer: Iterable[bytes] = (response or self._app)(environ, start_response)
        return answer


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        """Say nothing."""


def refuse(status: int, code: str) -> Response:
    """Return the answer of a server that refuses."""
    return Response(f"<Error><Code>{code}</Code><Message>no</Message></Error>", status=status, content_type="application/xml")


@contextmanager
def serve_objects() -> Iterator[ObjectStore]:
    """Run a server with one empty bucket in a thread. Credentials and address stand where AWS's tools look for them."""
    store = ObjectStore()
    thread = threading.Thread(target=store.server.serve_forever, daemon=True)
    thread.start()
    try:
        client = boto3.client(
            "s3", endpoint_url=store.url, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
        )
        client.create_bucket(Bucket=BUCKET)
        yield store
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            for each in page.get("Contents", []):
                client.delete_object(Bucket=BUCKET, Key=each["Key"])
        client.delete_bucket(Bucket=BUCKET)
    finally:
        store.server.shutdown()
        store.server.server_close()
        thread.join()
