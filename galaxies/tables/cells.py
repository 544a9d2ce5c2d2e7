"""What the cells of a table mean, whoever wrote it: the one rule for what is unknown, for numbers, angles, labels and ids."""

import re
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from galaxies.errors import InputError

_UNKNOWN = frozenset(
    ("", "nan", "none", "n/a", "n.a.", "na", "null", "(null)", "--", "---", "<na>", "#n/a", "nat", "masked", "\\n")
)
# The longest of them: a longer cell need not be looked up, which is nearly every id and path of a million.
_MOST_LETTERS = max(map(len, _UNKNOWN))

_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
# Only with a point: the letters and digits of a hash may read 12345e67.
_FLOAT = re.compile(r"[+-]?\d+\.\d*([eE][+-]?\d+)?")
_FRACTION = re.compile(r"\d+([.,]\d+)?\s*(%|/\s*\d+([.,]\d+)?)")
_SEXAGESIMAL = re.compile(
    r"(?P<sign>[+\-−]?)\s*(?P<whole>\d{1,3})\s*(?P<mark>[:hd°\s])\s*"
    r"(?P<minutes>\d{1,2}(\.\d*)?)(\s*[:m'′\s]\s*(?P<seconds>\d{1,2}(\.\d*)?)\s*(s|\"|″|'')?|\s*[:m'′]?)",
    re.IGNORECASE,
)

_LAST_EXACT_FLOAT = 2**53
# What catalogues write where nothing is known; as a right ascension the first would be a place.
_NO_ANGLES = (-99.0, -999.0, -9999.0)
_LIMITS = {"ra": (-180.0, 360.0), "dec": (-90.0, 90.0)}  # deg


def clean(text: str) -> str:
    """Return a cell without blanks around it, empty where it says that nothing is known."""
    text = text.strip()
    return "" if len(text) <= _MOST_LETTERS and text.lower() in _UNKNOWN else text


def is_unknown(text: str) -> bool:
    """Tell whether a cell says that nothing is known: empty, nan, None, N/A, NA, null, ``--``, masked …, in any case."""
    return not clean(text)


def read_number(text: str) -> float:
    """Return a number. Raises ValueError that says what was found and expected."""
    if _DECIMAL_COMMA.fullmatch(text):
        raise ValueError(f"found {text!r} with a decimal comma, expected a decimal point ({text.replace(',', '.')})")
    try:
        # Python alone would read 1_000.
        return float(text if "_" not in text else "")
    except ValueError:
        raise ValueError(f"found {text!r}, expected a number") from None


def read_angle(text: str, *, is_hours: bool) -> float:
    """Return an angle in degrees, from degrees or sexagesimal: 187.5, 12:30:00, 12 30 00, 12h30m00s, 12:30.0, 12°30′.

    Args:
        text: the cell.
        is_hours: whether sexagesimal numbers that do not say it (``h`` or ``d``) are hours, as of a right ascension.

    Raises:
        ValueError: it says what was found and expected.
    """
    match = _SEXAGESIMAL.fullmatch(text)
    if match is None:
        return read_number(text)
    mark = match["mark"].lower()
    parts = int(match["whole"]), float(match["minutes"]), float(match["seconds"] or 0)
    in_hours = mark == "h" or (is_hours and mark not in "d°")
    if parts[1] >= 60 or parts[2] >= 60 or (in_hours and parts[0] >= 24):
        unit = "hours below 24" if in_hours else "degrees"
        raise ValueError(f"found {text!r}, expected {unit}, minutes and seconds below 60")
    angle = (parts[0] + parts[1] / 60 + parts[2] / 3600) * (15 if in_hours else 1)
    return -angle if match["sign"] in ("-", "−") else angle


def read_position(text: str, name: str) -> float:
    """Return ``ra``, from 0 to 360, or ``dec`` in degrees; NaN for a number that stands for none, such as -99.

    Raises ValueError that says what was found and expected.
    """
    angle, (low, high) = read_angle(text, is_hours=name == "ra"), _LIMITS[name]
    if angle in _NO_ANGLES:
        return np.nan
    if not low <= angle <= high:
        raise ValueError(f"found {text!r}, expected degrees from {low:g} to {high:g}, or sexagesimal")
    return angle % 360 if name == "ra" and angle < 0 else angle


def read_positions(angles: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Return ``ra`` or ``dec`` of many galaxies, (M,) deg, by the rule of :func:`read_position`; NaN is unknown.

    Raises ValueError that says what was found first, in which row (from 1), and what was expected.
    """
    (low, high), known = _LIMITS[name], np.where(np.isin(angles, _NO_ANGLES), np.nan, angles)
    wrong = np.flatnonzero((known < low) | (known > high))
    if len(wrong):
        raise ValueError(f"row {wrong[0] + 1}: found {known[wrong[0]]:.10g}, expected degrees from {low:g} to {high:g}")
    return np.where(known < 0, known % 360, known) if name == "ra" else known


def read_label(text: str) -> str:
    """Return the name of a class: ``3.0`` is what a table makes of ``3`` where a label of the column is missing.

    Numpy writes it as 3.000000000000000000e+00.
    """
    is_whole = _FLOAT.fullmatch(text) and abs(float(text)) < _LAST_EXACT_FLOAT and float(text).is_integer()
    return str(int(float(text))) if is_whole else text


def is_no_class(label: str) -> bool:
    """Tell whether a label is a number that names no class: a fraction of votes (0.2, 1/5, 20%), a value, or below 0."""
    if _DECIMAL_COMMA.fullmatch(label) or _FRACTION.fullmatch(label):
        return True
    try:
        number = read_number(label)
    except ValueError:
        return False
    return not number.is_integer() or number < 0


def require_exact_id(text: str, row: int) -> None:
    """Raise InputError, naming the row, for an id that was a floating-point number and has lost its last digits."""
    if "." in text and _FLOAT.fullmatch(text) and abs(float(text)) >= _LAST_EXACT_FLOAT:
        refuse_rounded_id(text, f"row {row}: ")


def refuse_rounded_id(text: str, where: str = "") -> NoReturn:
    """Raise the InputError for an id whose last digits are lost."""
    raise InputError(
        f"{where}the id {text} was a floating-point number, which holds some 16 digits (7 in 32 bits): the last ones are lost, "
        "and other galaxies may have the same id now. Write the ids as whole numbers or as text"
    )
