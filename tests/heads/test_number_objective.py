"""Numbers are learned with their errors: the losses by hand and by SciPy, their slopes by finite differences."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from galaxies.heads.number_objective import QUANTILES, NumberObjective, gaussian_loss, quantile_loss
from galaxies.heads.tag_objective import TagObjective
from tests.training import make_params


def scalar(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def test_the_likelihood_of_a_number_is_that_of_a_gaussian_as_wide_as_head_and_error_together() -> None:
    loss = gaussian_loss(scalar(1.0), scalar(math.log(3.0)), scalar(2.5), scalar(4.0))
    assert loss.item() == pytest.approx(-stats.norm(1, 5).logpdf(2.5))


@pytest.mark.parametrize("level", QUANTILES)
def test_a_quantile_without_error_costs_the_pinball_loss(level: float) -> None:
    for value in (-2.0, 0.0, 3.0):
        loss = quantile_loss(scalar(0.0), scalar(level), scalar(value), scalar(0.0))
        assert loss.item() == pytest.approx(max(level * value, (level - 1) * value), abs=1e-12)


def test_a_quantile_with_an_error_costs_the_mean_over_it() -> None:
    def smeared(value: float) -> float:
        return float(max(0.05 * (value - 1), -0.95 * (value - 1)) * stats.norm(1.3, 0.7).pdf(value))

    expected, _ = integrate.quad(smeared, -8, 10, points=[1.0])
    assert quantile_loss(scalar(1.0), scalar(0.05), scalar(1.3), scalar(0.7)).item() == pytest.approx(expected, abs=1e-8)


def make_targets() -> Tensor:
    """Return values and errors of two columns, (2, 7, 4), some unknown, some without error."""
    targets = torch.randn(2, 7, 4, generator=torch.Generator().manual_seed(1)).double()
    targets[..., 2:].abs_()
    targets[:, 1, 0], targets[:, 3, 1], targets[:, 4, 2] = math.nan, math.nan, 0
    return targets


@pytest.mark.parametrize("loss", ["gaussian", "quantiles"])
def test_an_objective_of_numbers_differentiates_its_own_losses(loss: str) -> None:
    generator, objective, targets = torch.Generator().manual_seed(0), NumberObjective(2, loss), make_targets()
    outputs = torch.randn(2, 3, objective.num_outputs, 7, generator=generator).double()
    mean, gradient = objective.differentiate(outputs, targets)
    total, mass = objective.sum_losses(outputs, targets)
    torch.testing.assert_close(mean, total / mass)
    step = 1e-5 * torch.randn(outputs.shape, generator=generator).double()
    ahead, behind = (objective.sum_losses(outputs + sign * step, targets)[0] / 7 for sign in (1, -1))
    torch.testing.assert_close((gradient * step).sum((-2, -1)), (ahead - behind) / 2, rtol=1e-4, atol=1e-8)
    assert not gradient[:, :, ::2, 1].any()  # What is unknown pulls at nothing.
    assert objective.count_right(outputs, targets).isnan().all()


def test_a_value_measured_badly_pulls_less() -> None:
    outputs = torch.zeros(1, 1, 2, 2)
    targets = torch.tensor([[[1.0, 0.0], [1.0, 3.0]]])
    gradient = NumberObjective(1, "gaussian").differentiate(outputs, targets)[1][0, 0, 0]
    assert gradient.tolist() == pytest.approx([-0.5, -0.05])


def test_tags_cost_the_binary_cross_entropy_of_what_is_known() -> None:
    tags = torch.tensor([[1.0, math.nan], [0.0, 1.0], [1.0, 0.0]])
    objective = TagObjective(tags, ["ring", "bar"], make_params())
    logits = torch.tensor([[0.3, 9.0], [-1.0, 2.0], [2.0, -0.5]])
    total, mass = objective.sum_losses(logits.T[None, None], tags[None])
    known = torch.tensor([True, False, True, True, True, True])
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits
    expected = cross_entropy(logits.flatten()[known], tags.flatten()[known], reduction="sum")
    torch.testing.assert_close(total[0, 0], expected)
    assert mass.item() == 3
    gradient = objective.differentiate(logits.T[None, None], tags[None])[1]
    assert gradient[0, 0, 1, 0] == 0
    assert gradient[0, 0, 0, 0].item() == pytest.approx((1 / (1 + math.exp(-0.3)) - 1) / 3)
    # Of the first galaxy one of one tag is right, of the second both, of the third both.
    assert objective.count_right(logits.T[None, None], tags[None]).item() == pytest.approx(3)
    np.testing.assert_allclose(objective.first_biases().sigmoid(), [2 / 3, 1 / 2])


def test_balanced_a_rare_tag_pulls_as_much_as_its_absence() -> None:
    tags = torch.tensor([[1.0], [0.0], [0.0], [0.0]])
    objective = TagObjective(tags, ["ring"], make_params(class_weight="balanced"))
    gradient = objective.differentiate(torch.zeros(1, 1, 1, 4), tags[None])[1].flatten()
    assert gradient[0].item() == pytest.approx(-gradient[1:].sum().item())
    assert objective.first_biases().item() == 0


def test_label_smoothing_of_tags_spreads_each() -> None:
    tags = torch.tensor([[1.0], [0.0]])
    objective = TagObjective(tags, ["ring"], make_params(label_smoothing=0.2))
    gradient = objective.differentiate(torch.zeros(1, 1, 1, 2), tags[None])[1].flatten()
    assert gradient.tolist() == pytest.approx([(0.5 - 0.9) / 2, (0.5 - 0.1) / 2])


def test_a_tag_that_all_have_is_refused() -> None:
    from galaxies.errors import InputError

    with pytest.raises(InputError, match=r"ring \(2 have it, 0 do not\).*leave them out of train.columns"):
        TagObjective(torch.tensor([[1.0], [1.0]]), ["ring"], make_params())
