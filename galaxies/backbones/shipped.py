"""The backbone in the box: weights that lie beside this code, trained on simulated galaxies (``galaxies-v1.md``)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from galaxies.backbones.spec import Transform
from galaxies.errors import InputError
from galaxies.files import file_sha256


@dataclass(frozen=True)
class Shipped:
    """Weights of ours, all for ``resnet18_half``: which bytes, and how they want their images."""

    sha256: str
    transform: Transform


SHIPPED = {
    "galaxies-v1": Shipped(
        sha256="0ecb171f4139557ff5d19f78884be059c671a30061832732bc8f8578a96ce374",
        transform=Transform(96, (0.15, 0.15, 0.15), (0.20, 0.20, 0.20), "bilinear"),
    )
}
"""By the name that ``extract.weights`` takes."""


def shipped_path(name: str) -> Path:
    """Return where the file of shipped weights lies, as installed."""
    return Path(__file__).with_name(f"{name}.safetensors")


def shipped_state(name: str) -> Mapping[str, Tensor]:
    """Return the tensors of shipped weights; raises InputError where the file is not the one that was shipped."""
    path = shipped_path(name)
    found = file_sha256(path) if path.is_file() else "no file"
    if found != SHIPPED[name].sha256:
        raise InputError(
            f"The weights {name} should lie in {path} with sha256 {SHIPPED[name].sha256}, found {found}; install the package "
            "again, or in a clone use `git checkout` on that file."
        )
    return load_file(path)
