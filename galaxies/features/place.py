"""A place: where bytes live, a folder or the objects under a prefix of an object store. obstore speaks to both.

An object is put whole or not at all, in one request, so that nothing half-written ever has a name. There is neither lock nor
rename: what one process alone may decide is put *if absent*, and the first one wins.

Credentials come from the environment (``AWS_ACCESS_KEY_ID`` …) or, through boto3, from the usual files of AWS. They are in no
message and no log.
"""

import os
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, S3Store

from galaxies.errors import InputError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig, S3Config, S3CredentialProvider

# A store that is restarted, or throttles, is back within this time; what a kill then costs is the block at work.
_RETRY_TIME = timedelta(minutes=3)
_PROBE_TIME = timedelta(seconds=10)

_ANSWERS = {
    "NoSuchBucket": "there is no such bucket; make it, or mend its name",
    "AccessDenied": "the credentials found do not allow it; look at AWS_PROFILE, AWS_ACCESS_KEY_ID and the bucket's policy",
    "InvalidAccessKeyId": "it does not know the access key found; look at AWS_PROFILE and AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret key found is not that of the access key; look at AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "the credentials found have expired; renew them and run the same command again",
    "SlowDown": "it is too busy; what is finished is kept, so run the same command later, or with fewer workers",
}
_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d+ [\w ]+)")


@dataclass(frozen=True)
class Found:
    """An object that stands at a place."""

    name: str  # below the place, with / between its parts
    num_bytes: int
    modified: datetime


@dataclass(frozen=True)
class Place:
    """A folder or a prefix, which need not exist yet; objects have names below it. Any number of threads may use one.

    Every method raises InputError for what the user can mend: a wrong address, a missing bucket or permission, a store that
    stays busy, a full disk.
    """

    url: str  # file:///folder or s3://bucket/prefix
    retry_time: timedelta = _RETRY_TIME  # after which a store that does not answer is an error

    def __post_init__(self) -> None:
        """Raise InputError unless the address is one that is known."""
        parts = urlsplit(self.url)
        is_known = (parts.scheme == "s3" and parts.netloc) or (parts.scheme == "file" and not parts.netloc and parts.path)
        if not is_known or parts.query or parts.fragment or parts.username:
            raise InputError(f"found the place {self.url!r}, expected s3://bucket/prefix or file:///folder.")

    def put(self, name: str, content: bytes) -> None:
        """Write an object, in place of one of that name."""
        with self._explained("write", name):
            obstore.put(self._store, name, content, use_multipart=False)

    def put_if_absent(self, name: str, content: bytes) -> bool:
        """Write an object unless one of that name is there; return whether the object there is this one."""
        with self._explained("write", name):
            try:
                obstore.put(self._store, name, content, mode="create", use_multipart=False)
            except AlreadyExistsError:
                # A request whose answer was lost is sent again, and then meets its own object.
                return bytes(obstore.get(self._store, name).bytes()) == content
        return True

    def get(self, name: str) -> bytes:
        """Return an object. Raises FileNotFoundError where there is none of that name."""
        with self._explained("read", name):
            return bytes(obstore.get(self._store, name).bytes())

    def get_range(self, name: str, start: int, stop: int) -> bytes:
        """Return bytes ``start`` to ``stop`` of an object, fewer where it ends before. Raises FileNotFoundError."""
        with self._explained("read", name):
            return bytes(obstore.get_range(self._store, name, start=start, end=stop))

    def has(self, name: str) -> bool:
        """Tell whether an object of that name is there."""
        with self._explained("look for", name):
            try:
                obstore.head(self._store, name)
            except FileNotFoundError:
                return False
        return True

    def list(self, prefix: str = "") -> Iterator[Found]:
        """Yield the objects whose names begin with the parts of ``prefix``, in no order, a page in memory at a time."""
        with self._explained("list", prefix):
            for page in obstore.list(self._store, prefix or None):
                yield from (Found(each["path"], each["size"], each["last_modified"]) for each in page)

    def delete(self, names: Sequence[str]) -> None:
        """Delete objects; those that are gone already do not matter."""
        with self._explained("delete", ", ".join(names[:1])):
            if not isinstance(self._store, LocalStore):
                obstore.delete(self._store, list(names))
                return
            for name in names:
                with suppress(FileNotFoundError):  # An object store does not mind, a disk does.
                    obstore.delete(self._store, name)

    def require_sound(self) -> None:
        """Raise InputError unless one can write, read and delete here, and what is put if absent replaces nothing."""
        # A mistake in an address should not take as long to find as a store that is restarted.
        place, name = replace(self, retry_time=min(self.retry_time, _PROBE_TIME)), f"probe-{uuid.uuid4().hex}"
        place.put(name, b"1")
        try:
            if place.put_if_absent(name, b"2") or place.get(name) != b"1":
                raise InputError(
                    f"{self.url}: this store replaces an object although it is asked to write only where none is "
                    "(If-None-Match), so two processes could spoil each other's work. Use another store, or a newer version."
                )
        finally:
            place.delete([name])

    @cached_property
    def _store(self) -> "ObjectStore":
        if self.url.startswith("file:"):
            return LocalStore(Path(unquote(urlsplit(self.url).path)), mkdir=True)
        endpoint = _find_endpoint()
        config: S3Config = {"endpoint": endpoint} if endpoint else {}
        client: ClientConfig = {"allow_http": bool(endpoint and endpoint.startswith("http://"))}
        retry: RetryConfig = {"max_retries": 1000, "retry_timeout": self.retry_time}
        provider = None if _environment_has_keys() else _read_aws_files()
        return S3Store.from_url(
            self.url, config=config, client_options=client, retry_config=retry, credential_provider=provider
        )

    def __reduce__(self) -> tuple[type["Place"], tuple[str, timedelta]]:
        """Another process opens the store anew, with the credentials that it finds."""
        return Place, (self.url, self.retry_time)

    @contextmanager
    def _explained(self, action: str, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise self._explain(error, action, name) from None
            raise
        except (BaseError, PermissionError, OSError) as error:
            # What the store was asked says more than a user wants, and might say more than others may see.
            raise self._explain(error, action, name) from None

    def _explain(self, error: Exception, action: str, name: str) -> InputError:
        text = str(error)
        code, status = _CODE.search(text), _STATUS.search(text)
        if code and code[1] in _ANSWERS:
            why = f"{_ANSWERS[code[1]]} ({code[1]})"
        elif status:
            why = f"it answers {status[1]}{f' ({code[1]})' if code else ''}; what is finished is kept"
        elif "HTTP error" in text:
            endpoint = _find_endpoint() or "the address of AWS"
            why = f"nobody answers at {endpoint}; look at AWS_ENDPOINT_URL and the network. What is finished is kept"
        else:
            why = text.splitlines()[0] if text else type(error).__name__
        return InputError(f"{self.url}: cannot {action} {name or 'what is there'}: {why}.")


def _find_endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def _environment_has_keys() -> bool:
    return "AWS_ACCESS_KEY_ID" in os.environ or "AWS_WEB_IDENTITY_TOKEN_FILE" in os.environ


def _read_aws_files() -> "S3CredentialProvider | None":
    """Return what the files of AWS say, where there are any: a provider of credentials that renews them."""
    files = [
        Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")).expanduser(),
        Path(os.environ.get("AWS_CONFIG_FILE", "~/.aws/config")).expanduser(),
    ]
    if not any(file.is_file() for file in files):
        return None  # obstore asks the machine, as a cloud's own do without keys.
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError as error:
        raise InputError(
            f"{' or '.join(map(str, files))} holds the credentials, and reading it needs boto3: `pip install boto3`. Or give "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment."
        ) from error
    return Boto3CredentialProvider()
