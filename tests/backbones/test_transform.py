"""Images reach the backbone as its weights want them, in eight views."""

import numpy as np
import pytest
import torch
from torchvision.models import ResNet18_Weights
from torchvision.transforms.functional import to_pil_image

from galaxies.backbones.architectures import build
from galaxies.backbones.spec import BackboneSpec, Transform
from galaxies.backbones.transform import prepare, resize, stack_views, turn


def test_the_transform_is_the_weights_own_on_the_whole_cutout() -> None:
    """The older project fed an ImageNet backbone without ImageNet's mean and standard deviation."""
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 256, 256), dtype=np.uint8))
    transform = build(BackboneSpec("resnet18", weights="random", seed=0))[1]
    preset = ResNet18_Weights.DEFAULT.transforms(resize_size=224)
    # Resizing 8-bit images rounds to whole grey levels, each implementation in its own way.
    one_grey_level = 1.01 / 255 / min(ResNet18_Weights.DEFAULT.transforms().std)
    for same in (image, to_pil_image(image)):
        torch.testing.assert_close(prepare(image[None], transform)[0], preset(same), atol=one_grey_level, rtol=0)


def test_resizing_keeps_bytes_and_normalizing_follows() -> None:
    images = torch.randint(0, 256, (2, 3, 20, 20), dtype=torch.uint8)
    transform = Transform(8, (0.1, 0.2, 0.3), (0.5, 0.25, 2.0), "bilinear")
    resized = resize(images, transform)
    assert resized.dtype == torch.uint8
    assert resized.shape == (2, 3, 8, 8)
    before = resized.clone()
    expected = (resized / 255 - torch.tensor(transform.mean).view(3, 1, 1)) / torch.tensor(transform.std).view(3, 1, 1)
    torch.testing.assert_close(prepare(images, transform), expected)
    assert torch.equal(resized, before)


def test_the_views_are_the_eight_symmetries_of_the_square() -> None:
    image = torch.arange(9).view(1, 1, 3, 3)
    views = stack_views(image, 8)
    assert torch.equal(views[:1], image)
    assert len({tuple(view.flatten().tolist()) for view in views}) == 8
    # Turned four times, or mirrored twice, each is itself again.
    for view in range(4):
        assert torch.equal(turn(turn(image, view), (4 - view) % 4), image)
        assert torch.equal(turn(turn(image, 4 + view), 4 + view), image)


@pytest.mark.parametrize(
    ("view", "expected"),
    [(1, [[1, 3], [0, 2]]), (2, [[3, 2], [1, 0]]), (4, [[1, 0], [3, 2]]), (5, [[0, 2], [1, 3]])],
)
def test_a_view_is_mirrored_first_and_then_turned_counter_clockwise(view: int, expected: list[list[int]]) -> None:
    assert turn(torch.tensor([[0, 1], [2, 3]]), view).tolist() == expected


def test_views_of_one_image_stand_together() -> None:
    images = torch.rand(2, 3, 4, 4)
    views = stack_views(images, 8)
    assert views.shape == (16, 3, 4, 4)
    assert torch.equal(views[11], turn(images[1], 3))
    assert stack_views(images, 1) is images
