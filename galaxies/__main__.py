"""Small tools beside the pipeline: python -m galaxies --help."""

import argparse
import json
import sys
from pathlib import Path

from galaxies.errors import InputError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; an InputError becomes its message on stderr and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m galaxies", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    digest = commands.add_parser("digest", help="print the digest that download.sha256 or extract.weights_sha256 wants")
    digest.add_argument("path", type=Path, help="a file, a folder of class folders, or a catalogue of images")
    digest.set_defaults(run=_digest)
    show = commands.add_parser("show", help="print the metrics of the last run and where its pictures are")
    show.set_defaults(run=_show)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except InputError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    return 0


def _digest(options: argparse.Namespace) -> None:
    from galaxies.sources import digest

    print(digest(options.path))


def _show(options: argparse.Namespace) -> None:
    path = Path("metrics/test.json")
    if not path.is_file():
        raise InputError(f"There is no {path}; `dvc repro` makes it.")
    metrics = json.loads(path.read_text(encoding="utf-8"))
    print("\nOn the test galaxies:")
    for name, value in metrics.items():
        print(f"  {name:<18} {value}")
    print("\nmetrics/galaxies.png shows some of them; `dvc plots show` writes all plots to dvc_plots/index.html.")


if __name__ == "__main__":
    sys.exit(main())
