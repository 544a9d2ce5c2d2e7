"""What a number of a FITS image means: its unit, and how many nanomaggies in a pixel of the stretch it is.

A nanomaggy is the flux of a source of AB magnitude 22.5, 3.631 uJy (Oke & Gunn 1983). The stretch is defined by nanomaggies in
a pixel of 0.262 arcsec, that is by a surface brightness: the numbers of smaller pixels are smaller.
"""

import functools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from astropy import units
from numpy.typing import NDArray

from galaxies.data.stretch import STRETCH_PXSCALE
from galaxies.sources.notes import Note

_AB_ZERO = 3631 * units.Jy  # the flux of a source of AB magnitude 0: a maggy
_JANSKYS = 3.631e-6  # in a nanomaggy
_MAGNITUDE = 22.5  # of a nanomaggy
_STRETCH_AREA = float((STRETCH_PXSCALE * units.arcsec).to_value(units.rad)) ** 2  # sr, of a pixel
_PER_ANGSTROM = units.erg / units.s / units.cm**2 / units.AA
_COUNTS = frozenset((units.ct, units.adu, units.DN, units.electron, units.photon))
# Factors closer to 1 than the one are no matter of colour: less than a grey level. Pixels whose sides differ by less than 1 %
# are taken for those of the stretch, as the Dark Energy Survey's of 0.263 arcsec.
_SAME_FACTOR = 1e-3
_SAME_AREA = 0.02

# Words that astropy does not know, in any case, and what it calls them. Its own come first: mJy and MJy differ by their case.
_SPELLINGS = {
    re.compile(pattern): name
    for pattern, name in {
        "nanomag+(y|ie|ies|ys)|nmgys?": "nmgy",
        "mag+(y|ie|ies|ys)|mgys?": "mgy",
        "counts?|cts?|adus?|dns?|e|electrons?|photons?|photoelectrons?": "ct",
        "s|secs?|seconds?": "s",
        "(micro|mu|u|μ|µ)(jy|janskys?)": "uJy",
        "(nano|n)(jy|janskys?)": "nJy",
        "millijanskys?": "mJy",
        "megajanskys?": "MJy",
        "jy|janskys?": "Jy",
        "pixels?|pix|px": "pix",
        "sr|ster|sterad|steradians?": "sr",
        "arcsecs?|arcseconds?": "arcsec",
        "angstroms?|ang|aa": "Angstrom",
        "ergs?": "erg",
        "hz|hertz": "Hz",
        "cm": "cm",
    }.items()
}
_WORD = re.compile(r"(?<![\d.])[a-zA-Zμµ]+")
_NO_UNIT = ("", "none", "unknown", "n/a", "na", "null", "undefined")

_ZERO_POINT_KEYWORDS = (
    "MAGZERO",  # Legacy Surveys, DES, Euclid, SWarp
    "MAGZPT",
    "MAGZP",
    "MAG_ZP",
    "ABMAGZP",
    "ZP",
    "ZPAB",
    "ZEROPOINT",
    "PHOTZP",  # CFHT
    "ZPAPPROX",  # SkyMapper
)
# From those of janskys, 8.9, to those of the deepest counts; a 0, a -1, a 99 stand for none.
_PLAUSIBLE_ZERO_POINTS = (5.0, 45.0)
# The zero points in the headers of these are Vega's, two magnitudes off in some bands.
_VEGA_TELESCOPES = ("wise", "2mass", "ukirt", "vista")
_HOW_TO_SAY = "FLUXMAG0, MAGZERO, MAGZPT, ZP, PHOTZP, PHOTFLAM with PHOTPLAM, or the option --zero-point"

Find = Callable[..., Any]
"""Returns the first value that a header has for some keywords, else None."""


@dataclass(frozen=True)
class FluxScale:
    """What the numbers of an image mean."""

    factor: float  # nanomaggies in a pixel of the stretch for a number of 1; 1 where that is not known
    area_factor: float  # the part of it that comes from the pixels' size alone
    notes: tuple[Note, ...]
    is_assumed: bool = False  # whether the header says nothing of it


@dataclass(frozen=True)
class _Unit:
    kind: Literal["none", "flux", "flux per wavelength", "counts", "other"]
    factor: float = 1.0  # in Jy, or erg/s/cm2/Angstrom
    is_per_area: bool = False  # flux: of the sky's, in sr
    is_rate: bool = False  # counts: a second


def find_flux_scale(find: Find, *, pxscale: float, zero_point: float | None) -> FluxScale:
    """Return what the numbers of an image mean.

    Args:
        find: looks keywords up in the image's header.
        pxscale: arcsec/px of the image's own pixels, NaN where unknown.
        zero_point: the AB magnitude of a number of 1, as the user says; used where the header names no unit of flux.
    """
    text = " ".join(str(find("BUNIT") or "").split())
    unit = _read_unit(text)
    if unit.kind == "other" and zero_point is None:
        return _unknown(f"the unit {text!r} is none of flux: brightness and colours mean nothing")
    if unit.kind == "flux":
        if not unit.is_per_area:
            return _scale_to_stretch(unit.factor / _JANSKYS, text, pxscale)
        # The stretch is one of a surface brightness: the size of the image's own pixels does not matter.
        return _scale_to_stretch(unit.factor / _JANSKYS * _STRETCH_AREA, text, math.nan)
    if unit.kind == "flux per wavelength":
        wavelength = _number(find("PHOTPLAM"))
        if wavelength is None or unit.is_per_area:
            return _unknown(f"the unit {text!r} is per wavelength, and the header has no PHOTPLAM")
        return _scale_to_stretch(_per_angstrom_to_nanomaggies(unit.factor, wavelength), text, pxscale)
    counted = _find_count(find, unit, zero_point)
    if counted is not None:
        nanomaggies, source = counted
        what = text or "numbers without a unit"
        return _scale_to_stretch(nanomaggies, f"{what} ({source})", pxscale)
    if unit.kind == "none":
        return FluxScale(1.0, 1.0, (Note("no unit in the header: taken as nanomaggies a pixel"),), is_assumed=True)
    return _unknown(f"the unit {text!r} has no zero point ({_HOW_TO_SAY}): brightness and colours mean nothing")


def linearise(pixels: NDArray[np.float32], find: Find) -> tuple[NDArray[np.float32], tuple[Note, ...]]:
    """Return linear numbers (H, W) of an image that was stored as asinh magnitudes, as the skycells of Pan-STARRS are.

    Their headers hold BSOFTEN and BOFFSET (Waters et al. 2020, ApJS 251, 4); of any other image the numbers are its own.
    """
    softening, offset = _number(find("BSOFTEN")), _number(find("BOFFSET"), least=-math.inf)
    if softening is None or offset is None:
        return pixels, ()
    with np.errstate(over="ignore"):
        linear = offset + 2 * softening * np.sinh(pixels * (math.log(10) / 2.5))
    return linear.astype(np.float32), (Note("asinh magnitudes (BSOFTEN, BOFFSET) turned into linear fluxes"),)


def _unknown(text: str) -> FluxScale:
    return FluxScale(1.0, 1.0, (Note(text, is_doubt=True),))


def _scale_to_stretch(nanomaggies: float, what: str, pxscale: float) -> FluxScale:
    """Return the scale of an image of which a number of 1 is so many nanomaggies in a pixel of its own."""
    area_factor = (STRETCH_PXSCALE / pxscale) ** 2 if math.isfinite(pxscale) else 1.0
    area_factor = area_factor if abs(area_factor - 1) > _SAME_AREA else 1.0
    factor = nanomaggies * area_factor
    if abs(factor - 1) <= _SAME_FACTOR:
        return FluxScale(1.0, area_factor, ())
    area = f" of pixels of {pxscale:.3g} arcsec" if area_factor != 1 else ""
    return FluxScale(factor, area_factor, (Note(f"{what}{area} turned into nanomaggies a pixel (x {factor:.4g})"),))


def _find_count(find: Find, unit: _Unit, zero_point: float | None) -> tuple[float, str] | None:
    """Return the nanomaggies of a count, and what tells them, None where nothing does."""
    if zero_point is not None:
        return 10 ** ((_MAGNITUDE - zero_point) / 2.5), f"zero point {zero_point:g} as said"
    exposure = _number(find("EXPTIME")) or math.nan
    is_vega = any(word in str(find("PHOTSYS", "MAGSYS", "TELESCOP") or "").lower() for word in ("vega", *_VEGA_TELESCOPES))
    flux_of_0 = _number(find("FLUXMAG0"))
    if flux_of_0 is not None:
        return 10 ** (_MAGNITUDE / 2.5) / flux_of_0, f"FLUXMAG0 {flux_of_0:.4g}"
    for keyword in () if is_vega else _ZERO_POINT_KEYWORDS:
        magnitude = _number(find(keyword), least=_PLAUSIBLE_ZERO_POINTS[0])
        if magnitude is not None and magnitude < _PLAUSIBLE_ZERO_POINTS[1]:
            return 10 ** ((_MAGNITUDE - magnitude) / 2.5), f"{keyword} {magnitude:g}"
    if "PS1" in str(find("FPA.TELESCOPE", "TELESCOP")) and exposure > 0:
        return 10 ** ((_MAGNITUDE - 25) / 2.5) / exposure, f"Pan-STARRS' zero point 25 a second, EXPTIME {exposure:g}"
    # Hubble's are those of a count a second.
    seconds = exposure if unit.kind == "counts" and not unit.is_rate else 1.0
    per_angstrom, wavelength = _number(find("PHOTFLAM")), _number(find("PHOTPLAM"))
    if per_angstrom is not None and wavelength is not None and seconds > 0:
        return _per_angstrom_to_nanomaggies(per_angstrom, wavelength) / seconds, f"PHOTFLAM {per_angstrom:.4g}"
    janskys = _number(find("PHOTFNU"))
    return (janskys / _JANSKYS / seconds, f"PHOTFNU {janskys:.4g}") if janskys is not None and seconds > 0 else None


def _per_angstrom_to_nanomaggies(flux: float, wavelength: float) -> float:
    """Return a flux in erg/s/cm2/Angstrom at a pivot wavelength in Angstrom."""
    janskys = (flux * _PER_ANGSTROM).to_value(units.Jy, units.spectral_density(wavelength * units.AA))
    return float(janskys) / _JANSKYS


@functools.lru_cache(256)
def _read_unit(text: str) -> _Unit:
    """Return what the text of BUNIT means."""
    if text.lower() in _NO_UNIT:
        return _Unit("none")
    unit = _parse(text)
    if unit is None:
        return _Unit("other")
    powers = dict(zip(unit.bases, unit.powers, strict=True))
    for base in [base for base in powers if base == units.pix]:
        unit = unit / base ** powers.pop(base)
    if (count := _COUNTS & set(powers)) and powers == {
        **dict.fromkeys(count, 1),
        **dict.fromkeys(powers.keys() & {units.s}, -1),
    }:
        # "10 counts" is as many of them.
        return _Unit("counts", is_rate=units.s in powers) if unit.scale == 1 and len(count) == 1 else _Unit("other")
    for base in [base for base, power in powers.items() if power == 1 and base.is_equivalent(units.mgy)]:
        unit = unit / base * units.Unit(base.to(units.mgy) * _AB_ZERO)
    for target, is_per_area in ((units.Jy, False), (units.Jy / units.sr, True)):
        if unit.is_equivalent(target):
            return _Unit("flux", float(unit.to(target)), is_per_area)
    for target, is_per_area in ((_PER_ANGSTROM, False), (_PER_ANGSTROM / units.sr, True)):
        if unit.is_equivalent(target):
            return _Unit("flux per wavelength", float(unit.to(target)), is_per_area)
    return _Unit("other")


def _parse(text: str) -> Any:
    """Return astropy's unit of a text, None where there is none. What astropy cannot read is read by its common spellings."""
    text = re.sub(r"/ ?S\b", "/s", text)  # No flux is one of a siemens.
    spelled = re.sub(r"\s+per\s+", "/", re.sub(r"(?i)\bcps\b", "ct/s", re.sub(r"(?i)\be-(?!\d)", "ct", text)))
    # In capitals a milli is a mega; janskys an area of the sky are always mega. Beside ergs an A is no ampere.
    spelled = re.sub(r"(?i)mjy(?=.*sr)", "MJy", spelled)
    spelled = re.sub(r"(?i)\ba\b", "Angstrom", spelled) if "erg" in text.lower() else spelled
    for candidate in (text, _WORD.sub(_spell, spelled)):
        try:
            unit = units.Unit(candidate)
        except (ValueError, TypeError):
            continue
        return unit if isinstance(unit, units.UnitBase) else None  # A magnitude is none: it has no zero.
    return None


def _spell(word: "re.Match[str]") -> str:
    lower = word[0].lower()
    known = word[0] in ("MJy", "mJy")
    return word[0] if known else next((name for pattern, name in _SPELLINGS.items() if pattern.fullmatch(lower)), word[0])


def _number(value: Any, *, least: float = 0.0) -> float | None:
    """Return a finite number above ``least``; headers also hold texts and truth values, also under these keywords."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if least < value < math.inf else None
