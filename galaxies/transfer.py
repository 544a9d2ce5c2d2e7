"""Download one large file: resumed where it broke off, checked to the last byte, never half under its final name."""

import json
import logging
import shutil
import time
from pathlib import Path

import requests
from tqdm import tqdm

from galaxies.errors import InputError
from galaxies.files import file_sha256, require_free_disk, write_text

_logger = logging.getLogger(__name__)

_BLOCK_BYTES = 1 << 20
_TIMEOUT_S = (20.0, 60.0)  # to connect, and between two packets


class _BrokenOffError(Exception):
    """The transfer ended early; what has come so far is kept."""


def download(url: str, path: Path, *, sha256: str, scratch: Path, advice: str, attempts: int = 5, pause_s: float = 2.0) -> None:
    """Download ``url`` to ``path`` by way of a partial file in ``scratch``, which a killed run leaves for the next one.

    Args:
        url: where from.
        path: final name; it appears whole and checked, in one step.
        sha256: of the whole file, or ``any``.
        scratch: folder of the partial file.
        advice: what a user can do when it cannot be had; ends every error.
        attempts: transfers to try; the next one continues where the last broke off.
        pause_s: before the second attempt; doubled before each further one.

    Raises:
        InputError: server or network failure, a full disk, or bytes of another digest.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    partial = scratch / f"{path.name}.partial"
    for attempt in range(attempts):
        try:
            _transfer(url, partial, path.name)
            break
        except (requests.RequestException, _BrokenOffError) as error:
            status = _status_of(error)
            if 400 <= status < 500 or attempt == attempts - 1:
                raise InputError(f"{url} cannot be downloaded ({error}), after {attempt + 1} attempts. {advice}") from error
            _logger.warning("%s broke off (%s); trying again", url, error)
            time.sleep(pause_s * 2**attempt)
        except OSError as error:
            raise InputError(
                f"{partial} cannot be written ({error}); make room and run the same command again: it continues. {advice}"
            ) from error
    found = file_sha256(partial)
    if sha256 not in ("any", found):
        partial.unlink()
        raise InputError(
            f"{url}: the file has the sha256 {found}, expected {sha256}; it is another file or was damaged on the way, and was "
            f"thrown away. {advice}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(partial, path)
    shutil.rmtree(scratch)


def _status_of(error: Exception) -> int:
    """Return the HTTP status that an error carries, 0 where there was no answer at all."""
    response = getattr(error, "response", None)
    return 0 if response is None else int(response.status_code)


def _transfer(url: str, partial: Path, name: str) -> None:
    """Fetch what is missing of the file, in one request. Raises _BrokenOffError when it ends short."""
    done = partial.stat().st_size if partial.exists() else 0
    validator_path = partial.with_suffix(".json")
    headers = {"Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
        # Without it a file that changed on the server would be spliced onto the old one's beginning.
        validator = _read_validator(validator_path)
        if validator is not None:
            headers["If-Range"] = validator
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as response:
        if response.status_code == 416 and done:
            # Nothing is left to send: the file is whole, or longer than the server's and will fail its digest.
            return
        response.raise_for_status()
        continues = response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {done}-")
        if response.status_code == 206 and not continues:
            partial.unlink()
            raise _BrokenOffError("the server sent another part of the file than was asked for")
        start = done if continues else 0
        length = int(response.headers["Content-Length"]) if response.headers.get("Content-Length", "").isdecimal() else None
        if length is not None:
            require_free_disk(partial.parent, length, f"Downloading {name}")
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified")
        write_text(validator_path, json.dumps({"validator": validator}))
        total = start + length if length is not None else None
        with (
            partial.open("ab" if continues else "wb") as file,
            tqdm(total=total, initial=start, desc=name, unit="B", unit_scale=True, unit_divisor=1024) as progress,
        ):
            for block in response.iter_content(_BLOCK_BYTES):
                file.write(block)
                progress.update(len(block))
        if total is not None and partial.stat().st_size < total:
            raise _BrokenOffError(f"{partial.stat().st_size} of {total} bytes arrived")


def _read_validator(path: Path) -> str | None:
    try:
        validator = json.loads(path.read_text(encoding="utf-8"))["validator"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    # A weak validator says that two files are alike, not that they have the same bytes.
    return validator if isinstance(validator, str) and not validator.startswith("W/") else None
