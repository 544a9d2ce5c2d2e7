"""What the names in FITS headers mean: in which band an image was taken, or that it is none of the sky.

Telescopes and pipelines agree on little; what is here was read in headers of the Legacy Surveys, SDSS, DES, HSC, Pan-STARRS,
CFHT, KiDS, Hubble, JWST and Euclid.
"""

import re
from collections.abc import Iterable

FILTER_KEYWORDS = (
    "BAND",
    "FILTER",
    "FILTER1",  # Hubble's ACS, where one of the two is CLEAR
    "FILTER2",
    "FILTNAME",  # SkyMapper
    "FPA.FILTERID",  # Pan-STARRS
    "ESO INS FILT1 NAME",
)
_LETTER = re.compile(r"([ugrizy])[12p]?")
# Beside a letter these leave it what it is: 'r DECam SDSS c0002 6415.0', 'HSC-G', 'OCAM_r_SDSS', 'g.MP9402', 'image_z'.
_BESIDE_LETTERS = re.compile(
    r"image|img|sci|data|flux|band|filter|cutout|coadd|stack|hsc|sdss|sloan|decam|des|decals|bass|mzls|90prime|legacysurvey|"
    r"ps1|pan|starrs|panstarrs|lsst|rubin|gunn|megacam|megaprime|cfht|vst|ocam|omegacam|kids|subaru|suprime|suprimecam|"
    r"skymapper|ztf|splus|(c|mp|dr)?\d+"
)
_NOT_A_FILTER = re.compile(r"clear.*|none|n/a|open|empty|[^a-z]*")

_COMPANION_WORD = re.compile(
    r"err(ors?)?|unc|uncert\w*|std|stddev|rms|noise|sigma|var|varian\w*|cov|ivar|invvar|"
    r"wht|wgt|wt|wtmap|weight\w*|n?exp|exptime|expmap|time|coverage|area|(gal|psf)?depth|psf(size)?|nimages|con|ctx|"
    r"dq|dqmask|msk|masks?|maskbits|bpm|badpix|qual|quality|flags?|artifacts|seg|segm|segmap|segment\w*|deblend|"
    r"bkg|background|sky|chi|chisq|resid\w*|models?|mod|imarr|wcscorr|wcsdvarr"
)
"""Errors, weights and exposures, masks, what was fitted, and tables of the instrument."""


def words_of(text: str) -> list[str]:
    """Return the words of a name, lower case: ``NIR_Y-RMS2`` is nir, y and rms."""
    return re.findall("[a-z]+", text.lower())


def names_companion(text: str) -> bool:
    """Tell whether a name is that of what stands beside an image: its errors, a mask, a model."""
    return any(map(_COMPANION_WORD.fullmatch, words_of(text)))


def find_letter(text: str) -> str | None:
    """Return the band that a filter's name such as ``HSC-G``, ``r DECam SDSS c0002`` or ``image_z`` means."""
    words = re.findall("[a-z0-9]+", text.lower())
    letters = [match[1] for match in map(_LETTER.fullmatch, words) if match]
    others = [word for word in words if not _LETTER.fullmatch(word)]
    return letters[0] if len(letters) == 1 and all(map(_BESIDE_LETTERS.fullmatch, others)) else None


def find_band(filters: Iterable[str], name: str) -> str | None:
    """Return the band of an image: a letter where one of ``filters`` or its ``name`` tells one, else the first filter."""
    stripped = [text.strip() for text in filters]
    letters = filter(None, map(find_letter, (*stripped, name)))
    named = (text for text in stripped if not _NOT_A_FILTER.fullmatch(text.lower()))
    return next(letters, None) or next(named, None)


def split_bands(text: str) -> list[str]:
    """Return the bands that BANDS of a cube lists: 'grz' as the survey's cutouts have it, or with spaces or commas."""
    parts = re.findall(r"[^\s,;]+", text)
    return parts if len(parts) > 1 else list(text.strip())
