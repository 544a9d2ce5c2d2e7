"""The stream, rendered ahead to files: each shard is whole or absent, so rendering can be killed and continued at any time.

A shard holds ``images`` (G, S, S, 3) uint8, ``labels`` (G,) uint8 and ``targets`` (G, T) float32 of G galaxies.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from safetensors.torch import load_file
from torch import Tensor
from tqdm import tqdm

from galaxies.errors import InputError
from galaxies.files import replacing
from galaxies.workers import in_workers
from pretraining.stream import TARGET_NAMES, simulate

SHARD_GALAXIES = 500  # 25 MB at 128 px; a multiple of the ten classes, which take turns in the stream


def shard_path(folder: Path, seed: int, shard: int) -> Path:
    """Return where a shard of a stream lies."""
    return folder / f"stream-{seed}-{shard:05d}.safetensors"


def render_shards(folder: Path, *, seed: int, shards: Sequence[int], image_size: int, num_workers: int) -> None:
    """Render those of the shards that are not there yet, in ``num_workers`` processes; 0 or 1 renders in this one."""
    missing = [shard for shard in shards if not shard_path(folder, seed, shard).exists()]
    tasks = ((folder, seed, shard, image_size) for shard in missing)
    rendered = in_workers(_render_shard, tasks, num_workers=num_workers)
    for _ in tqdm(rendered, total=len(missing), desc="render", unit="shard"):
        """It is on disk."""


def read_shard(path: Path, image_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return images, labels and targets of a shard, mapped into memory: what is not used is not read.

    Raises InputError where it was made for other sizes or targets.
    """
    shard = load_file(path)
    images, labels, targets = shard["images"], shard["labels"], shard["targets"]
    if images.shape[1] != image_size or targets.shape[1] != len(TARGET_NAMES):
        raise InputError(
            f"{path} holds images of {images.shape[1]} px with {targets.shape[1]} targets, expected {image_size} px and "
            f"{len(TARGET_NAMES)}; remove the folder and render again."
        )
    return images, labels, targets


def _render_shard(folder: Path, seed: int, shard: int, image_size: int) -> None:
    images = np.empty((SHARD_GALAXIES, image_size, image_size, 3), np.uint8)
    labels = np.empty(SHARD_GALAXIES, np.uint8)
    targets = np.empty((SHARD_GALAXIES, len(TARGET_NAMES)), np.float32)
    for row in range(SHARD_GALAXIES):
        images[row], labels[row], targets[row] = simulate(seed, shard * SHARD_GALAXIES + row, image_size)
    with replacing(shard_path(folder, seed, shard)) as temporary:
        save_file({"images": images, "labels": labels, "targets": targets}, temporary)
