"""What the images of a survey show: how much of the sky, and in which bands.

A galaxy twice as large on the image is another galaxy to a network. `split` writes ``data/field_of_view.json``, so that
`train`, which puts it into the head, need not read the galaxies.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from galaxies.data.bands import Channels
from galaxies.errors import InputError
from galaxies.files import write_json

SAME_SCALE = 1e-3
"""Two scales closer than this show the same: over 256 px it is a quarter of a pixel."""


@dataclass(frozen=True)
class FieldOfView:
    """What the images of a survey show, of whatever split."""

    image_size: int  # px
    pxscale: float | None  # arcsec/px, the median; None where no image has a known one
    finest: float | None  # arcsec/px, the smallest there was
    coarsest: float | None
    is_framed: bool = False  # whether each image was brought to this size, and to this field where its scale was known
    channels: Channels = Channels()  # noqa: RUF009 - it is frozen

    @classmethod
    def of_images(cls, image_size: int, pxscale: NDArray[np.float64]) -> Self:
        """Return the field of images of one size that were taken as they are.

        Args:
            image_size: px.
            pxscale: of all images, (N,) arcsec/px, NaN where unknown.
        """
        known = pxscale[np.isfinite(pxscale)]
        if not len(known):
            return cls(image_size, None, None, None)
        return cls(image_size, float(np.median(known)), float(known.min()), float(known.max()))

    @classmethod
    def of_framed_images(cls, image_size: int, pxscale: float | None) -> Self:
        """Return the field of images that were brought to one size and scale; None where that of none was known."""
        return cls(image_size, pxscale, pxscale, pxscale, is_framed=True)

    @property
    def arcsec(self) -> float | None:
        """Width of the median image on the sky."""
        return None if self.pxscale is None else self.pxscale * self.image_size

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; the channels only where they are not those of a picture."""
        values = asdict(self)
        channels: dict[str, Any] = values.pop("channels")
        return values if self.channels == Channels() else {**values, "channels": {k: _plain(v) for k, v in channels.items()}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_json` has written. Raises TypeError for anything else."""
        values = dict(values)
        channels: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in dict(values.pop("channels", {})).items()
        }
        return cls(**values, channels=Channels(**channels))

    def shown_pxscale(self, pxscale: float) -> float:
        """Return the scale of an image of training, arcsec/px, that had the scale ``pxscale`` before it was framed."""
        return self.pxscale if self.is_framed and self.pxscale is not None and np.isfinite(pxscale) else pxscale

    def has_seen(self, image_size: int, pxscale: float) -> bool:
        """Tell whether training images had this size and scale: such a one is taken as it is, as they were."""
        if self.finest is None or self.coarsest is None:
            return False
        return image_size == self.image_size and (self.finest * (1 - SAME_SCALE) <= pxscale <= self.coarsest * (1 + SAME_SCALE))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def find_field(image_size: int, pxscale: NDArray[np.float64], framed_pxscale: float | None, channels: Channels) -> FieldOfView:
    """Return the field of the galaxies in use, as ``galaxies.h5`` has them.

    Args:
        image_size: px.
        pxscale: of all galaxies, (N,) arcsec/px, NaN where unknown; another division of them changes no field.
        framed_pxscale: as ``GalaxyFile`` has it.
        channels: likewise.
    """
    if framed_pxscale is None:
        return replace(FieldOfView.of_images(image_size, pxscale), channels=channels)
    pxscale_or_none = None if np.isnan(framed_pxscale) else framed_pxscale
    return replace(FieldOfView.of_framed_images(image_size, pxscale_or_none), channels=channels)


def write_field(path: Path, field: FieldOfView) -> None:
    """Write ``field_of_view.json``."""
    write_json(path, field.to_json())


def read_field(path: Path) -> FieldOfView:
    """Read ``field_of_view.json``. Raises InputError when it is missing or not one that ``split`` wrote."""
    try:
        return FieldOfView.from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(f"There is no file {path}; `dvc repro split` makes it.") from None
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{path} is not what the stage split writes ({error}). Do not edit it; `dvc repro --force split` makes it again."
        ) from error
