"""The kept ending: the backbone's own blocks after the cut, which start from their pretrained weights and train with the head.

Light to import: ``backbone.make_ending`` builds one.

Legend: B rows, C features, c channels and s image size of the backbone.
"""

import torch
from torch import Tensor, nn

from galaxies.backbones.spec import INPUT, BackboneSpec

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Ending(nn.Module):
    """Map the activations of a layer (B, ...), or images (B, c, s, s), to the classifier's input (B, C) float32.

    Images are whole grey levels (uint8), or numbers from 0 to 1.

    Attributes:
        spec: how ``backbone.rebuild_ending`` builds the backbone again, with random weights.
        layer: the cut.
    """

    mean: Tensor  # (c, 1, 1) of each channel of images, on the scale 0 to 1
    std: Tensor

    def __init__(self, blocks: nn.Module, spec: BackboneSpec, layer: str) -> None:
        super().__init__()
        self.spec, self.layer = spec, layer
        self.blocks = blocks
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(getattr(spec, name)).view(-1, 1, 1), persistent=False)
        self._freezes_batch_norm = False

    def forward(self, activations: Tensor) -> Tensor:
        """Return the features of one view's activations as the store gives them."""
        numbers = activations.float()
        if self.layer == INPUT:
            unit = 255 if activations.dtype == torch.uint8 else 1
            numbers = (numbers / unit - self.mean) / self.std
        features: Tensor = self.blocks(numbers)
        return features.float()

    def prepare_training(self, *, freeze_batch_norm: bool) -> None:
        """Let all parameters learn, but those of BatchNorm where they are frozen, with the running statistics."""
        self._freezes_batch_norm = freeze_batch_norm
        self.requires_grad_(True)
        for module in self._batch_norms() if freeze_batch_norm else []:
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> "Ending":
        """Set the mode; BatchNorm that is frozen stays in evaluation mode."""
        super().train(mode)
        for module in self._batch_norms() if self._freezes_batch_norm else []:
            module.eval()
        return self

    def _batch_norms(self) -> list[nn.Module]:
        return [module for module in self.blocks.modules() if isinstance(module, _BATCH_NORMS)]


def make_features(ending: Ending | None, activations: Tensor) -> Tensor:
    """Return features (B, C) float32 of one view's activations: what the ending makes of them, or themselves without one."""
    return ending.eval()(activations) if ending else activations.float()
