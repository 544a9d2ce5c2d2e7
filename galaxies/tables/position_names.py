"""How catalogues call a galaxy's position, beside ra and dec: those of the present equinox, the ICRS or J2000."""

from collections.abc import Sequence

# VizieR, SExtractor, DES, Euclid, Pan-STARRS, IRSA and what people write; a position of B1950 is another one.
_PAIRS = (
    ("ra", "dec"),
    ("raj2000", "dej2000"),
    ("raj2000", "decj2000"),
    ("_raj2000", "_dej2000"),
    ("ra_j2000", "dec_j2000"),
    ("ra2000", "dec2000"),
    ("ra2000", "de2000"),
    ("ra_icrs", "de_icrs"),
    ("ra_icrs", "dec_icrs"),
    ("alpha_j2000", "delta_j2000"),
    ("alphawin_j2000", "deltawin_j2000"),
    ("alphapeak_j2000", "deltapeak_j2000"),
    ("right_ascension", "declination"),
    ("ramean", "decmean"),
    ("ra_deg", "dec_deg"),
    ("radeg", "decdeg"),
    ("radeg", "dedeg"),
    ("_ra", "_de"),
    ("_ra", "_dec"),
)
_PLAIN = {name: plain for pair in _PAIRS for name, plain in zip(pair, ("ra", "dec"), strict=True)}

POSITION_NAMES = frozenset(_PLAIN)
"""All of them, in lower case."""


def plain_name(name: str) -> str:
    """Return ``ra`` or ``dec`` for a column, its name in lower case, that is called otherwise; any other name as it is."""
    return _PLAIN.get(name, name)


def find_positions(names: Sequence[str]) -> tuple[str, str] | None:
    """Return the columns, their names in lower case, that hold the positions: the first known pair that is there."""
    return next((pair for pair in _PAIRS if set(pair) <= set(names)), None)
