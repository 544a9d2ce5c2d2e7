"""The losses of votes are those of the paper: by hand, by SciPy, and differentiated as autograd does."""

import math

import numpy as np
import pytest
import torch
from scipy.special import betaln, digamma, gammaln
from torch import Tensor
from torch.distributions import Dirichlet

from galaxies.heads.vote_losses import (
    dirichlet_multinomial_loss,
    log_rising,
    log_shares,
    observed_fractions,
    slope_of_dirichlet_multinomial_loss,
    slope_of_log_rising,
    vote_cross_entropy,
)
from galaxies.heads.vote_objective import VoteObjective, make_concentrations, make_membership

SIZES = (3, 1, 2)
MEMBERSHIP = make_membership(SIZES).double()


def column(*values: float) -> Tensor:
    """Return (A, 1) float64."""
    return torch.tensor(values, dtype=torch.float64)[:, None]


def test_quotients_of_gamma_functions_are_scipys() -> None:
    start, counts = np.meshgrid(np.logspace(-3, 4, 50), [0, 0.3, 1, 2.5, 40, 3000])
    found = log_rising(torch.from_numpy(start), torch.from_numpy(counts))
    np.testing.assert_allclose(found, gammaln(start + counts) - gammaln(start), atol=1e-7)
    slope = slope_of_log_rising(torch.from_numpy(start), torch.from_numpy(counts))
    np.testing.assert_allclose(slope, digamma(start + counts) - digamma(start), atol=1e-7)


def test_in_single_precision_they_keep_six_digits() -> None:
    start, counts = torch.meshgrid(torch.logspace(-3, 4, 50), torch.tensor([0.0, 1.0, 40.0, 3000.0]), indexing="ij")
    wide, more = start.double().numpy(), counts.double().numpy()
    expected = torch.from_numpy(gammaln(wide + more) - gammaln(wide))
    torch.testing.assert_close(log_rising(start, counts).double(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("concentrations", "counts", "probability"),
    [
        # Two answers, uniform: each of the numbers 0 to n of votes for the first is as probable.
        ((1, 1), (3, 1), 1 / 5),
        # Three answers, uniform: of 2 votes there are 6 outcomes.
        ((1, 1, 1), (1, 1, 0), 1 / 6),
        # One vote: the expected fraction.
        ((2, 6), (1, 0), 2 / 8),
        # Two votes for the first: 2/5 x 3/6.
        ((2, 3), (2, 0), 1 / 5),
        # Nobody was asked; there is one answer only: certain.
        ((2, 3), (0, 0), 1),
        ((4,), (7,), 1),
    ],
)
def test_the_loss_by_hand(concentrations: tuple[float, ...], counts: tuple[float, ...], probability: float) -> None:
    membership = make_membership([len(counts)]).double()
    loss = dirichlet_multinomial_loss(column(*concentrations), column(*counts), membership)
    assert loss.item() == pytest.approx(-math.log(probability), abs=1e-6)


def test_the_loss_of_two_answers_is_the_beta_binomial_and_that_of_zoobot() -> None:
    """Zoobot's is pyro's DirichletMultinomial: gammaln(1 + n) + gammaln(a) - gammaln(a + n), of the total less of each."""
    generator = np.random.default_rng(0)
    alpha, votes = generator.gamma(2, 3, (2, 50)), generator.poisson(8, (2, 50)).astype(float)
    total, asked = alpha.sum(axis=0), votes.sum(axis=0)
    beta = betaln(*(alpha + votes)) - betaln(*alpha) - np.log(asked + 1) - betaln(*(votes + 1))

    def part(a: np.ndarray, n: np.ndarray) -> np.ndarray:
        return np.asarray(gammaln(1 + n) + gammaln(a) - gammaln(a + n))

    zoobot = -(part(total, asked) - part(alpha, votes).sum(axis=0))
    loss = dirichlet_multinomial_loss(torch.from_numpy(alpha), torch.from_numpy(votes), make_membership([2]).double())[0]
    np.testing.assert_allclose(loss, -beta, atol=1e-6)
    np.testing.assert_allclose(loss, zoobot, atol=1e-6)


def test_the_slope_is_that_of_autograd() -> None:
    concentrations = (Dirichlet(torch.ones(6)).sample((4,)).T.double() * 9).requires_grad_()
    counts = torch.poisson(torch.full((6, 4), 5.0)).double()
    (expected,) = torch.autograd.grad(dirichlet_multinomial_loss(concentrations, counts, MEMBERSHIP).sum(), concentrations)
    found = slope_of_dirichlet_multinomial_loss(concentrations.detach(), counts, MEMBERSHIP)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_cross_entropy_by_hand() -> None:
    counts = column(3, 1, 0, 5, 0, 0)
    fractions = observed_fractions(counts, MEMBERSHIP)
    assert fractions[:, 0].tolist() == [0.75, 0.25, 0, 1, 0, 0]
    loss = vote_cross_entropy(column(0.5, 0.25, 0.25, 1, 0.5, 0.5).log(), counts, MEMBERSHIP)[:, 0]
    expected = [-0.75 * math.log(0.5) - 0.25 * math.log(0.25), 0, 0]
    torch.testing.assert_close(loss, torch.tensor(expected, dtype=torch.float64))


def test_shares_of_questions_are_softmaxes_even_of_large_logits() -> None:
    logits = 40 * torch.randn(6, 5, generator=torch.Generator().manual_seed(0)) + torch.tensor([500.0] * 3 + [0.0] * 3)[:, None]
    expected = torch.cat([part.log_softmax(0) for part in torch.split(logits, list(SIZES))])
    torch.testing.assert_close(log_shares(logits, MEMBERSHIP.float()), expected, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize("loss", ["dirichlet_multinomial", "cross_entropy"])
def test_an_objective_differentiates_its_own_losses(loss: str) -> None:
    generator = torch.Generator().manual_seed(0)
    votes = torch.poisson(torch.full((2, 7, 6), 4.0), generator=generator).double()
    votes[:, 2, :3] = 0  # Nobody was asked the first question.
    objective = VoteObjective(votes[0].float(), SIZES, loss)
    objective._membership = MEMBERSHIP
    outputs = torch.randn(2, 3, objective.num_outputs, 7, generator=generator).double()
    mean, gradient = objective.differentiate(outputs, votes)
    total, mass = objective.sum_losses(outputs, votes)
    torch.testing.assert_close(mean, total / mass)
    step = 1e-5 * torch.randn(outputs.shape, generator=generator).double()
    ahead, behind = (objective.sum_losses(outputs + sign * step, votes)[0] / 7 for sign in (1, -1))
    torch.testing.assert_close((gradient * step).sum((-2, -1)), (ahead - behind) / 2, rtol=1e-4, atol=1e-9)
    assert not gradient[..., :3, 2].any()


def test_a_head_begins_with_what_people_answer_on_average() -> None:
    votes = torch.tensor([[6.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    objective = VoteObjective(votes, (2, 1), "dirichlet_multinomial")
    concentrations = make_concentrations(objective.first_biases()[:, None], make_membership((2, 1)))[:, 0]
    assert (concentrations[0] / concentrations[:2].sum()).item() == pytest.approx(0.75, abs=0.01)
    assert concentrations[2].item() == pytest.approx(math.exp(2), rel=1e-3)


def test_agreement_is_the_chance_that_a_person_and_the_head_say_the_same() -> None:
    votes = torch.tensor([[[3.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]])
    objective = VoteObjective(votes[0], (2, 2), "cross_entropy")
    outputs = torch.tensor([0.6, 0.4, 0.5, 0.5]).log()[None, None, :, None].expand(1, 1, 4, 2)
    assert objective.count_right(outputs, votes).item() == pytest.approx(0.75 * 0.6 + 0.25 * 0.4)
