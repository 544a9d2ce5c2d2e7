"""The loss of many heads at once, from logits; its numbers are those of torch's cross-entropy (a test compares them).

Legend: B rows in a batch, C features, K classes, S seeds, G settings.
"""

import torch
from torch import Tensor


def sum_losses(logits: Tensor, targets: Tensor, *, weight: Tensor, smoothing: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weighted sum of the cross-entropies (S, G), and the sum of the weights (S, 1) that makes a mean of it.

    Args:
        logits: (S, G, K, B).
        targets: (S, B), or (1, B) that all seeds share.
        weight: of each class, (K,).
        smoothing: share of each target that is spread over all classes, (G,).
    """
    log_probabilities = logits.log_softmax(-2)
    num_classes = logits.shape[-2]
    index = targets[:, None, None].expand(*logits.shape[:2], 1, -1)  # (S, G, 1, B)
    weight_of_row = weight[targets].unsqueeze(1)  # (S, 1, B)
    loss = -(log_probabilities.gather(-2, index).squeeze(-2) * weight_of_row).sum(-1)
    spread = -(log_probabilities.sum(-1) @ weight) / num_classes
    return (1 - smoothing) * loss + smoothing * spread, weight_of_row.sum(-1)


def weigh_classes(targets: Tensor, num_classes: int, class_weight: str) -> Tensor:
    """Return the weight of each class, (K,): 1, or ``balanced`` the inverse of its share, which averages to 1 over the rows."""
    if class_weight == "none":
        return torch.ones(num_classes, device=targets.device)
    counts = torch.bincount(targets, minlength=num_classes)
    return len(targets) / (num_classes * counts.float())
