"""The layers of a backbone: what each gives, whether it can be a cut, and what keeping it would cost.

Legend: B images, N galaxies, C channels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from galaxies.backbones.backbone import Backbone
from galaxies.backbones.graph import Graph
from galaxies.backbones.pooling import describe_tokens, find_positions
from galaxies.backbones.transform import prepare
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.errors import InputError
from galaxies.features.store import plan_layout
from galaxies.files import format_bytes
from galaxies.simulation.survey import draw_galaxy

_NUM_EXAMPLES = 8


@dataclass(frozen=True)
class Layer:
    """What one layer costs a galaxy, in bytes."""

    name: str
    shape: tuple[int, ...]  # of the activation of one image
    is_cut: bool
    pooled_bytes: int | None  # float32; None where it cannot be averaged over positions
    map_bytes: int  # float16, uncompressed
    compressed_fraction: float  # of a map, measured


def example_images(path: Path) -> tuple[Tensor, str]:
    """Return a few galaxies of the file at ``path``, or simulated ones where there is none, (B, S, S, 3) uint8; and whose."""
    if path.is_file():
        with GalaxyFile(path) as galaxies:
            spread = np.linspace(0, galaxies.num_galaxies - 1, min(_NUM_EXAMPLES, galaxies.num_galaxies)).astype(np.int64)
            return torch.from_numpy(galaxies.read_pictures(spread)), f"{len(spread)} galaxies of {path}"
    generator = np.random.default_rng(0)
    images = np.stack([draw_galaxy(label, 256, generator)[0] for label in range(_NUM_EXAMPLES)])
    return torch.from_numpy(images), f"{len(images)} simulated galaxies"


def measure_layers(backbone: Backbone, images: Tensor) -> list[Layer]:
    """Send images, (B, S, S, 3) uint8, through the whole backbone and measure what each node gives.

    How far a map compresses depends on its zeros, so it is measured on these very activations, with the codec of the store.
    """
    tokens = describe_tokens(backbone.module)
    layers: list[Layer] = []

    def visit(name: str, is_cut: bool, activation: Tensor) -> None:
        if activation.ndim < 2 or len(activation) != len(images):
            return
        try:
            positions = find_positions(name, activation.shape, None, tokens)
        except InputError:
            pooled_bytes = None
        else:
            (channel_axis,) = set(range(1, activation.ndim)) - set(positions.axes)
            pooled_bytes = 4 * activation.shape[channel_axis]
        rows = activation.float().unsqueeze(1).numpy()
        layout = plan_layout(rows, "float16")
        layers.append(
            Layer(
                name,
                tuple(activation.shape[1:]),
                is_cut,
                pooled_bytes,
                layout.row_bytes,
                layout.compressed_fraction(rows),
            )
        )

    Graph(backbone.module).walk(prepare(images.permute(0, 3, 1, 2), backbone.transform), visit)
    return layers


def format_layers(layers: list[Layer], num_galaxies: int) -> Iterator[str]:
    """Yield the lines of a table of what N galaxies take."""
    width = max(len(layer.name) for layer in layers)
    yield f"{'layer':<{width}}  {'activation':<18} {'cut':<4} {'pooled':>10} {'maps':>10} {'compressed':>11}"
    for layer in layers:
        shape = " x ".join(map(str, layer.shape))
        pooled = "-" if layer.pooled_bytes is None else format_bytes(layer.pooled_bytes * num_galaxies)
        maps = layer.map_bytes * num_galaxies
        yield (
            f"{layer.name:<{width}}  {shape:<18} {'yes' if layer.is_cut else 'no':<4} {pooled:>10} {format_bytes(maps):>10} "
            f"{format_bytes(maps * layer.compressed_fraction):>11}"
        )


def format_conditions(num_galaxies: int, *, image_size: int, whose: str, weights: str, num_hidden: int) -> Iterator[str]:
    """Yield the lines below the table: what it was measured on, and how many layers it leaves out.

    Args:
        num_galaxies: N of the table.
        image_size: px of the images that the backbone was given.
        whose: whose galaxies these were, as ``example_images`` says.
        weights: the name of the backbone's weights.
        num_hidden: nodes that cannot be a cut and are not in the table.
    """
    yield f"Bytes for {num_galaxies:,} galaxies, images of {image_size} px: pooled features float32, maps float16."
    yield f"Compression (zstd, level 1) was measured on {whose} with weights {weights}."
    if num_hidden:
        yield f"{num_hidden} nodes that cannot be a cut are not shown (--all)."
