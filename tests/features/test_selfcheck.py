"""A backbone that is not frozen, mixes galaxies or gives no numbers is found out before anything is written."""

import pytest
import torch
from torch import Tensor, nn

from galaxies.backbones.backbone import Backbone
from galaxies.backbones.forward import ForwardPass, make_forward
from galaxies.backbones.spec import Transform
from galaxies.errors import InputError
from galaxies.features.selfcheck import check_forward

TRANSFORM = Transform(8, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "bilinear")
IMAGES = torch.randint(0, 256, (4, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class Toy(nn.Module):
    """A convolution, and then whatever is to be found out."""

    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3), last

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, 4, 6, 6)."""
        activation: Tensor = self.last(self.first(images))
        return activation


class MinusTheBatch(nn.Module):
    """What BatchNorm without running statistics does."""

    def forward(self, activation: Tensor) -> Tensor:
        """Return the difference from the mean of the batch."""
        return activation - activation.mean(0, keepdim=True)


class DividedByZero(nn.Module):
    """What damaged weights do."""

    def forward(self, activation: Tensor) -> Tensor:
        """Return infinities."""
        return activation / 0.0


def check(last: nn.Module, *, training: bool = False, precision: str = "float32") -> dict[str, Tensor]:
    module = Toy(last).requires_grad_(False).train(training)
    backbone = Backbone("toy", module, TRANSFORM, "0")
    forward = make_forward(backbone, ForwardPass(("last",), "map", precision=precision), device=torch.device("cpu"))
    module.train(training)
    return check_forward(forward, module, IMAGES, precision=precision)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_sound_backbone_passes_with_the_activations_of_the_batch(precision: str) -> None:
    assert check(nn.BatchNorm2d(4), precision=precision)["last"].shape == (4, 1, 4, 6, 6)


def test_galaxies_that_depend_on_their_neighbours_are_found_out() -> None:
    """The older project left BatchNorm in train mode over rows sorted by class: the class signal was normalised away."""
    with pytest.raises(InputError, match=r"of last of a galaxy alone and in a batch of 4 differ by .* mixes the galaxies"):
        check(MinusTheBatch())


def test_statistics_that_change_are_found_out() -> None:
    module = Toy(nn.BatchNorm2d(4)).train()

    def forward(images: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            module(images.permute(0, 3, 1, 2).float())
        return {"last": torch.zeros(len(images), 1, 2)}

    with pytest.raises(InputError, match=r"changed last\.running_mean of the backbone, which must be frozen"):
        check_forward(forward, module, IMAGES, precision="float32")


def test_infinity_is_found_out() -> None:
    with pytest.raises(InputError, match=r"layer last: the backbone gives NaN or infinity; check extract\.mean"):
        check(DividedByZero())


def test_in_float16_the_advice_is_another_precision() -> None:
    with pytest.raises(InputError, match=r"float16 ends at 65504.*extract\.precision=bfloat16"):
        check(DividedByZero(), precision="float16")
