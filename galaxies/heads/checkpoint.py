"""A state to continue training from, in a work folder: ``.dvc/tmp/train/<key>/checkpoint.pt``.

A finished training's stays until another training ends, for a kill while DVC hashes the head would delete that, and then the
next run has it again at once.
"""

import logging
import pickle
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from galaxies.files import replacing
from galaxies.work_folder import discard_finished_work, open_work_folder, work_path

# Raised when the code changes what a state means.
_VERSION = 4

_NAME = "checkpoint.pt"

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
def open_checkpoint(
    root: Path, identity: Mapping[str, object], conditions: Mapping[str, object], *, seconds: float = 2.0
) -> Iterator[Checkpoint]:
    """Hold the checkpoint of a training under a lock while the block runs; then remove those of other trainings that ended.

    Args:
        root: the main repository.
        identity: everything that determines the result, as plain JSON values.
        conditions: what may change its last bits, likewise; a state made under others is thrown away.
        seconds: the least time between two states.
    """
    path = work_path(root, "train", {"version": _VERSION, **identity})
    with open_work_folder(path) as work:
        work.begin(conditions)
        yield Checkpoint(path / _NAME, seconds=seconds)
        work.finish()
    discard_finished_work(but=path)


def describe_checkpoint(folder: Path) -> str:
    """Say how far the training is whose checkpoint stands in ``folder``."""
    state = Checkpoint(folder / _NAME, seconds=0).load()
    return f"epoch {state['epoch']}" if state else "no epochs"
