"""A state to continue training from, in a folder named by everything that determines the result.

DVC deletes outs before a run, so a checkpoint stands in DVC's own temporary folder of the main repository, as unfinished stores
do: ``.dvc/tmp/train/<key>/checkpoint.pt``. A finished training's stays until another training ends, for a kill while DVC hashes
the head would delete that, and then the next run has it again at once.
"""

import logging
import pickle
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from galaxies.features.identity import hash_json
from galaxies.files import locked, replacing

CHECKPOINT_FOLDER = Path(".dvc", "tmp", "train")

# Raised when the code changes what a state means.
_VERSION = 2

_logger = logging.getLogger(__name__)


class Checkpoint:
    """One file, replaced in one step. Made by :func:`open_checkpoint`."""

    def __init__(self, path: Path, *, seconds: float) -> None:
        self._path, self._seconds = path, seconds
        self._saved = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Return the last state, on the CPU, or None where there is none that can be read."""
        try:
            state: dict[str, Any] = torch.load(self._path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return None
        except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, OSError):
            _logger.warning("%s is damaged; training starts anew", self._path)
            return None
        return state

    def save(self, state: Mapping[str, Any], *, is_last: bool) -> None:
        """Write a state, unless the last one is younger than the least time between two: heads train 10 epochs a second."""
        if is_last or time.monotonic() - self._saved >= self._seconds:
            with replacing(self._path) as temporary:
                torch.save(dict(state), temporary)
            self._saved = time.monotonic()


@contextmanager
def open_checkpoint(root: Path, conditions: Mapping[str, Any], *, seconds: float = 2.0) -> Iterator[Checkpoint]:
    """Hold the checkpoint of a training under a lock while the block runs; then remove those of other trainings that ended.

    Args:
        root: the main repository.
        conditions: everything that determines the result, as plain JSON values.
        seconds: the least time between two states.
    """
    folder = root / CHECKPOINT_FOLDER / hash_json({"version": _VERSION, **conditions})[:32]
    with locked(folder):
        yield Checkpoint(folder / "checkpoint.pt", seconds=seconds)
        (folder / "finished").touch()
    for other in (root / CHECKPOINT_FOLDER).iterdir():
        if other != folder and (other / "finished").exists():
            with suppress(BlockingIOError), locked(other, wait=False):
                shutil.rmtree(other)
