"""Commands that show what a run has found."""

import argparse
from pathlib import Path

from galaxies.commands.command import Command
from galaxies.paths import METRICS, PREDICTIONS


def _show(options: argparse.Namespace) -> None:
    from galaxies.evaluation.summary import format_summary

    for line in format_summary(METRICS):
        print(line)


def _compare(options: argparse.Namespace) -> None:
    from galaxies.evaluation.comparison import compare_predictions, format_comparison
    from galaxies.evaluation.told_comparison import compare_told
    from galaxies.evaluation.told_predictions import parse_told, tells_no_classes
    from galaxies.repository.revisions import read_predictions, read_text

    revisions = (options.first, options.second)
    if tells_no_classes(read_text(Path(), options.second, PREDICTIONS)):
        told = [parse_told(read_text(Path(), revision, PREDICTIONS), revision) for revision in revisions]
        table, num_galaxies = compare_told(*told), len(told[1].galaxies)
    else:
        first, second = (read_predictions(Path(), revision) for revision in revisions)
        table, num_galaxies = compare_predictions(first, second), len(second.galaxies)
    print(f"On the same {num_galaxies:,} test galaxies:")
    print(format_comparison(table, options.first, options.second))


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", metavar="REV_A", help="a Git revision, an experiment, or `workspace`")
    parser.add_argument("second", metavar="REV_B", help="as REV_A")


def _backbones(options: argparse.Namespace) -> None:
    from galaxies.backbones.listing import describe_preset, format_presets

    for line in describe_preset(options.name) if options.name else format_presets():
        print(line, flush=True)


def _add_backbones(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="show what this one stands for, instead of the list")


def _plots_page(options: argparse.Namespace) -> None:
    from galaxies.repository.plots_page import install_plots_page

    install_plots_page(Path(".dvc"))


COMMANDS = (
    Command("show", "print the metrics of the last run and where its pictures are", "galaxies show", _show),
    Command(
        "compare",
        "tell whether the second of two revisions or experiments is better",
        "galaxies compare main wide",
        _compare,
        _add_compare,
    ),
    Command(
        "backbones",
        "list the presets of extract.backbone: size, speed here, licence",
        "galaxies backbones zoobot-convnext-nano",
        _backbones,
        _add_backbones,
    ),
    Command(
        "plots-page",
        "make the page of `dvc plots show` and `diff` work without network",
        "galaxies plots-page",
        _plots_page,
    ),
)
