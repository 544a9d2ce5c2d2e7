"""Products by oneDNN are those of torch, and so are their gradients."""

import pytest
import torch

from galaxies.heads.product import multiply


@pytest.mark.parametrize("shape", [(10, 33, 7), (1, 1, 1), (320, 2048, 256)], ids=str)
def test_the_product_and_its_gradients_are_torchs(shape: tuple[int, int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    rows, inner, columns = shape
    left = torch.randn(rows, inner, generator=generator, requires_grad=True)
    # A view that is not contiguous, as a batch of features is.
    right = torch.randn(columns, inner, generator=generator).requires_grad_().T
    own, expected = multiply(left, right), left.double() @ right.double()
    torch.testing.assert_close(own.double(), expected, rtol=1e-4, atol=1e-3)
    outer = torch.randn(rows, columns, generator=generator)
    wanted = torch.autograd.grad(expected, (left, right), outer.double())
    for gradient, reference in zip(torch.autograd.grad(own, (left, right), outer), wanted, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-4, atol=1e-3)


def test_other_precisions_are_torchs_own() -> None:
    left, right = torch.rand(3, 4), torch.rand(4, 5)
    assert torch.equal(multiply(left.double(), right.double()), left.double() @ right.double())
    with torch.autocast("cpu", torch.bfloat16):
        assert multiply(left, right).dtype == torch.bfloat16
