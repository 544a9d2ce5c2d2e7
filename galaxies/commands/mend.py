"""Commands for what a kill, or an end that nobody wanted, leaves behind."""

import argparse
from pathlib import Path

from galaxies.commands.command import Command


def _recover(options: argparse.Namespace) -> None:
    from galaxies.repository.recovery import recover

    for line in recover(Path()):
        print(line)


def _scratch(options: argparse.Namespace) -> None:
    from galaxies.repository.unfinished import delete_unfinished, format_unfinished, list_unfinished, list_unfinished_in

    found = list_unfinished_in(options.folder) if options.folder else list_unfinished(Path())
    if options.delete or options.older_than is not None:
        for line in delete_unfinished(found, keys=options.delete, older_than_days=options.older_than):
            print(line)
        found = [work for work in found if work.path.exists()]
    for line in format_unfinished(found):
        print(line)


def _add_scratch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--in", metavar="FOLDER", type=Path, dest="folder", help="predictions whose result will stand there")
    parser.add_argument("--delete", metavar="KEY", action="append", default=[], help="the key, or how it begins")
    parser.add_argument("--older-than", metavar="DAYS", type=float, help="delete what nobody has written to for so long")


COMMANDS = (
    Command("recover", "put right what a killed DVC or Git left behind", "galaxies recover", _recover),
    Command(
        "scratch",
        "list the unfinished work of all stages, or delete it",
        "galaxies scratch --older-than 30",
        _scratch,
        _add_scratch,
    ),
)
