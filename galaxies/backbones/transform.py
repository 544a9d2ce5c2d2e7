"""From an image of a galaxy to what a backbone sees: resized, normalised, and turned into its eight D4 views.

Legend: B images, V views, S image size in the file, s image size of the backbone.
"""

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from galaxies.backbones.spec import Transform


def prepare(images: Tensor, transform: Transform) -> Tensor:
    """Turn (B, 3, S, S) uint8 into (B, 3, s, s) float32, as torchvision's own preset of these weights does."""
    return normalize(resize(images, transform), transform)


def resize(images: Tensor, transform: Transform) -> Tensor:
    """Return (B, 3, s, s) uint8: what a cut at ``input`` stores."""
    size = [transform.image_size, transform.image_size]
    resized: Tensor = functional.resize(images, size, InterpolationMode(transform.interpolation), antialias=True)
    return resized


def normalize(resized: Tensor, transform: Transform) -> Tensor:
    """Turn (B, 3, s, s) uint8 into float32, contiguous, with the weights' mean and standard deviation taken out."""
    # One plane after the other: with the channels innermost the same arithmetic takes 3 to 5 times as long (measured).
    pixels: Tensor = functional.to_dtype(resized.contiguous(), torch.float32, scale=True)
    normalized: Tensor = functional.normalize(pixels, list(transform.mean), list(transform.std), inplace=True)
    return normalized


def turn(images: Tensor, view: int) -> Tensor:
    """Return one of the eight images that the symmetries of the square (D4) make of each, (..., s, s).

    View v is the image mirrored left to right if v >= 4, then turned counter-clockwise by v % 4 quarter turns. View 0 is the
    image itself. A galaxy has no up and no handedness that its class depends on, so all eight show the same class.
    """
    mirrored = images.flip(-1) if view >= 4 else images
    return mirrored.rot90(view % 4, (-2, -1))


def stack_views(images: Tensor, num_views: int) -> Tensor:
    """Turn (B, 3, s, s) into (B * V, 3, s, s): the views of the first image in order, those of the second, and so on."""
    if num_views == 1:
        return images
    return torch.stack([turn(images, view) for view in range(num_views)], dim=1).flatten(0, 1)
