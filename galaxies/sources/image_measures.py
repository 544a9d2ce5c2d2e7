"""How large the images of a catalogue are, how much of the sky they show, and to what size and field they will be brought."""

import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from galaxies.data.bands import Channels
from galaxies.data.field_of_view import SAME_SCALE, FieldOfView
from galaxies.data.image_files import DAMAGE_ERRORS, say_damage
from galaxies.errors import InputError
from galaxies.sources.decoding import batched, silent_readers
from galaxies.sources.image_catalogue import ImageCatalogue
from galaxies.sources.image_reader import ImageReader, ReadOptions
from galaxies.sources.inputs import Input

_BLOCK_ROWS = 64
_MOST_SIZES = 10


@dataclass(frozen=True)
class Framing:
    """What is asked for of all images; the defaults take images of one size as they are."""

    image_size: int | None = None  # px; None: the images' own, if all are equal
    field_arcsec: float | None = None  # None: the median of the images, where they are brought to one size at all

    @property
    def is_complete(self) -> bool:
        """Tell whether size and field do not depend on the images."""
        return self.image_size is not None and self.field_arcsec is not None


@dataclass(frozen=True)
class Measures:
    """What was measured of M images."""

    side: NDArray[np.int64]  # (M,) px, the shorter one; 0 where unknown
    pxscale: NDArray[np.float64]  # (M,) arcsec/px, NaN where unknown
    has_place: NDArray[np.bool_]  # (M,) whether it is cut out of its file at its position

    def take(self, places: Sequence[int]) -> "Measures":
        """Return those of some images."""
        return Measures(self.side[places], self.pxscale[places], self.has_place[places])

    @property
    def are_alike(self) -> bool:
        """Tell whether cutting all of them to one width of sky would leave them as they are."""
        known = self.pxscale[np.isfinite(self.pxscale)]
        return not self.has_place.any() or not len(known) or bool(known.max() <= known.min() * (1 + SAME_SCALE))


def measure_images(catalogue: ImageCatalogue, reading: ReadOptions, num_threads: int) -> tuple[Measures, dict[int, str]]:
    """Return sizes and scales of all images, of pictures from their headers, and by place why some have none."""
    num_images = len(catalogue.lines)
    has_place = np.array([catalogue.has_place(place) for place in range(num_images)], bool)
    measures = Measures(np.zeros(num_images, np.int64), np.full(num_images, np.nan), has_place)
    errors: dict[int, str] = {}
    place = 0
    inputs = tqdm(catalogue.inputs(skip=catalogue.wrong), "check images", num_images, unit="galaxy")
    with silent_readers(), ImageReader(None, reading) as reader, ThreadPoolExecutor(max(1, num_threads)) as executor:
        for batch in batched(inputs, _BLOCK_ROWS):
            for entry, found in zip(batch, executor.map(functools.partial(_measure, reader), batch), strict=True):
                if isinstance(found, str):
                    errors[place] = f"{entry.files[0]}: {found}"
                elif found is not None:
                    measures.side[place], measures.pxscale[place] = found
                place += 1
    return measures, errors


def find_size_complaints(measures: Measures | None, framing: Framing, catalogue: ImageCatalogue) -> Iterator[str]:
    """Yield why images cannot become galaxies of one size: there are several, or many galaxies in one."""
    if measures is None:
        return
    counts_of_files = Counter(line.paths for place, line in enumerate(catalogue.lines) if measures.has_place[place])
    mosaics = [(paths[0], count) for paths, count in counts_of_files.most_common() if count > 1]
    if mosaics:
        name, count = mosaics[0]
        yield (
            f"{name} holds {count} galaxies, each at its position: say how large an image of each is and which width of the "
            "sky it shows: `-S download.image_size=256 -S download.field_arcsec=67`, say"
        )
    if mosaics or framing.image_size is not None:
        return
    counts = Counter(measures.side[measures.side > 0].tolist()).most_common()
    if len(counts) > 1:
        example = {size: catalogue.files(int(np.argmax(measures.side == size)))[0] for size, _ in counts[:_MOST_SIZES]}
        sizes = ", ".join(f"{size} px ({count}, such as {example[size]})" for size, count in counts[:_MOST_SIZES])
        more = " …" if len(counts) > _MOST_SIZES else ""
        yield (
            f"the images have {len(counts)} sizes: {sizes}{more}; say to which all are to be brought: `-S "
            f"download.image_size={counts[0][0]}`, and with `-S download.field_arcsec=…` which width of the sky they show "
            "(default: the median)"
        )


def choose_field(measures: Measures | None, framing: Framing, channels: Channels, path: Path) -> FieldOfView:
    """Return what the images of the catalogue at ``path``, of one size or to be brought to one, will show, in which channels.

    Raises InputError when a field is asked for and no scale is known.
    """
    return replace(_choose_frame(measures, framing, path), channels=channels)


def _choose_frame(measures: Measures | None, framing: Framing, path: Path) -> FieldOfView:
    if measures is None:
        assert framing.image_size is not None  # Only then is nothing measured.
        return _frame(framing.image_size, framing.field_arcsec)
    size = framing.image_size or int(measures.side[0])
    if framing.image_size is None and framing.field_arcsec is None and measures.are_alike:
        return FieldOfView.of_images(size, measures.pxscale)
    shown = (measures.side * measures.pxscale)[np.isfinite(measures.pxscale)]
    if framing.field_arcsec is not None and not len(shown):
        raise InputError(
            f"{path}: download.field_arcsec is {framing.field_arcsec:g}, but of no image the pixel scale is known; give it in "
            "the column pxscale (arcsec/px) or in FITS headers, or set download.field_arcsec to null."
        )
    return _frame(size, framing.field_arcsec or (float(np.median(shown)) if len(shown) else None))


def _frame(image_size: int, arcsec: float | None) -> FieldOfView:
    return FieldOfView.of_framed_images(image_size, None if arcsec is None else arcsec / image_size)


def _measure(reader: ImageReader, entry: Input) -> tuple[int, float] | str | None:
    """Return side and scale of an image, or why there is none; None where the catalogue says why."""
    if entry.error is not None:
        return None
    try:
        return reader.measure(entry.files, pxscale=entry.pxscale)
    except (InputError, *DAMAGE_ERRORS) as error:
        return say_damage(error)
