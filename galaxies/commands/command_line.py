"""``galaxies COMMAND``: all commands in groups, and what becomes of their errors."""

import argparse
import os
import sys

from galaxies.commands import look, make, mend, predict, targets
from galaxies.commands.command import Command
from galaxies.errors import InputError
from galaxies.files import explain_disk_errors

GROUPS: dict[str, tuple[Command, ...]] = {
    "make: what the parameters want to know": (*make.COMMANDS, *targets.COMMANDS),
    "look: what a run has found": look.COMMANDS,
    "predict: your own galaxies": predict.COMMANDS,
    "mend: what a kill leaves behind": mend.COMMANDS,
}
"""The title of each group in `galaxies --help`, and its commands."""

_DESCRIPTION = "`dvc repro` runs the pipeline by the keys of params.yaml; these are the tools beside it."


def main(arguments: list[str] | None = None) -> int:
    """Run one command; an InputError, a full disk or a missing permission becomes a message on stderr and exit code 1."""
    parser = make_parser()
    if not (sys.argv[1:] if arguments is None else arguments):
        parser.print_help()
        return 0
    options = parser.parse_args(arguments)
    try:
        with explain_disk_errors("the disk"):
            options.run(options)
    except InputError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; Python would complain of it once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; what it parses has the command's ``run``."""
    # argparse puts all commands into one list, without groups, so the list stands in the epilog.
    parser = argparse.ArgumentParser(
        prog="galaxies",
        usage="galaxies COMMAND ...",
        description=_DESCRIPTION,
        epilog="\n\n".join([*map(_format_group, GROUPS), "galaxies COMMAND --help has an example and all options."]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parsers = parser.add_subparsers(prog="galaxies", required=True, metavar="COMMAND", help=argparse.SUPPRESS)
    for command in (command for commands in GROUPS.values() for command in commands):
        added = parsers.add_parser(
            command.name,
            description=f"{command.summary[0].upper()}{command.summary[1:]}.",
            epilog=f"example:\n  {command.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_options(added)
        added.set_defaults(run=command.run)
    return parser


def _format_group(title: str) -> str:
    return "\n".join([title, *(f"  {command.name:<12}{command.summary}" for command in GROUPS[title])])
