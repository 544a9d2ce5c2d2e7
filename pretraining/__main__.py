"""Make the shipped backbone again: render the stream, train on it, export the weights. Usage: python -m pretraining --help."""

import argparse
import logging
import sys
from pathlib import Path

import torch

from galaxies.errors import InputError
from galaxies.files import file_sha256
from pretraining.export import export_weights
from pretraining.shards import render_shards
from pretraining.training import Phase, Settings, train

SETTINGS = Settings()
PHASES = (
    Phase(num_steps=6000, num_shards=88, image_size=48, learning_rates=(2e-3, 2e-3)),
    Phase(num_steps=4000, num_shards=88, image_size=64, learning_rates=(2e-3, 1.5e-3)),
    Phase(num_steps=3000, num_shards=88, image_size=96, learning_rates=(1.5e-3, 0.0), average_decay=0.99),
)
"""What made galaxies-v1."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; an InputError becomes its message on stderr and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m pretraining", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    render = commands.add_parser("render", help="render the shards of the stream that are not there yet")
    render.add_argument("folder", type=Path)
    render.add_argument("--num-shards", type=int, default=max(phase.num_shards for phase in PHASES))
    render.add_argument("--num-workers", type=int, default=1)
    render.set_defaults(run=_render)
    training = commands.add_parser("train", help="train on the rendered shards; continues from the checkpoint if there is one")
    training.add_argument("folder", type=Path)
    training.add_argument("checkpoint", type=Path)
    training.set_defaults(run=_train)
    export = commands.add_parser("export", help="write the averaged weights of a checkpoint as float16 safetensors")
    export.add_argument("checkpoint", type=Path)
    export.add_argument("weights", type=Path)
    export.set_defaults(run=_export)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        options.run(options)
    except InputError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    return 0


def _render(options: argparse.Namespace) -> None:
    render_shards(
        options.folder,
        seed=SETTINGS.seed,
        shards=range(options.num_shards),
        image_size=SETTINGS.rendered_size,
        num_workers=options.num_workers,
    )


def _train(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    train(options.folder, options.checkpoint, settings=SETTINGS, phases=PHASES)


def _export(options: argparse.Namespace) -> None:
    export_weights(options.checkpoint, options.weights)
    print(f"{options.weights}: {options.weights.stat().st_size / 1e6:.1f} MB, sha256 {file_sha256(options.weights)}")


if __name__ == "__main__":
    sys.exit(main())
