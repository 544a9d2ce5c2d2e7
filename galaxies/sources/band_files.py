"""The files of a galaxy: one, or those of its bands, such as ``galaxy-g.fits``, ``galaxy-r.fits``, ``galaxy-z.fits``."""

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from galaxies.data.image_files import FITS_SUFFIXES, IMAGE_SUFFIXES


def has_image_name(file: Path) -> bool:
    """Tell by its ending whether a file is an image of a kind that is read."""
    return file.name.lower().endswith(IMAGE_SUFFIXES + FITS_SUFFIXES)


def group_bands(files: Iterable[Path], bands: Sequence[str]) -> Iterator[tuple[Path, tuple[Path, ...]]]:
    """Yield of each galaxy the path without ending, and its files: one for each of several ``bands``, in order, or one."""
    taken: set[Path] = set()
    for file in files:
        if file in taken:
            taken.discard(file)
            continue
        grouped = _find_others(file, tuple(bands)) if len(bands) > 1 else None
        stem, others = grouped or ("", (file,))
        taken.update(other for other in others if other != file)
        yield file.with_name(stem) if stem else file.with_suffix(""), others


def _find_others(file: Path, bands: tuple[str, ...]) -> tuple[str, tuple[Path, ...]] | None:
    """Return the name that the files of all bands begin with, and these, where ``file`` is one and all are there."""
    match = _band_pattern(bands).fullmatch(file.name)
    if match is None:
        return None
    start, stop = match.span("band")
    is_lower = match["band"] == match["band"].lower()
    for spell in (str, str.lower if is_lower else str.upper):
        names = [f"{file.name[:start]}{spell(band)}{file.name[stop:]}" for band in bands]
        others = tuple(file.with_name(name) for name in names)
        if file in others and all(other.is_file() for other in others):
            return match["stem"], others
    return None


@functools.lru_cache(16)
def _band_pattern(bands: tuple[str, ...]) -> "re.Pattern[str]":
    names = "|".join(map(re.escape, sorted(bands, key=len, reverse=True)))
    endings = "|".join(re.escape(suffix) for suffix in FITS_SUFFIXES if suffix != ".fz")
    return re.compile(rf"(?P<stem>.+)[-_.](?P<band>{names})(({endings})(\.fz)?)", re.IGNORECASE)
