"""The section ``download`` of params.yaml."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from galaxies.data.bands import MAX_BANDS, RGB, Channels, PixelType
from galaxies.data.stretch import choose_flux_scales
from galaxies.params import Limits
from galaxies.sources.cutouts import CUTOUT_SIZE, LEGACY_SURVEY_URL, PXSCALE, CutoutService, find_template_complaint
from galaxies.sources.fetching import Courtesy
from galaxies.sources.image_catalogue import OnError
from galaxies.sources.image_measures import Framing
from galaxies.sources.image_reader import ReadOptions

SIMULATED_SIZE = 256  # px

OF_ONE_SOURCE = ("columns", "image_size", "field_arcsec", "bands", "dtype", "zero_point", "on_error", "unlabelled_value")
"""What is said of one source of one's own, and of another may be wrong, or refused."""


@dataclass(frozen=True)
class DownloadParams:
    """The section ``download`` of params.yaml."""

    source: Literal["simulated", "galaxy10_decals", "hdf5", "images", "cutouts", "embeddings", "parquet"] = "simulated"
    # hdf5: a file in the Galaxy10 schema; images: a folder or a catalogue; parquet: a folder, pattern or list; else a table
    path: str | None = None
    url: str | None = None  # galaxy10_decals: of the file; cutouts: a template with {ra} and {dec}; null: its own
    sha256: str | None = None  # of the input; null: galaxy10_decals' own, and an error for the local ones
    # embeddings: the column of lists, or what the names of one column a feature begin with; parquet: of images; null: found out
    columns: str | None = None
    layer: str = "ls-dr9"  # cutouts: what the service is to draw, the template's {layer}
    rate_per_second: Annotated[float, Limits(0.01, 1000)] = 5.0  # cutouts: requests, at most
    concurrency: Annotated[int, Limits(1, 64)] = 4  # cutouts: requests that wait for an answer at a time
    num_galaxies: Annotated[int, Limits(20, 10_000_000)] = 3000  # simulated
    image_size: Annotated[int, Limits(16, 2048)] | None = None  # px; null: 256, but images' own, if all are equal
    # Width of the sky that each image shows; null: of images the median, of cutouts 0.262 a px.
    field_arcsec: Annotated[float, Limits(1e-3, 36_000)] | None = None
    bands: tuple[str, ...] | None = None  # images, cutouts: of FITS, each a channel, as in [u, g, r]; null: pictures of g, r, z
    dtype: PixelType = "uint8"  # of the pixels of bands; float16: from 0 to 1
    zero_point: Annotated[float, Limits(-50, 80)] | None = None  # images, cutouts: AB magnitude of a 1 in FITS without a unit
    on_error: OnError = "refuse"  # images, cutouts, embeddings: what becomes of galaxies that cannot be used
    seed: Annotated[int, Limits(0, 2**63 - 1)] = 0  # simulated
    unlabelled_fraction: Annotated[float, Limits(0, 1)] = 0.0  # simulated: share of the galaxies whose label is left away
    unlabelled_value: int | None = None  # hdf5, parquet: the label that means none; null: as the file's attribute says
    version: int = 1  # raised when the code changes the galaxies

    def problems(self) -> Iterator[str]:
        """Yield what the types cannot say."""
        is_local = self.source in ("hdf5", "images", "cutouts", "embeddings", "parquet")
        if is_local and not self.path:
            yield f"path: found null, but the source {self.source} reads a local path; use `-S download.path=<path>`"
        if not is_local and self.path is not None:
            yield (
                f"path: found {self.path!r}, but the source {self.source} reads none; use `-S download.source=hdf5`, images, "
                "cutouts, embeddings or parquet"
            )
        if self.source not in ("embeddings", "parquet") and self.columns is not None:
            yield f"columns: found {self.columns!r}, but the source {self.source} has none to choose; allowed is null"
        complaint = find_template_complaint(self.url) if self.source == "cutouts" and self.url is not None else None
        if complaint is not None:
            yield f"url: {complaint}"
        if self.unlabelled_value is not None and self.source not in ("hdf5", "parquet"):
            yield (
                f"unlabelled_value: found {self.unlabelled_value}, but the source {self.source} reads none; in a catalogue "
                "leave the label empty"
            )
        yield from self._problems_of_bands()
        if self.sha256 not in (None, "any") and not re.fullmatch("[0-9a-fA-F]{64}", str(self.sha256)):
            yield f"sha256: found {self.sha256!r}, allowed are 64 hexadecimal digits, any, or null"

    def _problems_of_bands(self) -> Iterator[str]:
        if self.bands is None:
            if self.dtype != "uint8":
                yield f"dtype: found {self.dtype}, but pictures (bands: null) are uint8"
            return
        if self.source not in ("images", "cutouts"):
            yield f"bands: found {list(self.bands)}, but the source {self.source} has its own; allowed is null"
        names = [band.strip().lower() for band in self.bands]
        if not 1 <= len(names) <= MAX_BANDS or len(set(names)) < len(names) or not all(names) or "," in "".join(names):
            yield f"bands: found {list(self.bands)}, allowed are 1 to {MAX_BANDS} names that differ, also in lower case"
        if self.bands == RGB:
            yield f"bands: found {list(self.bands)}, which are the channels of pictures; allowed is null"

    @property
    def channels(self) -> Channels:
        """What the images are to be."""
        return Channels() if self.bands is None else Channels(self.bands, self.dtype, choose_flux_scales(self.bands))

    @property
    def reading(self) -> ReadOptions:
        """How image files are read."""
        return ReadOptions(zero_point=self.zero_point, channels=self.channels)

    @property
    def framing(self) -> Framing:
        """What is asked for of all images."""
        return Framing(self.image_size, self.field_arcsec)

    @property
    def service(self) -> CutoutService:
        """Where cutouts come from."""
        size = self.image_size or CUTOUT_SIZE
        pxscale = PXSCALE if self.field_arcsec is None else self.field_arcsec / size
        return CutoutService(self.url or LEGACY_SURVEY_URL, self.layer, size, pxscale)

    @property
    def courtesy(self) -> Courtesy:
        """How their server is asked."""
        return Courtesy(self.rate_per_second, self.concurrency)
