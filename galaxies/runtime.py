"""What changes speed and nothing else: the device, the batch size, the number of workers. In no stage's params."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from galaxies.errors import InputError
from galaxies.params import Limits

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class RuntimeParams:
    """The section ``runtime`` of params.yaml."""

    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: CUDA where there is one
    batch_size: Annotated[int, Limits(1, 65536)] = 64  # galaxies in one forward pass of the backbone
    num_workers: Annotated[int, Limits(0, 1024)] | Literal["auto"] = (
        "auto"  # processes or threads beside the main one; auto: all cores
    )

    def pick_device(self) -> "torch.device":
        """Return the device to compute on. Raises InputError when CUDA is asked for and absent."""
        # Stages that only count workers need not wait for torch.
        import torch

        available = torch.cuda.is_available()
        if self.device == "cuda" and not available:
            raise InputError("runtime.device: found cuda, but torch sees no CUDA device here; use `-S runtime.device=auto`.")
        return torch.device("cuda" if available and self.device != "cpu" else "cpu")

    def count_workers(self) -> int:
        """Return the number of workers; ``auto`` is every core this process may use."""
        if self.num_workers == "auto":
            return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
        return self.num_workers
