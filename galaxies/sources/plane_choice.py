"""Which planes of FITS files are the bands that are asked for: g, r and z of a picture, or others by name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from galaxies.data.bands import Channels
from galaxies.errors import InputError
from galaxies.sources.fits_names import find_letter
from galaxies.sources.fits_planes import FileContents, Plane, name_image
from galaxies.sources.notes import Note

_MOST_NAMED = 6
# Beside a band's name in that of an extension: VIS_SCI is VIS.
_PLAIN_WORDS = ("sci", "science", "image", "img", "data", "flux", "band", "filter", "cutout", "coadd", "mosaic")


@dataclass(frozen=True)
class WantedBands:
    """Which bands are to be read."""

    channels: Channels = Channels()  # noqa: RUF009 - it is frozen; of all images
    some: tuple[str, ...] | None = None  # of those of channels that are no picture, in order; None: all

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, in the order in which they are wanted."""
        return self.channels.names_of_files if self.channels.are_picture else self.some or self.channels.bands


def choose_planes(files: Sequence[FileContents], wanted: WantedBands) -> tuple[list[Plane], list[Note]]:
    """Return the planes of the wanted bands, or a single one for a picture, out of those of one file, or of one a band.

    Planes without names are bands in their order only in a cube of as many: three extensions may be three of anything.

    Raises InputError that names what was found, when that is neither.
    """
    if len(files) > 1:
        files_of_bands = dict(zip(wanted.channels.names_of_files, files, strict=True))
        return [_choose_from(files_of_bands[band], band) for band in wanted.names], []
    planes, bands = files[0].planes, wanted.channels.names_of_files
    if len(planes) == 1 and wanted.channels.are_picture:
        return [planes[0]], [Note(f"one band ({planes[0].label}), shown in grey: the training images have colours")]
    if len(planes) == 1 and len(bands) == 1:
        return [planes[0]] * len(wanted.names), _compare_band(planes[0], bands[0])
    chosen = [[plane for plane in planes if is_of_band(plane, band)] for band in wanted.names]
    if all(len(some) == 1 for some in chosen):
        return [plane for (plane,) in chosen], []
    is_cube = len({id(plane.image) for plane in planes}) == 1
    if len(planes) == len(bands) and is_cube and all(plane.band is None for plane in planes):
        note = Note(f"the bands have no names: the {_count(len(planes))} planes are taken as {', '.join(bands)}")
        return [planes[bands.index(band)] for band in wanted.names], [note]
    raise InputError(f"{_say_found(files[0], is_cube)}, {_say_expected(wanted)}")


def is_of_band(plane: Plane, band: str) -> bool:
    """Tell whether a plane is of a band, by its filter or its extension's name: case and words such as SCI do not matter."""
    names = {_plain(plane.band or ""), "" if plane.is_of_cube else _plain(plane.image.name)}
    return _plain(band) in names or (plane.band is not None and plane.band == find_letter(band))


def _choose_from(contents: FileContents, band: str) -> Plane:
    """Return the plane of ``band`` in a file that a catalogue says is of that band."""
    named = [plane for plane in contents.planes if is_of_band(plane, band)]
    if len(contents.planes) != 1 and len(named) != 1:
        names = ", ".join(_describe(plane, False) for plane in contents.planes[:_MOST_NAMED]) or "none"
        raise InputError(f"found {len(contents.planes)} images in the file of {band} ({names}), expected one")
    (plane,) = named if len(named) == 1 else contents.planes
    if plane.band is not None and not is_of_band(plane, band):
        raise InputError(f"the header names another band than the catalogue: {plane.band} for {band}")
    return plane


def _compare_band(plane: Plane, band: str) -> list[Note]:
    """Return a note where a single image does not say that it is of the single band that is wanted."""
    if is_of_band(plane, band):
        return []
    if plane.label == "unnamed":
        return [Note(f"the band has no name: taken as {band}")]
    return [Note(f"the image is of {plane.label}, and {band} is asked for: it is taken for that")]


def _say_found(contents: FileContents, is_cube: bool) -> str:
    planes = contents.planes
    names = ", ".join(_describe(plane, is_cube) for plane in planes[:_MOST_NAMED])
    size = " x ".join(map(str, planes[0].shape[::-1])) if planes else ""
    more = f" … ({len(planes)} planes of {size})" if len(planes) > _MOST_NAMED else ""
    found = f"found the {'bands' if is_cube else 'images'} {names}{more}" if planes else "found no image of the sky"
    passed_over = ", ".join(name_image(image) for image in contents.companions[:_MOST_NAMED])
    return found + (f" (beside {passed_over}, which by their names or kinds are none)" if passed_over else "")


def _say_expected(wanted: WantedBands) -> str:
    where = "by name (BANDS, BAND, FILTER or the extension's name)"
    if not wanted.channels.are_picture:
        cube = f", or one cube of {len(wanted.channels.bands)} planes without names" if len(wanted.channels.bands) > 1 else ""
        return f"expected {', '.join(wanted.names)} {where}{cube}"
    return (
        f"expected g, r and z {where}, one cube of three planes, or one image; save what is meant in a file of its own, or "
        "train on other bands (download.bands)"
    )


def _describe(plane: Plane, is_cube: bool) -> str:
    if is_cube:
        return plane.band or "unnamed"
    return plane.name if plane.band is None or plane.band.upper() in plane.name else f"{plane.name} ({plane.band})"


def _plain(name: str) -> str:
    """Return what is left of a name without case, signs and plain words."""
    return "".join(word for word in re.findall("[a-z0-9]+", name.lower()) if word not in _PLAIN_WORDS)


def _count(number: int) -> str:
    return "three" if number == 3 else str(number)
