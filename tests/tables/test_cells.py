"""What a cell means: unknown, a number, an angle, a label, an id that is still whole."""

import math

import numpy as np
import pytest

from galaxies.errors import InputError
from galaxies.tables.cells import (
    clean,
    is_no_class,
    is_unknown,
    read_angle,
    read_label,
    read_number,
    read_position,
    read_positions,
    require_exact_id,
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "nan",
        "NaN",
        "None",
        "NONE",
        "N/A",
        "n/a",
        "NA",
        "null",
        "NULL",
        "--",
        " -- ",
        "<NA>",
        "#N/A",
        "NaT",
        "masked",
        "---",
        "N.A.",
    ],
)
def test_what_says_that_nothing_is_known_is_empty(text: str) -> None:
    assert is_unknown(text)
    assert clean(text) == ""


@pytest.mark.parametrize("text", ["0", "-", "no", "none of these", "NaNa", "N", "-1", "NGC 4321", "Nan-class"])
def test_what_names_something_is_kept(text: str) -> None:
    assert not is_unknown(text)
    assert clean(f" {text}\t") == text


@pytest.mark.parametrize(("text", "number"), [("0.262", 0.262), ("-1e-3", -1e-3), ("inf", math.inf), ("7", 7.0)])
def test_numbers(text: str, number: float) -> None:
    assert read_number(text) == number


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,396", r"found '0,396' with a decimal comma, expected a decimal point \(0\.396\)"),
        ("-187,7059", "decimal comma"),
        (",5", "decimal comma"),
        ("1_000", "found '1_000', expected a number"),
        ("east", "found 'east', expected a number"),
        ("1 000", "expected a number"),
    ],
)
def test_what_is_no_number_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_number(text)


@pytest.mark.parametrize(
    ("text", "ra", "dec"),
    [
        ("187.5", 187.5, None),
        ("12:30:00", 187.5, 12.5),
        ("12 30 00.00", 187.5, 12.5),
        ("12h30m00s", 187.5, None),
        ("12h30m", 187.5, None),
        ("12:30", 187.5, 12.5),
        ("12d30m00s", 12.5, 12.5),
        ("+12°30′00″", 12.5, 12.5),
        ("-00:30:00", None, -0.5),
        ("−12 30 36", None, -12.51),
        ("12h30m49.4s", 187.705833333, None),
        ("+12:23:28", None, 12.391111111),
    ],
)
def test_positions_in_degrees_or_sexagesimal(text: str, ra: float | None, dec: float | None) -> None:
    for name, expected in (("ra", ra), ("dec", dec)):
        if expected is not None:
            assert read_position(text, name) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("24:00:00", "ra", "found '24:00:00', expected hours below 24, minutes and seconds below 60"),
        ("12:60:00", "dec", "expected degrees, minutes and seconds below 60"),
        ("12:30:61", "ra", "seconds below 60"),
        ("400", "ra", "found '400', expected degrees from -180 to 360, or sexagesimal"),
        ("-91", "dec", "found '-91', expected degrees from -90 to 90, or sexagesimal"),
        ("inf", "dec", "expected degrees from -90 to 90"),
        ("187,7", "ra", "decimal comma"),
        ("12:30:xx", "ra", "expected a number"),
    ],
)
def test_what_is_no_position_is_named(text: str, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_position(text, name)


def test_a_right_ascension_below_0_becomes_one_of_the_sky_and_sentinels_are_unknown() -> None:
    """`split` refused what `download` had taken for positions: -10.5 and -99."""
    assert [read_position(text, "ra") for text in ("-10.5", "-0.0", "360")] == [349.5, 0.0, 360.0]
    assert read_position("-10.5", "dec") == -10.5
    for text in ("-99", "-99.0", "-999", "-9999"):
        assert np.isnan([read_position(text, name) for name in ("ra", "dec")]).all()
    angles = np.array([-10.5, 0, 360, np.nan, -99, -999, -9999, 5e-324])
    expected = [349.5, 0, 360, np.nan, np.nan, np.nan, np.nan, 5e-324]
    np.testing.assert_array_equal(read_positions(angles, "ra"), expected)
    np.testing.assert_array_equal(read_positions(angles[[0, 3, 4]], "dec"), [-10.5, np.nan, np.nan])
    with pytest.raises(ValueError, match=r"row 2: found 400, expected degrees from -180 to 360"):
        read_positions(np.array([1.0, 400.0, 500.0]), "ra")
    with pytest.raises(ValueError, match=r"row 1: found -inf, expected degrees from -90 to 90"):
        read_positions(np.array([-np.inf]), "dec")


def test_minutes_may_have_a_fraction_instead_of_seconds() -> None:
    """12:30.5 was read as 12:03:00.5, seven degrees away."""
    assert read_position("12:30.5", "ra") == pytest.approx(187.625)
    assert read_position("-0:30.5", "dec") == pytest.approx(-0.5083333333)
    with pytest.raises(ValueError, match="expected a number"):
        read_position("12:305", "dec")


def test_an_angle_that_says_degrees_is_not_taken_for_hours() -> None:
    assert read_angle("187d42m21s", is_hours=True) == pytest.approx(187.705833333)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        *(("3.0", "3"), ("3.", "3"), ("03.0", "3"), ("3", "3"), ("3.5", "3.5"), ("E3.0", "E3.0"), ("-1.0", "-1")),
        *(("3.000000000000000000e+00", "3"), ("2.500e+01", "25"), ("2.5e+00", "2.5e+00"), ("1.0e400", "1.0e400")),
    ],
)
def test_a_whole_number_that_was_a_float_is_the_same_label(text: str, label: str) -> None:
    assert read_label(text) == label


@pytest.mark.parametrize(
    ("label", "expected"),
    [("0.2", True), ("0,2", True), ("-1", True), ("1e-3", True), ("20%", True), ("1/2", True), ("3", False), ("0", False)],
)
def test_a_number_that_is_no_class(label: str, expected: bool) -> None:
    assert is_no_class(label) is expected
    assert not is_no_class(f"Sb {label}")


@pytest.mark.parametrize("text", ["1237648721789256391.0", "1.2376487217892564e+18", "1.23765E+18", "9007199254740992.0"])
def test_an_id_that_lost_digits_is_refused(text: str) -> None:
    with pytest.raises(
        InputError, match=rf"row 7: the id {text[:6]}.* was a floating-point number.*as whole numbers or as text"
    ):
        require_exact_id(text, 7)


@pytest.mark.parametrize("text", ["1237648721789256391", "12345e67", "587.5", "9007199254740991.0", "J1.5e20", "1.2.3", ""])
def test_an_id_that_is_whole_is_kept(text: str) -> None:
    require_exact_id(text, 1)
