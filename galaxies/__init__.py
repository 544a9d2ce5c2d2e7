"""Classify galaxies by shape from the cached activations of a frozen, pretrained network.

The modules follow one galaxy from file to metric:

``sources`` and ``survey`` make ``galaxies.h5`` (``galaxy_file``); ``splits`` decides which galaxies are used and how they
are divided (``catalog``, ``sky``); ``backbone`` and ``extraction`` write a layer's activations into a ``store``;
``training`` fits a ``head`` on them; ``evaluation`` and ``plots`` say how good it is.

``galaxies.load("models")`` gives a trained model, and its ``predict(images)`` the classes of images (B, H, W, 3) uint8; see
``prediction``. Importing this package alone imports nothing else.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from galaxies.prediction.model import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """Import :func:`galaxies.prediction.model.load`, and with it PyTorch, when it is first asked for."""
    if name == "load":
        from galaxies.prediction.model import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
