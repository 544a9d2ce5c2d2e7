"""What changes speed and nothing else: device, library, batch size, number of workers. In no stage's params."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from galaxies.errors import InputError
from galaxies.params import Limits

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "cuda", "mps", "xpu"]
"""What can be asked for; auto is CUDA where there is one, else the CPU. Nobody has tried mps and xpu."""

Library = Literal["auto", "torch", "onnxruntime"]
"""What runs a frozen network; auto follows a table (:mod:`galaxies.backbones.choice`)."""


def describe_device(device: "torch.device") -> str:
    """Return the kind of a device and what of it may change the last bits: the name of a GPU, the instructions of a CPU."""
    import torch

    if device.type == "cpu":
        return f"cpu {torch.backends.cpu.get_cpu_capability()}"
    name = f" {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
    return f"{device.type}{name}"


@dataclass(frozen=True)
class RuntimeParams:
    """The section ``runtime`` of params.yaml."""

    device: Device = "auto"
    forward: Library = "auto"  # what runs the backbone: auto, torch or onnxruntime
    batch_size: Annotated[int, Limits(1, 65536)] = 64  # galaxies in one forward pass of the backbone
    num_workers: Annotated[int, Limits(0, 1024)] | Literal["auto"] = (
        "auto"  # processes or threads beside the main one; auto: all cores
    )

    def pick_device(self) -> "torch.device":
        """Return the device to compute on. Raises InputError when one is asked for that is not there."""
        # Stages that only count workers need not wait for torch.
        import torch

        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        present = torch.accelerator.current_accelerator(check_available=True)
        if self.device not in ("cpu", present.type if present else None):
            raise InputError(
                f"runtime.device: found {self.device}, but torch sees no such device here, only "
                f"{f'{present.type} and cpu' if present else 'cpu'}; use `-S runtime.device=auto` or `--device auto`."
            )
        return torch.device(self.device)

    def count_workers(self) -> int:
        """Return the number of workers; ``auto`` is every core this process may use."""
        if self.num_workers == "auto":
            return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
        return self.num_workers
