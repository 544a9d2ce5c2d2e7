"""Commands for targets beside the class: votes, numbers and tags."""

import argparse
from pathlib import Path

from galaxies.commands.command import Command
from galaxies.paths import GALAXIES

_PARAMS = Path("params.yaml")


def _targets(options: argparse.Namespace) -> None:
    from galaxies.data.galaxy_file import GalaxyFile
    from galaxies.heads.target_params import plain_values
    from galaxies.params_file import change_section
    from galaxies.sources.target_findings import look_at_targets

    ids = None
    if GALAXIES.exists():
        with GalaxyFile(GALAXIES) as galaxies:
            ids = galaxies.ids
    found = look_at_targets(options.table, ids, id_column=options.id, numbers=options.number, tags=options.tags)
    for line in found.lines:
        print(line)
    changed = change_section(_PARAMS, "split", found.split)
    if found.train:
        changed += change_section(_PARAMS, "train", {**plain_values(str(found.train["target"])), **found.train})
    print("\nparams.yaml:" if changed else "\nparams.yaml says so already.")
    for line in changed:
        print(f"  {line}")
    if found.train:
        print("The next command is `dvc repro`.")


def _add_targets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", type=Path, help="with a row a galaxy: CSV, Parquet, a FITS table, VOTable or ECSV")
    parser.add_argument("--id", default="id", metavar="COLUMN", help="the column with the ids of the galaxies (id)")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--number", nargs="+", default=[], metavar="COLUMN", help="learn these as numbers")
    kinds.add_argument("--tags", nargs="+", default=[], metavar="COLUMN", help="learn these as tags, of 0 and 1")


def _questions(options: argparse.Namespace) -> None:
    from galaxies.data.question_files import list_trees, open_tree, read_text

    if options.tree is not None:
        print(read_text(options.tree), end="")
        return
    for name in list_trees():
        tree = open_tree(name)
        print(
            f"{name:<12}{len(tree):>3} questions {tree.num_answers:>3} answers  {read_text(name).splitlines()[0].lstrip('# ')}"
        )


def _add_questions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tree", nargs="?", help="print the file of this one, to make one of your own from")


def _simulate(options: argparse.Namespace) -> None:
    from galaxies.files import write_csv
    from galaxies.params import parse_section
    from galaxies.params_file import read_section
    from galaxies.simulation.survey_targets import simulate_targets
    from galaxies.sources.download_params import SIMULATED_SIZE, DownloadParams

    params = parse_section(DownloadParams, read_section(_PARAMS, "download"), "download")
    size = params.image_size or SIMULATED_SIZE
    table, truth = simulate_targets(num_galaxies=params.num_galaxies, image_size=size, seed=params.seed)
    write_csv(options.table, table)
    print(f"{options.table}: votes, numbers and tags of {len(table)} galaxies of the simulated survey.")
    if options.truth is not None:
        write_csv(options.truth, truth)
        print(f"{options.truth}: the true probability of each answer.")


def _add_simulate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", type=Path, help="the CSV to write")
    parser.add_argument("--truth", type=Path, help="another one, with the true probability of each answer")


COMMANDS = (
    Command(
        "targets",
        "look at a table of votes, numbers or tags, and write into params.yaml what to learn",
        "galaxies targets gz2_hart16.csv.gz --id dr7objid",
        _targets,
        _add_targets,
    ),
    Command(
        "questions",
        "list the trees of questions that are built in, or print one",
        "galaxies questions gz_decals",
        _questions,
        _add_questions,
    ),
    Command(
        "simulate",
        "write votes, numbers and tags of the simulated survey",
        "galaxies simulate targets.csv --truth truth.csv",
        _simulate,
        _add_simulate,
    ),
)
