"""Download one large file: resumed where it broke off, checked to the last byte, never half under its final name.

The partial file lives in a work folder:

    <name>.partial    what has come so far
    <name>.json       which version of the file that is part of (ETag or Last-Modified), and its length
"""

import json
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests
import urllib3
from tqdm import tqdm

from galaxies.errors import InputError
from galaxies.files import file_sha256, format_bytes, link_or_copy, replacing, require_free_disk, write_json
from galaxies.work_folder import open_work_folder

_logger = logging.getLogger(__name__)

_BLOCK_BYTES = 1 << 20
_TIMEOUT_S = (20.0, 60.0)  # to connect, and between two packets
_BUSY = (408, 425, 429)  # client errors that are none: ask again later


class _BrokenOffError(Exception):
    """The transfer ended early, for a reason that may pass."""


@dataclass(frozen=True)
class RemoteFile:
    """One file to be had from a server."""

    url: str
    sha256: str  # of the whole file, or any
    check: Callable[[Path], None]  # raises InputError when the file is not one of the right kind
    advice: str  # what a user can do when it cannot be had; ends every error


def download(remote: RemoteFile, path: Path, *, work: Path, attempts: int = 5, pause_s: float = 2.0) -> None:
    """Download a file to ``path`` by way of a partial file in the folder ``work``, which a killed run leaves for the next one.

    Where the digest is known, the whole file stays in ``work`` under a second name (a hard link, no bytes) until a later stage
    discards it: DVC hashes an out for seconds, and deletes it when it is killed meanwhile.

    Args:
        remote: where from, and what it must be.
        path: final name; the file appears whole and checked, in one step.
        work: the work folder.
        attempts: transfers in a row that bring nothing new before it gives up.
        pause_s: before the second attempt; doubled before each further one.

    Raises:
        InputError: server or network failure, a full disk, bytes of another digest, or what the check finds.
    """
    with open_work_folder(work) as folder:
        folder.begin({})  # A file's bytes depend on nothing but the file.
        partial = work / f"{path.name}.partial"
        try:
            _transfer_all(remote.url, partial, attempts, pause_s)
            _require_right(partial, remote.sha256, remote.check)
        except InputError as error:
            raise InputError(f"{remote.url} cannot be used: {error} {remote.advice}") from error
        with replacing(path) as temporary:
            temporary.unlink()
            link_or_copy(partial, temporary)
        folder.finish()
        if remote.sha256 == "any":
            # Nothing could tell it from another version of the file the next time.
            folder.discard()


def describe_download(folder: Path) -> str:
    """Say how far the download in a work folder is."""
    for partial in folder.glob("*.partial"):
        total = _read_state(partial)[1]
        return f"{format_bytes(_size(partial))} of {'an unknown size' if total is None else format_bytes(total)}"
    return "nothing yet"


def _transfer_all(url: str, partial: Path, attempts: int, pause_s: float) -> None:
    """Transfer until the file is whole; give up after ``attempts`` in a row that bring nothing new."""
    farthest, failures = _size(partial), 0
    while True:
        try:
            _transfer(url, partial)
            return
        except (requests.RequestException, _BrokenOffError) as error:
            failures = 0 if _size(partial) > farthest else failures + 1
            farthest = max(farthest, _size(partial))
            if failures == attempts or not _may_pass(error):
                raise InputError(f"{_describe(error)}, after {failures} attempts.") from error
            _logger.warning("%s broke off (%s); trying again", url, _describe(error))
            time.sleep(pause_s * 2 ** max(failures - 1, 0))
        except OSError as error:
            raise InputError(
                f"{partial} cannot be written ({error.strerror}); make room and run the same command again: it continues."
            ) from error


def _transfer(url: str, partial: Path) -> None:
    """Fetch what is missing of the file, in one request. Raises _BrokenOffError when that does not make it whole."""
    done = _size(partial)
    validator, total = _read_state(partial)
    if done and done == total:
        return
    headers = {"Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
        # Without it a file that changed on the server would be spliced onto the old one's beginning.
        if validator is not None:
            headers["If-Range"] = validator
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as response:
        if response.status_code in (206, 416) and not _continues(response, done, validator):
            partial.unlink(missing_ok=True)
            raise _BrokenOffError("the file on the server has changed, or another part was sent than asked for; starting anew")
        response.raise_for_status()
        start = done if response.status_code == 206 else 0
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else None
        if total is not None:
            require_free_disk(partial.parent, total - start, "The download")
        with (
            partial.open("ab" if start else "wb") as file,
            tqdm(total=total, initial=start, desc="download", unit="B", unit_scale=True, unit_divisor=1024) as progress,
        ):
            # After the old bytes are gone and before new ones come: a kill never leaves bytes under another's state.
            _write_state(partial, _validator(response), total)
            # Whatever has arrived is written: requests' own loop would lose the block in hand when the connection breaks.
            try:
                while block := response.raw.read1(_BLOCK_BYTES):
                    file.write(block)
                    progress.update(len(block))
            except urllib3.exceptions.HTTPError as error:
                raise _BrokenOffError(str(error)) from error
    if total is None:
        _write_state(partial, _validator(response), _size(partial))


def _continues(response: requests.Response, done: int, validator: str | None) -> bool:
    """Tell whether a response holds the bytes from ``done`` on, of the file that the first ones are of."""
    part = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    same_file = validator is None or _validator(response) in (None, validator)
    return response.status_code == 206 and done > 0 and part is not None and int(part[1]) == done and same_file


def _validator(response: requests.Response) -> str | None:
    """Return what tells one version of the file from another, byte by byte."""
    etag = response.headers.get("ETag")
    # A weak one, W/"…", says that two files are alike, not that they have the same bytes.
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def _read_state(partial: Path) -> tuple[str | None, int | None]:
    """Return validator and length of the file that ``partial`` is a part of, None where unknown."""
    try:
        state = json.loads(partial.with_suffix(".json").read_text(encoding="utf-8"))
        validator, total = state["validator"], state["total"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None, None
    return validator if isinstance(validator, str) else None, total if isinstance(total, int) else None


def _write_state(partial: Path, validator: str | None, total: int | None) -> None:
    write_json(partial.with_suffix(".json"), {"validator": validator, "total": total})


def _require_right(partial: Path, sha256: str, check: Callable[[Path], None]) -> None:
    """Check a whole file; a wrong one is thrown away, so that the next run does not find it again."""
    try:
        if sha256 == "any":
            _logger.warning("download.sha256: `any` means that the file is used as it came.")
        else:
            found = file_sha256(partial)
            if found != sha256.lower():
                raise InputError(f"it has the sha256 {found}, expected {sha256}; it is another file or was damaged on the way.")
        check(partial)
    except InputError:
        partial.unlink()
        raise


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _may_pass(error: Exception) -> bool:
    """Tell whether another attempt makes sense: not for an address that is none or a file that is not there."""
    response = getattr(error, "response", None)
    if response is not None:
        return bool(response.status_code >= 500 or response.status_code in _BUSY)
    return not isinstance(error, (ValueError, requests.TooManyRedirects))


def _describe(error: Exception) -> str:
    response = getattr(error, "response", None)
    if isinstance(error, requests.HTTPError) and response is not None:
        return f"the server answers {response.status_code} {response.reason}"
    if isinstance(error, requests.ConnectionError):
        return f"no connection ({error})"
    return str(error)
