"""What a head learns from tags, of which a galaxy may have several: for each whether the galaxy has it. Unknown is not no.

Legend: S seeds, G settings, T tags, B rows in a batch; there are as many outputs as tags.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from galaxies.errors import InputError
from galaxies.heads.train_params import TrainParams


class TagObjective:
    """The binary cross-entropy of each tag, with label smoothing; targets are 0, 1 or NaN (unknown), (S, B, T)."""

    def __init__(self, tags: Tensor, names: Sequence[str], params: TrainParams) -> None:
        """Take the tags of all train rows, (N, T), on the device.

        Raises:
            InputError: of a tag all known train rows are 0, or all are 1.
        """
        num_yes, num_no = ((tags == value).sum(0) for value in (1, 0))
        counts = zip(names, num_yes.tolist(), num_no.tolist(), strict=True)
        constant = [f"{name} ({yes} have it, {no} do not)" for name, yes, no in counts if not (yes and no)]
        if constant:
            raise InputError(
                f"train: tags that all train galaxies have, or none: {', '.join(constant)}; leave them out of train.columns, "
                "or add galaxies."
            )
        shares = num_yes / (num_yes + num_no)
        is_balanced = params.class_weight == "balanced"
        # Balanced, having a tag weighs in all as much as not having it.
        self._weight_of_yes = (0.5 / shares if is_balanced else torch.ones_like(shares)).view(-1, 1)
        self._weight_of_no = (0.5 / (1 - shares) if is_balanced else torch.ones_like(shares)).view(-1, 1)
        smoothing = torch.tensor([setting.label_smoothing for setting in params.settings], device=tags.device)
        self._smoothing = smoothing.view(-1, 1, 1)
        self._biases = torch.zeros_like(shares) if is_balanced else torch.logit(shares)
        self.num_outputs = len(names)

    def first_biases(self) -> Tensor:
        """Begin with how frequent each tag is."""
        return self._biases

    @torch.no_grad()
    def differentiate(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """As the protocol says."""
        wanted, weight = self._divide(targets)
        wanted = wanted * (1 - self._smoothing) + self._smoothing / 2
        weight = weight / outputs.shape[-1]
        loss = functional.binary_cross_entropy_with_logits(outputs, wanted.expand_as(outputs), reduction="none")
        return (loss * weight).sum((-2, -1)), (outputs.sigmoid() - wanted) * weight

    @torch.no_grad()
    def sum_losses(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """As the protocol says: every galaxy weighs the same."""
        wanted, weight = self._divide(targets)
        loss = functional.binary_cross_entropy_with_logits(outputs, wanted.expand_as(outputs), reduction="none")
        num_rows = torch.full((outputs.shape[0], 1), outputs.shape[-1], device=outputs.device)
        return (loss * weight).sum((-2, -1)), num_rows

    @torch.no_grad()
    def count_right(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return of each galaxy the share of its known tags that are right at a probability of one half."""
        tags = targets.transpose(-1, -2).unsqueeze(1)
        is_known = ~tags.isnan()
        is_right = ((outputs > 0) == (tags > 0.5)) & is_known
        return (is_right.sum(-2) / is_known.sum(-2).clamp(min=1)).sum(-1)

    def _divide(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return tags (S, 1, T, B), 0 where unknown, and weights, which are 0 there."""
        tags = targets.transpose(-1, -2).unsqueeze(1)
        is_known = ~tags.isnan()
        tags = tags.where(is_known, 0)
        return tags, torch.where(tags > 0.5, self._weight_of_yes, self._weight_of_no) * is_known
