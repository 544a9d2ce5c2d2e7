"""Make sure, before hours of computing, that the backbone treats each galaxy by itself and gives numbers.

Legend: B galaxies, V views, S image size in the file.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from galaxies.errors import InputError

# Largest difference between a galaxy alone and in a batch, root mean square, as a fraction of the activation's own. Measured
# on a CPU with ResNet-18, ResNet-50 and MobileNetV2: below 1e-6 in float32, 0 in bfloat16; with BatchNorm over the batch
# 0.30 to 0.58. A GPU may choose other kernels for a batch of one, and those of half precision round to 0.004.
_TOLERANCE = {"float32": 1e-2, "bfloat16": 5e-2, "float16": 5e-2}


def check_forward(
    forward: Callable[[Tensor], Mapping[str, Tensor]], module: nn.Module, images: Tensor, *, precision: str
) -> dict[str, Tensor]:
    """Send a few galaxies through in a batch and each alone, and return the batch's activations, (B, V, ...) on the CPU.

    Args:
        forward: made of ``module``.
        module: the backbone.
        images: (B, S, S, 3) uint8.
        precision: of the forward pass.

    Raises:
        InputError: the pass changes the module's buffers (BatchNorm's running statistics), an activation is NaN or infinite,
            or a galaxy's activation depends on its neighbours in the batch.
    """
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    together = {layer: activation.cpu() for layer, activation in forward(images).items()}
    alone = [forward(images[index : index + 1]) for index in range(len(images))]
    for name, buffer in module.named_buffers():
        if not torch.equal(buffer, before[name].to(buffer.device)):
            raise InputError(
                f"Self-check: the forward pass changed {name} of the backbone, which must be frozen: a BatchNorm or a like "
                "layer is in train mode. Nothing was written; call .eval() on the module."
            )
    for layer, activation in together.items():
        require_finite(layer, activation, precision)
        single = torch.cat([parts[layer].cpu() for parts in alone]).double()
        scale = single.square().mean().sqrt().clamp(min=1e-30)
        difference = float((activation.double() - single).square().mean().sqrt() / scale)
        if difference > _TOLERANCE[precision]:
            raise InputError(
                f"Self-check: activations of {layer} of a galaxy alone and in a batch of {len(images)} differ by "
                f"{difference:.2g} of their size, more than {_TOLERANCE[precision]:g}: the backbone mixes the galaxies of a "
                "batch, as a BatchNorm in train mode does. Nothing was written; choose another backbone."
            )
    return together


def require_finite(layer: str, activation: Tensor, precision: str) -> None:
    """Raise InputError that says what to do, if an activation holds NaN or infinity."""
    if not bool(torch.isfinite(activation).all()):
        raise InputError(describe_not_finite(f"layer {layer}", precision))


def describe_not_finite(where: str, precision: str) -> str:
    """Say what to do about NaN or infinity."""
    if precision == "float16":
        return (
            f"{where}: the backbone gives NaN or infinity; float16 ends at 65504, and an activation on the way may be larger. "
            "Use `-S extract.precision=bfloat16` or `-S extract.precision=float32`."
        )
    return (
        f"{where}: the backbone gives NaN or infinity; check extract.mean and extract.std, and that extract.weights is not "
        "damaged, or use `-S extract.precision=float32`."
    )
