"""The backbone in the box: a narrow ResNet, and weights that lie beside this code (``galaxies-v1.md``).

A ResNet-18 of half the width, in torchvision's own parts: a quarter of the arithmetic, 5.6 MB in float16.
"""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet

from galaxies.errors import InputError
from galaxies.files import file_sha256

_WIDTH = 32  # channels of the stem and of layer1; torchvision's own has 64


SHIPPED = {"galaxies-v1": "0ecb171f4139557ff5d19f78884be059c671a30061832732bc8f8578a96ce374"}
"""The sha256 of weights of ours, all for ``resnet18_half``, by the name that ``extract.weights`` takes."""


def shipped_path(name: str) -> Path:
    """Return where the file of shipped weights lies, as installed."""
    return Path(__file__).with_name(f"{name}.safetensors")


def shipped_state(name: str) -> Mapping[str, Tensor]:
    """Return the tensors of shipped weights; raises InputError where the file is not the one that was shipped."""
    path = shipped_path(name)
    found = file_sha256(path) if path.is_file() else "no file"
    if found != SHIPPED[name]:
        raise InputError(
            f"The weights {name} should lie in {path} with sha256 {SHIPPED[name]}, found {found}; install the package "
            "again, or in a clone use `git checkout` on that file."
        )
    return load_file(path)


def resnet18_half(num_classes: int = 1000) -> ResNet:
    """Build the network with random weights; it has the nodes and names of torchvision's ``resnet18``.

    The four stages have 32, 64, 128 and 256 channels (He et al. 2016, arXiv:1512.03385, with half of them everywhere).
    torchvision fixes the width of basic blocks, so the parts that depend on it are made again.
    """
    model = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=num_classes)
    model.inplanes = _WIDTH
    model.conv1 = nn.Conv2d(3, _WIDTH, kernel_size=7, stride=2, padding=3, bias=False)
    model.bn1 = nn.BatchNorm2d(_WIDTH)
    for stage in range(4):
        layer = model._make_layer(BasicBlock, _WIDTH * 2**stage, 2, stride=1 if stage == 0 else 2)
        setattr(model, f"layer{stage + 1}", layer)
    model.fc = nn.Linear(_WIDTH * 8, num_classes)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model
