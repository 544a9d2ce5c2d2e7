"""The loss of many heads at once, from logits; its numbers are those of torch's cross-entropy (a test compares them).

Legend: B rows in a batch, C features, K classes, S seeds, G settings.
"""

import torch
from torch import Tensor


def sum_losses(logits: Tensor, targets: Tensor, *, weight: Tensor, smoothing: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weighted sum of the cross-entropies (S, G), and the sum of the weights (S, 1) that makes a mean of it.

    Args:
        logits: (S, G, B, K).
        targets: (S, B), or (1, B) that all seeds share.
        weight: of each class, (K,).
        smoothing: share of each target that is spread over all classes, (G,).
    """
    log_probabilities = logits.log_softmax(-1)
    index = targets[:, None, :, None].expand(*logits.shape[:3], 1)
    weight_of_row = weight[targets].unsqueeze(1)  # (S, 1, B)
    loss = -(log_probabilities.gather(-1, index).squeeze(-1) * weight_of_row).sum(-1)
    spread = -(log_probabilities @ weight).sum(-1) / logits.shape[-1]
    return (1 - smoothing) * loss + smoothing * spread, weight_of_row.sum(-1)


def weigh_classes(targets: Tensor, num_classes: int, class_weight: str) -> Tensor:
    """Return the weight of each class, (K,): 1, or ``balanced`` the inverse of its share, which averages to 1 over the rows."""
    if class_weight == "none":
        return torch.ones(num_classes, device=targets.device)
    counts = torch.bincount(targets, minlength=num_classes)
    return len(targets) / (num_classes * counts.float())
