"""What surveys differ in, applied to rendered images on the fly: scale, orientation, resolution, noise, stretch, colour.

B images in a batch, S px rendered, s px wanted. Every number comes from the generator passed in.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

_ZOOM = (0.62, 1.15)  # side of the piece that is cut out, as a share of the rendered image; beyond 1 the border is mirrored
_SHIFT = 0.06  # of the middle of that piece, as a share of the image
_DEGRADED = 0.35  # share of the images that are seen at a lower resolution
_NOISY = 0.4  # share of the images that get noise that JPEG and the telescope did not correlate


def augment(images: Tensor, image_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return (B, 3, s, s) float32 between 0 and 1, and by what each galaxy appears larger in the frame, (B,) float32.

    Args:
        images: (B, 3, S, S) uint8.
        image_size: s.
        generator: of every choice.
    """
    pixels = images.float().div_(255)
    pixels, magnification = _turn_and_zoom(pixels, image_size, generator)
    pixels = _change_stretch(pixels, generator)
    pixels = _lower_resolution(pixels, generator)
    return _add_noise(pixels, generator).clamp_(0, 1), magnification


def _turn_and_zoom(pixels: Tensor, image_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Turn by any angle, mirror, zoom and shift, in one interpolation."""
    number = len(pixels)
    zoom = _uniform(number, *_ZOOM, generator)
    angle = _uniform(number, 0, 2 * math.pi, generator)
    mirror = torch.where(_uniform(number, 0, 1, generator) < 0.5, -1.0, 1.0)
    cosine, sine = zoom * angle.cos(), zoom * angle.sin()
    shift = torch.randn(number, 2, generator=generator) * (2 * _SHIFT / 3)
    matrix = torch.stack(
        [
            torch.stack([cosine * mirror, -sine, shift[:, 0]], 1),
            torch.stack([sine * mirror, cosine, shift[:, 1]], 1),
        ],
        1,
    )  # (B, 2, 3)
    # Halve first where otherwise pixels would be skipped: interpolation does not average.
    while pixels.shape[-1] >= 2 * image_size:
        pixels = functional.avg_pool2d(pixels, 2)
    grid = functional.affine_grid(matrix, [number, 3, image_size, image_size], align_corners=False)
    return functional.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False), 1 / zoom


def _change_stretch(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Change the sky's level, each channel's gain, the contrast between faint and bright, and the saturation."""
    shape = (len(pixels), 1, 1, 1)
    sky = 0.02 * torch.randn(len(pixels), 3, 1, 1, generator=generator)
    gain = torch.exp(
        0.25 * torch.randn(shape, generator=generator) + 0.10 * torch.randn(len(pixels), 3, 1, 1, generator=generator)
    )
    gamma = torch.exp(0.25 * torch.randn(shape, generator=generator))
    saturation = _uniform(len(pixels), 0.3, 1.5, generator).view(shape)
    pixels = ((pixels + sky) * gain).clamp_(1e-4, 1) ** gamma
    grey = pixels.mean(1, keepdim=True)
    return grey + (pixels - grey) * saturation


def _lower_resolution(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Shrink a part of the batch and enlarge it again, as images of coarser pixels or worse seeing are."""
    size, number = pixels.shape[-1], round(_DEGRADED * len(pixels))
    smaller = int(torch.randint(round(0.4 * size), round(0.85 * size), (), generator=generator))
    shrunk = functional.interpolate(pixels[:number], size=(smaller, smaller), mode="bilinear", antialias=True)
    pixels[:number] = functional.interpolate(shrunk, size=(size, size), mode="bilinear", align_corners=False)
    return pixels


def _add_noise(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Add white noise to a part of the batch, each image its own amount."""
    number = len(pixels)
    amount = 0.06 * _uniform(number, 0, 1, generator) ** 2 * (_uniform(number, 0, 1, generator) < _NOISY)
    return pixels + torch.randn(pixels.shape, generator=generator) * amount.view(-1, 1, 1, 1)


def _uniform(number: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(number, generator=generator)
