"""A batch in parts gives what it gives in one piece."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from galaxies.backbones.parts import compute_in_parts


@torch.inference_mode()
def double(images: Tensor) -> Mapping[str, Tensor]:
    return {"double": images * 2, "first": images[:, 0].to(torch.uint8)}


@pytest.mark.parametrize("num_images", [1, 3, 4, 10])
@pytest.mark.parametrize("num_threads", [1, 3])
def test_parts_come_together_in_order(num_images: int, num_threads: int) -> None:
    images = torch.arange(num_images * 5.0).reshape(num_images, 5)
    found = compute_in_parts(double, part_size=4, num_threads=num_threads)(images)
    expected = double(images)
    assert list(found) == list(expected)
    for name, rows in expected.items():
        assert found[name].dtype == rows.dtype
        assert torch.equal(found[name], rows)


def test_what_goes_wrong_in_a_part_arrives() -> None:
    def fail(images: Tensor) -> Mapping[str, Tensor]:
        if images[0, 0] > 0:
            raise ValueError("the second part")
        return double(images)

    with pytest.raises(ValueError, match="the second part"):
        compute_in_parts(fail, part_size=2, num_threads=2)(torch.arange(4.0).reshape(4, 1))
