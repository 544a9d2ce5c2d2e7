"""How much of the sky the images of training show.

A galaxy twice as large on the image is another galaxy to a network. `split` writes ``data/field_of_view.json``, so that
`train`, which puts it into the head, need not read the galaxies.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from galaxies.errors import InputError
from galaxies.files import write_json

# Two scales closer than this show the same: over 256 px it is a quarter of a pixel.
_SAME_SCALE = 1e-3


@dataclass(frozen=True)
class FieldOfView:
    """What the training images show."""

    image_size: int  # px
    pxscale: float | None  # arcsec/px, the median; None where no training image has a known one
    finest: float | None  # arcsec/px, the smallest there was
    coarsest: float | None

    @classmethod
    def of_images(cls, image_size: int, pxscale: NDArray[np.float64]) -> Self:
        """Return the field of images of one size with scales (N,) in arcsec/px, NaN where unknown."""
        known = pxscale[np.isfinite(pxscale)]
        if not len(known):
            return cls(image_size, None, None, None)
        return cls(image_size, float(np.median(known)), float(known.min()), float(known.max()))

    @property
    def arcsec(self) -> float | None:
        """Width of the median training image on the sky."""
        return None if self.pxscale is None else self.pxscale * self.image_size

    def has_seen(self, image_size: int, pxscale: float) -> bool:
        """Tell whether training images had this size and scale: such a one is taken as it is, as they were."""
        if self.finest is None or self.coarsest is None:
            return False
        return image_size == self.image_size and (
            self.finest * (1 - _SAME_SCALE) <= pxscale <= self.coarsest * (1 + _SAME_SCALE)
        )


def write_field(path: Path, field: FieldOfView) -> None:
    """Write ``field_of_view.json``."""
    write_json(path, asdict(field))


def read_field(path: Path) -> FieldOfView:
    """Read ``field_of_view.json``. Raises InputError when it is missing or not one that ``split`` wrote."""
    try:
        return FieldOfView(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(f"There is no file {path}; `dvc repro split` makes it.") from None
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{path} is not what the stage split writes ({error}). Do not edit it; `dvc repro --force split` makes it again."
        ) from error
