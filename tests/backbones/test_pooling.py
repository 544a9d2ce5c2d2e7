"""A feature is the mean over positions, whatever the axis order of the node."""

import pytest
import torch

from galaxies.backbones.pooling import (
    Positions,
    Tokens,
    average_positions,
    describe_tokens,
    find_positions,
    require_class_token,
    take_class_token,
)
from galaxies.errors import InputError

NO_TOKENS = Tokens(0, has_class_token=False)
CLASS_TOKEN = Tokens(1, has_class_token=True)
REGISTERS = Tokens(5, has_class_token=True)


@pytest.mark.parametrize(
    ("shape", "tokens", "expected"),
    [
        pytest.param((2, 5, 3, 3), NO_TOKENS, Positions((2, 3)), id="channels-first"),
        pytest.param((2, 3, 3, 5), NO_TOKENS, Positions((1, 2)), id="channels-last"),
        pytest.param((2, 9, 5), NO_TOKENS, Positions((1,)), id="tokens"),
        pytest.param((2, 10, 5), CLASS_TOKEN, Positions((1,), 1), id="tokens-and-class-token"),
        pytest.param((2, 9, 5), CLASS_TOKEN, Positions((1,)), id="patch-embedding-before-the-class-token"),
        pytest.param((2, 14, 5), REGISTERS, Positions((1,), 5), id="class-token-and-registers"),
        pytest.param((2, 5), NO_TOKENS, Positions(()), id="already-pooled"),
    ],
)
def test_positions_are_found(shape: tuple[int, ...], tokens: Tokens, expected: Positions) -> None:
    assert find_positions("node", shape, None, tokens) == expected


@pytest.mark.parametrize(
    ("other", "axes"), [((1, 96, 48, 48), (2, 3)), ((1, 48, 48, 96), (1, 2))], ids=["channels-first", "channels-last"]
)
def test_three_equal_axes_are_told_apart_by_images_of_another_size(other: tuple[int, ...], axes: tuple[int, ...]) -> None:
    assert find_positions("node", (1, 96, 96, 96), other, NO_TOKENS).axes == axes


@pytest.mark.parametrize(
    ("shape", "tokens", "message"),
    [
        ((1, 8, 8, 8), NO_TOKENS, r"node gives a tensor of shape \(8, 8, 8\), whose channels cannot be told"),
        ((1, 5, 3, 4), NO_TOKENS, r"no positions to average over.*extract\.pool=map"),
        ((1, 5, 2, 3, 3), NO_TOKENS, "no positions to average over"),
        ((1, 11, 5), CLASS_TOKEN, "neither 11 nor 11 less 1 is the square number"),
    ],
)
def test_a_shape_without_known_positions_is_refused(shape: tuple[int, ...], tokens: Tokens, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_positions("node", shape, None, tokens)


def test_the_mean_leaves_class_token_and_registers_out() -> None:
    tokens = torch.ones(1, 14, 2, dtype=torch.bfloat16)
    tokens[:, :5] = 100
    pooled = average_positions(tokens, Positions((1,), 5))
    assert torch.equal(pooled, torch.ones(1, 2))
    assert pooled.dtype == torch.float32


def test_the_mean_is_over_positions_in_either_axis_order() -> None:
    activation = torch.rand(2, 5, 3, 3)
    expected = activation.mean((2, 3))
    torch.testing.assert_close(average_positions(activation, Positions((2, 3))), expected)
    torch.testing.assert_close(average_positions(activation.permute(0, 2, 3, 1), Positions((1, 2))), expected)
    assert torch.equal(average_positions(expected, Positions(())), expected)


def test_the_class_token_is_the_first() -> None:
    tokens = torch.zeros(2, 10, 3)
    tokens[:, 0] = 7
    require_class_token("blocks.3", tokens.shape, Positions((1,), 1), CLASS_TOKEN)
    assert torch.equal(take_class_token(tokens), torch.full((2, 3), 7.0))


@pytest.mark.parametrize(
    ("shape", "positions", "tokens"),
    [
        pytest.param((2, 5, 3, 3), Positions((2, 3)), NO_TOKENS, id="a-map"),
        pytest.param((2, 9, 5), Positions((1,)), CLASS_TOKEN, id="before-the-class-token"),
        pytest.param((2, 13, 5), Positions((1,), 4), Tokens(4, has_class_token=False), id="registers-alone"),
    ],
)
def test_where_there_is_no_class_token_the_error_says_so(shape: tuple[int, ...], positions: Positions, tokens: Tokens) -> None:
    with pytest.raises(InputError, match=r"found cls, but node gives .* without a class token.*extract\.pool=avg"):
        require_class_token("node", shape, positions, tokens)


def test_networks_say_what_tokens_they_have() -> None:
    timm = pytest.importorskip("timm")
    tiny = {"embed_dim": 12, "depth": 1, "num_heads": 1, "img_size": 32}
    assert describe_tokens(timm.create_model("vit_tiny_patch16_224", **tiny)) == CLASS_TOKEN
    assert describe_tokens(timm.create_model("vit_small_patch14_reg4_dinov2", **{**tiny, "img_size": 28})) == REGISTERS
    assert describe_tokens(timm.create_model("resnet10t")) == NO_TOKENS
