"""A stack computes what its heads compute, and trains each as it would train alone."""

import itertools
from typing import Any

import pytest
import torch

from galaxies.heads.hidden_layers import HiddenLayers
from galaxies.heads.report import Fits
from galaxies.heads.stack import HeadStack, _multiply, make_heads
from tests.training import fit_toy


def fit(**changes: Any) -> Fits:
    return fit_toy(**{"num_epochs": 4, **changes})


def weights(fits: Fits, seed: int = 0) -> torch.Tensor:
    return torch.cat([parameter.flatten() for parameter in fits.seeds[seed].head.parameters()])


@pytest.mark.parametrize("hidden_layers", [(), (5, "relu"), (5, "gelu", "dropout 0.5", 4, "tanh")], ids=str)
@pytest.mark.parametrize("num_seeds", [1, 3])
def test_a_stack_gives_the_logits_of_its_heads(hidden_layers: HiddenLayers, num_seeds: int) -> None:
    heads = make_heads(6, 3, hidden_layers, range(num_seeds))
    stack = HeadStack(heads, 2)
    features = torch.rand(num_seeds, 7, 6)
    logits = stack.outputs(features)
    assert logits.shape == (num_seeds, 2, 3, 7)
    for seed, head in enumerate(heads):
        for setting in range(2):
            torch.testing.assert_close(logits[seed, setting].T, head.eval()(features[seed]))
            again = stack.best_head(seed, setting)
            torch.testing.assert_close(again(features[seed]), head(features[seed]))


def test_dropout_is_active_with_generators_and_alike_for_the_settings_of_a_seed() -> None:
    stack = HeadStack(make_heads(6, 3, (50, "dropout 0.5"), [0, 1]), 2)
    features = torch.rand(1, 7, 6).expand(2, 7, 6)
    logits = stack.outputs(features, [torch.Generator().manual_seed(seed) for seed in range(2)])
    torch.testing.assert_close(logits[:, 0], logits[:, 1])
    assert not torch.allclose(logits, stack.outputs(features))
    mean = (
        sum(stack.outputs(features, [torch.Generator().manual_seed(s) for s in (2 * n, 2 * n + 1)]) for n in range(2000)) / 2000
    )
    torch.testing.assert_close(mean, stack.outputs(features), atol=0.03, rtol=0)


SWEEP: dict[str, Any] = {"learning_rate": [0.1, 0.001], "weight_decay": [0.01, 5.0], "label_smoothing": [0.0, 0.2]}


@pytest.mark.parametrize("hidden_layers", [[], [8, "relu", "dropout 0.3"]], ids=str)
def test_a_sweep_is_the_runs_one_by_one(hidden_layers: list[int | str]) -> None:
    """So the same sweep through DVC's queue gives the same winner."""
    together = fit(sweep=SWEEP, hidden_layers=hidden_layers)
    alone = {
        values: fit(**dict(zip(SWEEP, values, strict=True)), hidden_layers=hidden_layers)
        for values in itertools.product(*SWEEP.values())
    }
    table = together.settings.set_index(list(SWEEP))
    assert len(table) == 8
    for values, fits in alone.items():
        assert table.loc[values, "val_loss"] == pytest.approx(fits.settings["val_loss"][0], rel=1e-4)
        assert table.loc[values, "best_epoch"] == fits.seeds[0].best_epoch
    winner = min(alone.values(), key=lambda fits: float(fits.settings["val_loss"][0]))
    torch.testing.assert_close(weights(together), weights(winner), rtol=1e-4, atol=1e-5)
    assert together.settings["rank"].tolist() == list(range(1, 9))
    assert together.settings["val_loss"].is_monotonic_increasing


def test_several_seeds_are_the_runs_one_by_one() -> None:
    together = fit(num_seeds=3, hidden_layers=[8, "relu", "dropout 0.3"])
    for index in range(3):
        alone = fit(seed=index, hidden_layers=[8, "relu", "dropout 0.3"])
        torch.testing.assert_close(weights(together, index), weights(alone), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(weights(together, 0), weights(together, 1))


def test_a_setting_that_breaks_down_leaves_the_others_alone() -> None:
    sweep = {"learning_rate": [1e3, 0.01]}
    changes: dict[str, Any] = {"optimizer": "sgd", "hidden_layers": [8, "relu", 8, "relu"], "weight_decay": 1.0}
    together = fit(sweep=sweep, **changes)
    assert together.settings["learning_rate"].tolist() == [0.01, 1e3]
    assert together.settings["val_loss"].isna().tolist() == [False, True]
    torch.testing.assert_close(weights(together), weights(fit(**changes)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(10, 33, 7), (1, 1, 1), (320, 2048, 256), (10, 2048, 31)], ids=str)
def test_a_product_and_its_gradients_are_those_of_float64_whoever_computes_it(shape: tuple[int, int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    rows, inner, columns = shape
    left = torch.randn(rows, inner, generator=generator, requires_grad=True)
    # A view that is not contiguous, as a batch of features is.
    right = torch.randn(columns, inner, generator=generator).requires_grad_().T
    product, expected = _multiply(left, right), left.double() @ right.double()
    torch.testing.assert_close(product.double(), expected, rtol=1e-4, atol=1e-3)
    outer = torch.randn(rows, columns, generator=generator)
    wanted = torch.autograd.grad(expected, (left, right), outer.double())
    for gradient, reference in zip(torch.autograd.grad(product, (left, right), outer), wanted, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-4, atol=1e-3)


def test_other_precisions_are_torchs_own() -> None:
    left, right = torch.rand(300, 400), torch.rand(400, 5)
    assert torch.equal(_multiply(left.double(), right.double()), left.double() @ right.double())
    with torch.autocast("cpu", torch.bfloat16):
        assert _multiply(left, right).dtype == torch.bfloat16
