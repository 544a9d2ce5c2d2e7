"""What a head learns from votes: for each question the fractions of its answers, and how far people would scatter about them.

A head has an output an answer, whose softmax over its question's answers gives the expected fractions, and an output a
question, the logarithm of the sum of its concentrations: large where the head is sure of the fractions. Trained on the
cross-entropy of the fractions it has the former alone.

Legend: S seeds, G settings, A answers, Q questions, K outputs (A + Q, or A), B rows in a batch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from galaxies.heads.vote_losses import (
    dirichlet_multinomial_loss,
    log_shares,
    observed_fractions,
    slope_of_dirichlet_multinomial_loss,
    vote_cross_entropy,
)

# Of the logarithm of a question's concentrations: fewer votes than one say nothing, and people agree no better than so.
_LOG_TOTALS = (-3.0, 7.0)
# The share in which an output becomes that logarithm: how sure to be takes more galaxies to learn than what of, and decay
# then shrinks it three times as fast.
_TOTAL_RATE = 1 / 3
# Added to each concentration: no answer is impossible, and the loss stays finite.
_LEAST_CONCENTRATION = 1e-3


def make_membership(sizes: Sequence[int]) -> Tensor:
    """Return 1 where an answer is one of a question's, else 0, (Q, A), from the number of answers of each question."""
    questions = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return (torch.arange(len(sizes))[:, None] == questions).float()


def make_concentrations(outputs: Tensor, membership: Tensor) -> Tensor:
    """Return the concentrations of the answers, (..., A, B), of outputs (..., K, B); where K is A, each question's add to 1."""
    num_answers = membership.shape[1]
    shares = log_shares(outputs[..., :num_answers, :], membership).exp()
    if outputs.shape[-2] > num_answers:
        totals = (_TOTAL_RATE * outputs[..., num_answers:, :]).clamp(*_LOG_TOTALS).exp()
        shares = shares * (membership.T @ totals)
    return shares + _LEAST_CONCENTRATION


class VoteObjective:
    """The likelihood of votes, or the cross-entropy of their fractions; targets are votes (S, B, A), 0 where unknown."""

    def __init__(self, votes: Tensor, sizes: Sequence[int], loss: str) -> None:
        """Take the votes of all train rows, (N, A), on the device, the answers of each question, and ``train.vote_loss``."""
        self._membership = make_membership(sizes).to(votes.device)  # (Q, A)
        self._has_totals = loss == "dirichlet_multinomial"
        self._mean_votes = votes.mean(0)  # (A,)
        self.num_outputs = votes.shape[1] + (len(sizes) if self._has_totals else 0)

    def first_biases(self) -> Tensor:
        """Begin with what people answer on average, and concentrations that add to some 7."""
        asked = self._membership.T @ (self._membership @ self._mean_votes)
        answers = ((self._mean_votes + 0.01) / (asked + 0.02)).log()
        totals = torch.full((self.num_outputs - len(answers),), 2 / _TOTAL_RATE, device=answers.device)
        return torch.cat([answers, totals])

    @torch.no_grad()
    def differentiate(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """As the protocol says."""
        votes = _as_outputs(targets)
        differentiate = self._differentiate_likelihood if self._has_totals else self._differentiate_cross_entropy
        loss, gradient = differentiate(outputs, votes)
        num_rows = outputs.shape[-1]
        return loss.sum((-2, -1)) / num_rows, gradient / num_rows

    @torch.no_grad()
    def sum_losses(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """As the protocol says: every galaxy weighs the same."""
        votes, num_rows = _as_outputs(targets), torch.full((outputs.shape[0], 1), outputs.shape[-1], device=outputs.device)
        if self._has_totals:
            loss = dirichlet_multinomial_loss(make_concentrations(outputs, self._membership), votes, self._membership)
        else:
            loss = vote_cross_entropy(log_shares(outputs, self._membership), votes, self._membership)
        return loss.sum((-2, -1)), num_rows

    @torch.no_grad()
    def count_right(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return of each galaxy the chance, a mean over its questions, that a person and the head give the same answer."""
        observed = observed_fractions(_as_outputs(targets), self._membership)
        expected = log_shares(outputs[..., : self._membership.shape[1], :], self._membership).exp()
        num_asked = (self._membership @ observed).sum(-2)
        return ((observed * expected).sum(-2) / num_asked.clamp(min=1)).sum(-1)

    def _differentiate_likelihood(self, outputs: Tensor, votes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses (S, G, Q, B) and the derivative of their sum by the outputs."""
        membership, num_answers = self._membership, self._membership.shape[1]
        shares = log_shares(outputs[..., :num_answers, :], membership).exp()
        logarithms = _TOTAL_RATE * outputs[..., num_answers:, :]
        totals = logarithms.clamp(*_LOG_TOTALS).exp()  # (S, G, Q, B)
        each = shares * (membership.T @ totals)
        concentrations = each + _LEAST_CONCENTRATION
        loss = dirichlet_multinomial_loss(concentrations, votes, membership)
        slope = each * slope_of_dirichlet_multinomial_loss(concentrations, votes, membership)
        of_totals = membership @ slope
        by_answers = slope - shares * (membership.T @ of_totals)
        # What has left the range may come back: only the slope that leads farther out is none.
        is_stuck = (logarithms <= _LOG_TOTALS[0]) & (of_totals > 0) | (logarithms >= _LOG_TOTALS[1]) & (of_totals < 0)
        by_totals = torch.where(is_stuck, 0, _TOTAL_RATE * of_totals)
        return loss, torch.cat([by_answers, by_totals], -2)

    def _differentiate_cross_entropy(self, outputs: Tensor, votes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same for the cross-entropy."""
        membership = self._membership
        logarithms, observed = log_shares(outputs, membership), observed_fractions(votes, membership)
        is_asked = membership.T @ (membership @ observed)
        return vote_cross_entropy(logarithms, votes, membership), logarithms.exp() * is_asked - observed


def _as_outputs(targets: Tensor) -> Tensor:
    """Return targets (S, B, A) as outputs stand: (S, 1, A, B)."""
    return targets.transpose(-1, -2).unsqueeze(1)
