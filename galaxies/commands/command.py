"""What every command says of itself, and the options that several have."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from galaxies.paths import HEAD
from galaxies.runtime import Device, Library


@dataclass(frozen=True)
class Command:
    """One command of ``galaxies``.

    ``run`` imports what it needs itself, so that `galaxies --help` does not wait for PyTorch.
    """

    name: str
    summary: str  # one line, for the list of all commands
    example: str  # a whole line as somebody would type it
    run: Callable[[argparse.Namespace], None]
    add_options: Callable[[argparse.ArgumentParser], None] = lambda parser: None


def count(text: str) -> int:
    """Return a number of things, at least one, as argparse's ``type``."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"found {number}, expected 1 or more")
    return number


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which trained model answers, and on which device."""
    parser.add_argument("--model-dir", type=Path, default=HEAD.parent, help="the folder with head.pt, or the file (models)")
    parser.add_argument("--weights", type=Path, help="the backbone's weights, where they are not where training took them")
    parser.add_argument(
        "--device", choices=get_args(Device), default="auto", help="to compute on (auto: a CUDA GPU if there is one)"
    )
    parser.add_argument(
        "--forward", choices=get_args(Library), default="auto", help="what runs the backbone (auto: what takes less time)"
    )
