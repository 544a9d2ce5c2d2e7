"""From the fluxes in FITS files to the image that was trained on, with a note on all that was assumed.

That is a picture in the colours of the survey's own, or each of some bands by itself, from 0 to 1.

K bands, H x W pixels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galaxies.data.image_files import MAX_PIXELS
from galaxies.data.stretch import stretch_bands, stretch_grey, stretch_to_rgb
from galaxies.errors import InputError
from galaxies.sources.fits_files import explain_damage
from galaxies.sources.fits_planes import FileContents, Plane
from galaxies.sources.flux_units import FluxScale, find_flux_scale, linearise
from galaxies.sources.missing_pixels import fill_holes, find_flagged, find_missing, measure_below
from galaxies.sources.notes import BLANK, Note
from galaxies.sources.pixel_grids import align_bands, make_square, measure_pixel
from galaxies.sources.plane_choice import WantedBands, choose_planes
from galaxies.sources.plausibility import is_too_white, judge_image, measure_white
from galaxies.sources.sky_cutouts import Cut, cut_position, cut_whole, say_edge

# With a strip of 5 % at the edge taken for sky all of 50 galaxies of Galaxy10 DECaLS keep their class; with a hole of 1.2 % of
# the middle, 30 px from the core, 39 do.
_MOST_MISSING = 0.05
_MOST_BELOW = 0.01  # of the pixels: light is above the sky, and hardly any noise is so low
_MOST_MISSING_INSIDE = 0.005
# Cutouts that are larger than the field are mostly twice as large; what is larger holds more than one galaxy.
_MOST_FIELDS = 2.5
_LARGE_CUTOUT = 1024  # px, where no scale tells how much of a field it is
# A pixel more shows no more of the sky than the training images differ by.
_SAME_FIELD = 1e-3
_SLANTED = 1.5  # so many more pixels hold the square in a slanted rectangle


@dataclass(frozen=True)
class Field:
    """What a picture should show, and what is known beside the files."""

    size: int  # px, of a galaxy in a mosaic whose scale is unknown or does not matter
    arcsec: float | None  # width on the sky, where it matters
    ra: float = math.nan  # deg, of the galaxy, where the catalogue says it
    dec: float = math.nan
    pxscale: float = math.nan  # arcsec/px, where the catalogue or the user says it: the files' own do not count
    zero_point: float | None = None  # AB magnitude of a number of 1, where the user says it
    wanted: WantedBands = WantedBands()  # noqa: RUF009 - it is frozen
    is_lost: bool = False  # whether the catalogue gives positions, and none for this galaxy


def read_fluxes(files: Sequence[FileContents], field: Field) -> tuple[NDArray[Any], float, list[Note]]:
    """Read a galaxy from one file (one image, several, or a cube), or from one a band, in the order of the bands.

    Returns:
        The picture (H, W, 3) uint8, red first, or the wanted bands (H, W, C) float32 from 0 to 1; its pixel scale in arcsec
        (NaN where unknown), and notes.

    Raises:
        InputError: a file is damaged, holds no image, none in the right bands, more pixels than can be read, bands that do not
            belong together, or not the position that is asked for.
    """
    with explain_damage():
        planes, notes = choose_planes(files, field.wanted)
        cuts, cut_notes = _cut(planes, field)
        bands = [_read_band(cut, field) for cut in cuts]
        fluxes = [band.fluxes for band in bands]
        moved = align_bands(cuts, fluxes)
    stack = np.stack(fluxes)  # (K, H, W)
    mended = _mend(stack, planes, bands)
    shape = measure_pixel(planes[0], *cuts[0].middle)
    stack, squared = make_square(stack, shape)
    # FITS counts rows from the bottom of the picture.
    picture, doubts = _paint(stack[:, ::-1], [band.scale for band in bands], field.wanted)
    pxscale = field.pxscale if math.isfinite(field.pxscale) else shape.pxscale
    notes = [*notes, *cut_notes, *_join_notes(planes, bands), *_compare_units(bands), *moved, *mended, *squared, *doubts]
    return picture, pxscale * shape.shrinkage, notes


def _cut(planes: Sequence[Plane], field: Field) -> tuple[list[Cut], list[Note]]:
    """Return what of each plane shows the galaxy: all of it, or the field around the position where one is given."""
    notes = []
    if not math.isfinite(field.ra + field.dec):
        _require_cutout(planes[0], field)
        cuts = [cut_whole(plane) for plane in planes]
    elif all(plane.wcs is not None for plane in planes):
        cuts = [cut_position(plane, field.ra, field.dec, _count_pixels(plane, field)) for plane in planes]
        notes = say_edge(cuts[0])
    else:
        notes = [replace(NO_POSITION, is_doubt=_count_fields(planes[0], field) > _MOST_FIELDS)]
        cuts = [cut_whole(plane) for plane in planes]
    for cut in cuts:
        if cut.height * cut.width > MAX_PIXELS:
            raise InputError(
                f"the image has {cut.width} x {cut.height} px, of which {MAX_PIXELS:,} can be read; {_GIVE_POSITION}"
            )
    return cuts, notes


NO_POSITION = Note("the position is not used: there is no celestial WCS in which to find it")
_GIVE_POSITION = "with a WCS, a catalogue with ra and dec cuts out single galaxies"


def _require_cutout(plane: Plane, field: Field) -> None:
    """Raise InputError where the middle of an image would be taken for a galaxy that may be anywhere in it."""
    num_fields = _count_fields(plane, field)
    if field.is_lost and num_fields > _MOST_FIELDS:
        raise InputError(
            f"the catalogue gives no position (ra and dec) for it, and the image is {num_fields:.3g} fields wide: which galaxy "
            "is meant?"
        )


def _count_fields(plane: Plane, field: Field) -> float:
    """Return how many fields of a galaxy an image shows, one beside the other, at least."""
    (height, width), pxscale = plane.shape, field.pxscale
    if not math.isfinite(pxscale):
        pxscale = measure_pixel(plane, (width - 1) / 2, (height - 1) / 2).pxscale
    is_known = field.arcsec is not None and math.isfinite(pxscale)
    return min(height, width) / (_count_pixels(plane, field) if is_known else _LARGE_CUTOUT)


def _count_pixels(plane: Plane, field: Field) -> float:
    """Return how many pixels of a plane show the field."""
    height, width = plane.shape
    shape = measure_pixel(plane, (width - 1) / 2, (height - 1) / 2)
    if field.arcsec is None or not math.isfinite(shape.pxscale):
        return field.size
    # Where another scale is said, the sides keep their proportion.
    said = field.pxscale / shape.pxscale if math.isfinite(field.pxscale) else 1.0
    slanted = 1.0 if shape.is_square else _SLANTED
    return field.arcsec / (shape.sides[1] * said) * (1 - _SAME_FIELD) * slanted


@dataclass(frozen=True)
class _Band:
    """One band of a galaxy."""

    fluxes: NDArray[np.float32]  # (H, W) nanomaggies in a pixel of the stretch, NaN where none was measured
    scale: FluxScale
    reasons: tuple[str, ...]  # what stands where none was measured
    notes: tuple[Note, ...]


def _read_band(cut: Cut, field: Field) -> _Band:
    plane, (rows, columns) = cut.plane, cut.inside
    pixels = plane.image.read(plane.place, rows, columns)
    missing, reasons = find_missing(pixels, is_whole=plane.image.is_whole)
    flagged, flag_reasons = find_flagged(plane, rows, columns)
    if flagged is not None:
        missing |= flagged
    if missing.all() and math.isfinite(field.ra + field.dec):
        raise InputError(f"the image holds no measurement at ra {field.ra:g}, dec {field.dec:g} ({', '.join(reasons)})")
    below = measure_below(pixels, missing)
    doubts = [Note(f"{below:.0%} of the image lies far below the sky", is_doubt=True)] if below > _MOST_BELOW else []
    pixels, linear_notes = linearise(pixels, plane.find)
    pxscale = field.pxscale if math.isfinite(field.pxscale) else measure_pixel(plane, *cut.middle).pxscale
    scale = find_flux_scale(plane.find, pxscale=pxscale, zero_point=field.zero_point)
    with np.errstate(over="ignore", invalid="ignore"):
        pixels *= np.float32(scale.factor)
    pixels[missing] = np.nan
    return _Band(cut.embed(pixels, 0.0), scale, (*reasons, *flag_reasons), (*linear_notes, *scale.notes, *doubts))


def _compare_units(bands: Sequence[_Band]) -> list[Note]:
    """Return a doubt where some bands have a unit and others none: what is assumed of those makes the colours."""
    if len({band.scale.is_assumed for band in bands}) == 1:
        return []
    return [Note("some bands have a unit and others none: the colours mean nothing", is_doubt=True)]


def _join_notes(planes: Sequence[Plane], bands: Sequence[_Band]) -> list[Note]:
    """Return each note once, with the bands that it is true of where it is not of all."""
    said: dict[Note, list[str]] = {}
    for plane, band in zip(planes, bands, strict=True):
        for note in band.notes:
            said.setdefault(note, []).append(plane.label)
    return [
        note if len(labels) == len(bands) else Note(f"{', '.join(labels)}: {note.text}", is_doubt=note.is_doubt)
        for note, labels in said.items()
    ]


def _mend(fluxes: NDArray[np.float32], planes: Sequence[Plane], bands: Sequence[_Band]) -> list[Note]:
    """Put the sky's 0 where no flux was measured, in place; return notes on that and on empty bands."""
    missing = ~np.isfinite(fluxes)
    notes = []
    if missing.any():
        num_missing = np.count_nonzero(missing)
        missing = np.stack([fill_holes(band, gone) for band, gone in zip(fluxes, missing, strict=True)])
        fluxes[missing] = 0
        reasons = ", ".join(dict.fromkeys(reason for band in bands for reason in band.reasons)) or "beyond the edge of a band"
        gone: NDArray[np.bool_] = np.logical_or.reduce(missing)  # (H, W)
        height, width = gone.shape
        inside = gone[height // 4 : height - height // 4, width // 4 : width - width // 4]
        how = "taken as empty sky" if missing.any() else "filled in from around them"
        is_doubt = gone.mean() > _MOST_MISSING or inside.mean() > _MOST_MISSING_INSIDE
        notes = [
            Note(f"{num_missing / missing.size:.2%} of the fluxes are missing ({reasons}): {how}", is_doubt=bool(is_doubt))
        ]
    if all((band == band[0, 0]).all() for band in fluxes):
        return [*notes, BLANK]
    for number, (plane, band) in enumerate(zip(planes, fluxes, strict=True), 1):
        if not (band > 0).any():
            notes.append(Note(f"plane {number} of {len(planes)} ({plane.label}) holds no light", is_doubt=True))
    return notes


def _paint(fluxes: NDArray[np.float32], scales: Sequence[FluxScale], wanted: WantedBands) -> tuple[NDArray[Any], list[Note]]:
    """Return the image (H, W, C) of bands (K, H, W), and a doubt where it looks like none of a galaxy."""
    picture = _stretch(fluxes, wanted)
    white_fraction = measure_white(picture)
    factors = np.array([scale.area_factor for scale in scales], np.float32)[:, None, None]
    if is_too_white(white_fraction) and (factors != 1).any():
        # Fluxes that were resampled to smaller pixels by interpolation are not those of smaller pixels.
        plainer = _stretch(fluxes / factors, wanted)
        if not is_too_white(measure_white(plainer)):
            text = f"with the size of its pixels {white_fraction:.0%} of the image would be white: taken without it"
            return plainer, [Note(text, is_doubt=True)]
    return picture, judge_image(picture, fluxes)


def _stretch(fluxes: NDArray[np.float32], wanted: WantedBands) -> NDArray[Any]:
    channels = wanted.channels
    if channels.are_picture:
        return stretch_to_rgb(fluxes) if len(fluxes) > 1 else stretch_grey(fluxes[0])
    assert channels.flux_scales is not None  # What has none is not read from fluxes.
    scales = dict(zip(channels.bands, channels.flux_scales, strict=True))
    return stretch_bands(fluxes, [scales[band] for band in wanted.names])
