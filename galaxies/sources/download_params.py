"""The section ``download`` of params.yaml."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from galaxies.params import Limits
from galaxies.sources.image_catalogue import OnError
from galaxies.sources.image_measures import Framing

SIMULATED_SIZE = 256  # px


@dataclass(frozen=True)
class DownloadParams:
    """The section ``download`` of params.yaml."""

    source: Literal["simulated", "galaxy10_decals", "hdf5", "images"] = "simulated"
    path: str | None = None  # hdf5: a file in the Galaxy10 schema; images: a folder or a catalogue
    url: str | None = None  # galaxy10_decals; null: its own
    sha256: str | None = None  # of the input; null: galaxy10_decals' own, and an error for hdf5 and images
    num_galaxies: Annotated[int, Limits(20, 10_000_000)] = 3000  # simulated
    image_size: Annotated[int, Limits(16, 2048)] | None = None  # px; null: simulated 256, images their own, if all are equal
    field_arcsec: Annotated[float, Limits(1e-3, 36_000)] | None = None  # images: how much sky they show; null: the median
    on_error: OnError = "refuse"  # images: what becomes of galaxies that cannot be used
    seed: Annotated[int, Limits(0, 2**63 - 1)] = 0  # simulated
    version: int = 1  # raised when the code changes the galaxies

    def problems(self) -> Iterator[str]:
        """Yield what the types cannot say."""
        is_local = self.source in ("hdf5", "images")
        if is_local and not self.path:
            yield f"path: found null, but the source {self.source} reads a local path; use `-S download.path=<path>`"
        if not is_local and self.path is not None:
            yield f"path: found {self.path!r}, but the source {self.source} reads none; use `-S download.source=hdf5` or images"
        if self.sha256 not in (None, "any") and not re.fullmatch("[0-9a-fA-F]{64}", str(self.sha256)):
            yield f"sha256: found {self.sha256!r}, allowed are 64 hexadecimal digits, any, or null"

    @property
    def framing(self) -> Framing:
        """What is asked for of all images."""
        return Framing(self.image_size, self.field_arcsec)
