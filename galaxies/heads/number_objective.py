"""What a head learns from numbers, such as a redshift or a size: a value and how far off it may be, or three quantiles.

Values come transformed and standardised (`galaxies.heads.numbers`). Their own errors take part: a Gaussian is as wide as head
and error together, and a quantile is that of a value smeared by its error. Unknown values (NaN) cost nothing.

Legend: S seeds, G settings, P columns, K outputs (2 P or 3 P, all columns' first outputs first), B rows in a batch.
"""

import math

import torch
from torch import Tensor

QUANTILES = (0.05, 0.5, 0.95)
"""Of the outputs of a head that learns quantiles: the ends of a 90 % interval, and the median."""

# Of the logarithm of a Gaussian's width, of which 1 is the scatter of all values.
_LOG_WIDTHS = (-7.0, 3.0)


def gaussian_loss(means: Tensor, log_widths: Tensor, values: Tensor, errors: Tensor) -> Tensor:
    """Return the negative log-likelihoods in nats of values under Gaussians widened by the values' errors; any equal shapes."""
    variance = (2 * log_widths).exp() + errors.square()
    return 0.5 * (math.log(2 * math.pi) + variance.log() + (values - means).square() / variance)


def slopes_of_gaussian_loss(means: Tensor, log_widths: Tensor, values: Tensor, errors: Tensor) -> tuple[Tensor, Tensor]:
    """Return its derivatives by the means and by the logarithms of the widths."""
    own = (2 * log_widths).exp()
    variance, distance = own + errors.square(), means - values
    return distance / variance, own / variance * (1 - distance.square() / variance)


def quantile_loss(quantiles: Tensor, levels: Tensor, values: Tensor, errors: Tensor) -> Tensor:
    """Return the expected pinball losses (Koenker & Bassett 1978) of quantiles at levels, of values smeared by their errors."""
    distance = values - quantiles
    reach, below = _reach(distance, errors)
    density = torch.exp(-0.5 * reach.square()) / math.sqrt(2 * math.pi)
    return distance * (levels - below) + errors * density


def slope_of_quantile_loss(quantiles: Tensor, levels: Tensor, values: Tensor, errors: Tensor) -> Tensor:
    """Return its derivative by the quantiles: how much too much of the smeared value lies below."""
    return _reach(values - quantiles, errors)[1] - levels


def _reach(distance: Tensor, errors: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distance in errors, and the share of the smeared value that lies below the quantile."""
    reach = distance / errors.clamp(min=torch.finfo(distance.dtype).tiny)
    reach = torch.where(errors > 0, reach, distance.sign() * math.inf)
    # A value without error that is met exactly lies half below.
    return torch.where(reach.isnan(), 0, reach), torch.where(reach.isnan(), 0.5, torch.special.ndtr(-reach))


class NumberObjective:
    """The likelihood of values, or their quantiles; targets are (S, B, 2 P): values, NaN where unknown, and their errors."""

    def __init__(self, num_columns: int, loss: str) -> None:
        """Take P and ``train.number_loss``."""
        self._is_gaussian, self._num_columns = loss == "gaussian", num_columns
        self.num_outputs = num_columns * (2 if self._is_gaussian else len(QUANTILES))

    def first_biases(self) -> Tensor:
        """Begin with the mean of all values and their scatter."""
        normal = torch.special.ndtri(torch.tensor(QUANTILES))
        return torch.zeros(self.num_outputs) if self._is_gaussian else normal.repeat_interleave(self._num_columns)

    @torch.no_grad()
    def differentiate(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """As the protocol says."""
        values, errors, weight = self._divide(outputs, targets)
        if self._is_gaussian:
            means, widths = _divide_outputs(outputs, 2).unbind(-3)
            clipped = widths.clamp(*_LOG_WIDTHS)
            loss = gaussian_loss(means, clipped, values, errors)
            by_means, by_widths = slopes_of_gaussian_loss(means, clipped, values, errors)
            is_stuck = (widths <= _LOG_WIDTHS[0]) & (by_widths > 0) | (widths >= _LOG_WIDTHS[1]) & (by_widths < 0)
            slopes = torch.stack([by_means, torch.where(is_stuck, 0, by_widths)], -3)
        else:
            quantiles, levels, values, errors = self._spread(outputs, values, errors)
            loss = quantile_loss(quantiles, levels, values, errors).sum(-3)
            slopes = slope_of_quantile_loss(quantiles, levels, values, errors)
        return (loss * weight).sum((-2, -1)), (slopes * weight.unsqueeze(-3)).flatten(-3, -2)

    @torch.no_grad()
    def sum_losses(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """As the protocol says: every galaxy weighs the same."""
        values, errors, weight = self._divide(outputs, targets)
        if self._is_gaussian:
            means, widths = _divide_outputs(outputs, 2).unbind(-3)
            loss = gaussian_loss(means, widths.clamp(*_LOG_WIDTHS), values, errors)
        else:
            quantiles, levels, values, errors = self._spread(outputs, values, errors)
            loss = quantile_loss(quantiles, levels, values, errors).sum(-3)
        num_rows = torch.full((outputs.shape[0], 1), outputs.shape[-1], device=outputs.device)
        return (loss * weight).sum((-2, -1)) * outputs.shape[-1], num_rows

    def count_right(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Nothing is right or wrong of a number."""
        return torch.full(outputs.shape[:2], math.nan, device=outputs.device)

    def _divide(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return values and errors, (S, 1, P, B), without what is unknown, and weights that are 0 there, 1 / B elsewhere."""
        values, errors = _divide_outputs(targets.transpose(-1, -2).unsqueeze(1), 2).unbind(-3)
        is_known = values.isfinite()
        return values.where(is_known, 0), errors.where(is_known, 0), is_known.float() / outputs.shape[-1]

    def _spread(self, outputs: Tensor, values: Tensor, errors: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return quantiles (S, G, 3, P, B), their levels, and values and errors that stand against them."""
        quantiles = _divide_outputs(outputs, len(QUANTILES))
        levels = torch.tensor(QUANTILES, device=outputs.device).view(-1, 1, 1)
        return quantiles, levels, values.unsqueeze(-3), errors.unsqueeze(-3)


def _divide_outputs(outputs: Tensor, num_parts: int) -> Tensor:
    """Return outputs (..., parts x P, B) as (..., parts, P, B)."""
    return outputs.reshape(*outputs.shape[:-2], num_parts, -1, outputs.shape[-1])
