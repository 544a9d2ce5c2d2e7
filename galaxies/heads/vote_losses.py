"""How well predicted answers explain the votes that people gave: losses and their derivatives, as pure functions.

A galaxy's votes are counts, one an answer; the answers of a question stand side by side. People see the same image and still
disagree, so the share that would give an answer is uncertain itself: each question has a Dirichlet distribution of shares, and
the votes follow a Dirichlet-multinomial one (Walmsley et al. 2022, "Galaxy Zoo DECaLS"). Its log-likelihood here is that which
Zoobot prints, with the multinomial coefficient. A question that nobody was asked has no votes, and costs nothing.

Legend: ... any axes, A answers of all questions, Q questions, B rows.
"""

import torch
from torch import Tensor

# From this on Stirling's series is good to 4e-8; below it, so many steps lead there.
_STEPS = 4


def log_rising(start: Tensor, counts: Tensor) -> Tensor:
    """Return log(Γ(start + counts) / Γ(start)) of positive starts and counts of at least 0, which need not be whole.

    Stirling's series of the quotient, not the difference of two large logarithms, which in float32 leaves few digits; torch's
    lgamma is slow, too.
    """
    low, high = start + _STEPS, start + counts + _STEPS
    far = (low - 0.5) * torch.log1p(counts / low) + counts * (high.log() - 1) + _tail(high) - _tail(low)
    return far - (_product(start + counts) / _product(start)).log()


def slope_of_log_rising(start: Tensor, counts: Tensor) -> Tensor:
    """Return the derivative of :func:`log_rising` by ``start``: ψ(start + counts) - ψ(start)."""
    low, high = start + _STEPS, start + counts + _STEPS
    far = torch.log1p(counts / low) + _tail_of_slope(high) - _tail_of_slope(low)
    return far - _slope_of_product(start + counts) + _slope_of_product(start)


def dirichlet_multinomial_loss(concentrations: Tensor, counts: Tensor, membership: Tensor) -> Tensor:
    """Return the negative log-likelihoods of votes in nats, (..., Q, B).

    Args:
        concentrations: of the answers' Dirichlet distributions, above 0, (..., A, B).
        counts: votes, (..., A, B).
        membership: 1 where an answer is one of a question's, else 0, (Q, A).
    """
    asked, total = membership @ counts, membership @ concentrations
    of_answers = log_rising(concentrations, counts) - torch.lgamma(counts + 1)
    return log_rising(total, asked) - torch.lgamma(asked + 1) - membership @ of_answers


def slope_of_dirichlet_multinomial_loss(concentrations: Tensor, counts: Tensor, membership: Tensor) -> Tensor:
    """Return the derivative by the concentrations of the sum of :func:`dirichlet_multinomial_loss`, (..., A, B)."""
    of_questions = slope_of_log_rising(membership @ concentrations, membership @ counts)
    return membership.T @ of_questions - slope_of_log_rising(concentrations, counts)


def vote_cross_entropy(log_fractions: Tensor, counts: Tensor, membership: Tensor) -> Tensor:
    """Return the cross-entropy of each question's observed and expected fractions in nats, (..., Q, B).

    Every question weighs the same, however many people were asked; one that nobody was asked costs nothing.

    Args:
        log_fractions: logarithms of the expected fractions, (..., A, B).
        counts: votes, (..., A, B).
        membership: as above, (Q, A).
    """
    return -membership @ (observed_fractions(counts, membership) * log_fractions)


def observed_fractions(counts: Tensor, membership: Tensor) -> Tensor:
    """Return each answer's share of its question's votes, (..., A, B); 0 where nobody was asked."""
    asked = membership.T @ (membership @ counts)
    return torch.where(asked > 0, counts / asked.clamp(min=torch.finfo(counts.dtype).tiny), 0)


def log_shares(logits: Tensor, membership: Tensor) -> Tensor:
    """Return the log-softmax of logits (..., A, B) over each question's answers, which stand along the last axis but one."""
    # Less the mean of the question, so that only a difference of 88 within one could overflow.
    centred = logits - membership.T @ ((membership @ logits) / membership.sum(1, keepdim=True))
    return centred - membership.T @ (membership @ centred.exp()).log()


def _product(start: Tensor) -> Tensor:
    """Return start (start + 1) (start + 2) (start + 3)."""
    outer = start * (start + 3)
    return outer * (outer + 2)


def _slope_of_product(start: Tensor) -> Tensor:
    """Return the derivative of the logarithm of :func:`_product`."""
    outer = start * (start + 3)
    return (2 * start + 3) * (2 * outer + 2) / (outer * (outer + 2))


def _tail(number: Tensor) -> Tensor:
    """Return what Stirling's series of log Γ has beyond its logarithms."""
    inverse = number.reciprocal()
    square = inverse.square()
    return inverse * (1 / 12 - square * (1 / 360 - square / 1260))


def _tail_of_slope(number: Tensor) -> Tensor:
    """Return what the series of ψ has beyond its logarithm."""
    inverse = number.reciprocal()
    square = inverse.square()
    return -inverse * (0.5 + inverse * (1 / 12 - square * (1 / 120 - square / 252)))
