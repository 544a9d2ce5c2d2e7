"""Commands for what a kill, or an end that nobody wanted, leaves behind."""

import argparse
from pathlib import Path

from galaxies.commands.command import Command


def _recover(options: argparse.Namespace) -> None:
    from galaxies.repository.recovery import recover

    for line in recover(Path()):
        print(line)


def _scratch(options: argparse.Namespace) -> None:
    from galaxies.features.unfinished import delete_unfinished, format_unfinished, list_unfinished

    root = Path()
    if options.delete or options.older_than is not None:
        for line in delete_unfinished(root, keys=options.delete, older_than_days=options.older_than):
            print(line)
    for line in format_unfinished(list_unfinished(root)):
        print(line)


def _add_scratch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--delete", metavar="KEY", action="append", default=[], help="the key, or how it begins")
    parser.add_argument("--older-than", metavar="DAYS", type=float, help="delete what nobody has written to for so long")


COMMANDS = (
    Command("recover", "put right what a killed DVC or Git left behind", "galaxies recover", _recover),
    Command(
        "scratch",
        "list unfinished extractions, or delete them",
        "galaxies scratch --older-than 30",
        _scratch,
        _add_scratch,
    ),
)
