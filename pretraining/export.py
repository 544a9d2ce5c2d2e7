"""From a checkpoint to the file that is shipped: the averaged weights without the heads, in float16."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from galaxies.errors import InputError
from galaxies.files import replacing


def export_weights(checkpoint: Path, weights: Path) -> None:
    """Write the averaged weights of a checkpoint to a safetensors file, without the classifier.

    Raises InputError for a missing checkpoint.
    """
    if not checkpoint.is_file():
        raise InputError(f"There is no checkpoint {checkpoint}; `python -m pretraining train` makes one.")
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    kept = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in state["average"].items()
        if not name.startswith("fc.")
    }
    with replacing(weights) as temporary:
        save_file(kept, temporary, metadata={"network": state["settings"]["network"], "step": str(state["step"])})
