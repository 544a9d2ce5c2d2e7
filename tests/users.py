"""Tests of permissions also when root runs them: root may read and write what modes forbid."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


@contextmanager
def plain_user() -> Iterator[Path]:
    """Be a user whom modes bind, and give a folder of theirs: ``tmp_path`` lies below folders that are closed to others.

    All modules that are needed must have been imported: where root's Python is installed may be closed to others, too.
    """
    with tempfile.TemporaryDirectory() as name:
        if os.geteuid() != 0:
            yield Path(name)
            return
        os.chown(name, _NOBODY, _NOBODY)
        os.seteuid(_NOBODY)
        try:
            yield Path(name)
        finally:
            os.seteuid(0)
