"""From an image of a galaxy to what a backbone sees: zoomed, resized, normalised, and turned into its eight D4 views.

Legend: B images, V views, C channels in the file, c channels of the backbone, S image size in the file, s of the backbone.
"""

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from galaxies.backbones.spec import NUM_VIEWS, Transform

GREY_WEIGHTS = (19595, 38470, 7471)  # of red, green and blue, of 65,536: Pillow's, by ITU-R 601-2
ZOOM_ROUNDING = 1e-3  # grey levels; a whole one may come out just below itself


def prepare(images: Tensor, transform: Transform) -> Tensor:
    """Turn (B, C, S, S), uint8 or floats from 0 to 1, into (B, c, s, s) float32, as the weights' own program does."""
    return normalize(resize(images, transform), transform)


def resize(images: Tensor, transform: Transform) -> Tensor:
    """Return (B, c, s, s) uint8: what a cut at ``input`` stores. Floats from 0 to 1, (B, C, S, S), give float32.

    Grey, zoom and resize come in this order and each gives whole grey levels, as in Zoobot's ``get_galaxy_transform``.
    """
    if images.is_floating_point():
        images = images.to(torch.float32)
    if transform.channels == 1 and images.shape[-3] == 3:
        images = _to_grey(images)
    if transform.zoom != 1:
        images = _zoom(images, transform.zoom)
    size = [transform.image_size, transform.image_size]
    resized: Tensor = functional.resize(images, size, InterpolationMode(transform.interpolation), antialias=True)
    return resized


def _to_grey(images: Tensor) -> Tensor:
    """Turn (B, 3, S, S) uint8 into (B, 1, S, S), to the very bytes of Pillow."""
    if images.is_floating_point():
        return (images * torch.tensor(GREY_WEIGHTS, device=images.device).view(3, 1, 1) / (1 << 16)).sum(dim=-3, keepdim=True)
    weights = torch.tensor(GREY_WEIGHTS, dtype=torch.int32, device=images.device).view(3, 1, 1)
    weighted = (images.to(torch.int32) * weights).sum(dim=-3, keepdim=True, dtype=torch.int32)
    return (weighted + (1 << 15) >> 16).to(images.dtype)


def _zoom(images: Tensor, zoom: float) -> Tensor:
    """Enlarge (B, c, S, S) uint8 about the middle, bilinearly, and keep the size.

    Fractions of grey levels are cut off, as Pillow does, with which Zoobot's program zooms: a difference of half a level.
    """
    pixels = functional.to_dtype(images, torch.float32)
    interpolation = InterpolationMode.BILINEAR
    enlarged: Tensor = functional.affine(
        pixels, angle=0, translate=[0, 0], scale=zoom, shear=[0, 0], interpolation=interpolation
    )
    return enlarged if images.is_floating_point() else (enlarged + ZOOM_ROUNDING).to(images.dtype)


def normalize(resized: Tensor, transform: Transform) -> Tensor:
    """Turn (B, c, s, s), uint8 or from 0 to 1, into float32, with the weights' mean and standard deviation taken out.

    The result is contiguous: with the channels innermost the same arithmetic takes 3 to 5 times as long (measured).
    """
    is_copy = not resized.is_floating_point()
    pixels: Tensor = functional.to_dtype(resized.contiguous(), torch.float32, scale=True)
    normalized: Tensor = functional.normalize(pixels, list(transform.mean), list(transform.std), inplace=is_copy)
    return normalized


def turn(images: Tensor, view: int) -> Tensor:
    """Return one of the eight images that the symmetries of the square (D4) make of each, (..., s, s).

    View v is the image mirrored left to right if v >= 4, then turned counter-clockwise by v % 4 quarter turns. View 0 is the
    image itself. A galaxy has no up and no handedness that its class depends on, so all eight show the same class.
    """
    mirrored = images.flip(-1) if view >= 4 else images
    return mirrored.rot90(view % 4, (-2, -1))


def turn_each(images: Tensor, views: Tensor) -> Tensor:
    """Return each of images (B, 3, s, s) in the view that ``views``, (B,), names for it."""
    turned = torch.empty_like(images)
    for view in range(NUM_VIEWS):
        turned[views == view] = turn(images[views == view], view)
    return turned


def stack_views(images: Tensor, num_views: int) -> Tensor:
    """Turn (B, 3, s, s) into (B * V, 3, s, s): the views of the first image in order, those of the second, and so on."""
    if num_views == 1:
        return images
    return torch.stack([turn(images, view) for view in range(num_views)], dim=1).flatten(0, 1)
