"""Classify galaxies by shape from the cached activations of a frozen, pretrained network.

The folders follow one galaxy from its file to a metric, and each uses those before it:

``tables`` reads what others wrote; ``data`` holds galaxies, the catalog and the splits; ``simulation`` draws them, ``sources``
brings them from elsewhere; ``backbones`` are frozen networks, and ``features`` their activations, in stores; ``heads`` are
trained on these; ``evaluation`` says how good a head is, ``gallery`` shows it, ``prediction`` asks it about other galaxies;
``repository`` speaks to DVC and Git, and ``commands`` is the command line.

``galaxies.load("models")`` gives a trained model, and its ``predict(images)`` the classes of images (B, H, W, 3) uint8; see
``prediction/model.py``. ``galaxies.open_survey("my_survey.zarr")`` gives the galaxies of a kept survey, or of a store of the
pipeline, with their features; see ``prediction/stored_survey.py``. Importing this package alone imports nothing else.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from galaxies.prediction.model import load
    from galaxies.prediction.stored_survey import open_survey

__all__ = ["load", "open_survey"]


def __getattr__(name: str) -> Any:
    """Import :func:`galaxies.prediction.model.load` or its like, and with it PyTorch, when it is first asked for."""
    if name == "load":
        from galaxies.prediction.model import load

        return load
    if name == "open_survey":
        from galaxies.prediction.stored_survey import open_survey

        return open_survey
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
