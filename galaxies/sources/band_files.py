"""The files of a galaxy: one, or those of its bands, such as ``galaxy-g.fits``, ``galaxy-r.fits``, ``galaxy-z.fits``."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from galaxies.data.stretch import BANDS
from galaxies.sources.image_files import FITS_SUFFIXES, IMAGE_SUFFIXES

_BAND_FILE = re.compile(r"(?P<stem>.+)[-_.](?P<band>[grz])(\.(fits|fit|fts)(\.(fz|gz|bz2|xz))?)", re.IGNORECASE)


def has_image_name(file: Path) -> bool:
    """Tell by its ending whether a file is an image of a kind that is read."""
    return file.name.lower().endswith(IMAGE_SUFFIXES + FITS_SUFFIXES)


def group_bands(files: Iterable[Path]) -> Iterator[tuple[Path, tuple[Path, ...]]]:
    """Yield of each galaxy the path without ending, and its files: those of three bands, or one.

    Args:
        files: sorted, so that g comes first.
    """
    taken: set[Path] = set()
    for file in files:
        bands = _band_files(file)
        if file in taken:
            taken.discard(file)
        elif bands is not None:
            taken.update(bands[1:])
            yield file.with_name(_stem_of_bands(file)), bands
        else:
            yield file.with_suffix(""), (file,)


def _stem_of_bands(file: Path) -> str:
    match = _BAND_FILE.fullmatch(file.name)
    assert match is not None  # Asked only of names that matched.
    return match["stem"]


def _band_files(file: Path) -> tuple[Path, ...] | None:
    """Return the files of g, r and z where ``file`` is that of g and all three are there."""
    match = _BAND_FILE.fullmatch(file.name)
    if match is None or match["band"].lower() != "g":
        return None
    start, stop = match.span("band")
    letters = BANDS if match["band"] == "g" else tuple(band.upper() for band in BANDS)
    files = tuple(file.with_name(f"{file.name[:start]}{letter}{file.name[stop:]}") for letter in letters)
    return files if all(other.is_file() for other in files) else None
