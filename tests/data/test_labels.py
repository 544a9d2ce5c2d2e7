"""Labels name classes, or one message says what they are and what to do."""

import pytest

from galaxies.data.labels import judge_labels, order_classes


def doubts(**counts: int) -> str:
    report = judge_labels(counts)
    assert report.complaints == ()
    return "; ".join(report.doubts)


def test_classes_are_ordered_by_number_then_by_name() -> None:
    assert order_classes(dict.fromkeys(["b", "10", "9", "a", "0"], 2)) == ("0", "9", "10", "a", "b")


def test_labels_that_name_classes_have_no_complaint() -> None:
    assert doubts(**{"Round Smooth": 12, "Barred Spiral": 2, "0": 5, "1": 3}) == ""


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            ("Round Smooth", "ROUND SMOOTH"),
            "'Round Smooth' (2), 'ROUND SMOOTH' (3) differ in case, spaces or leading zeros only; write all",
        ),
        (("Round Smooth", "Round  Smooth"), "differ in case, spaces or leading zeros only"),
        (("Round Smooth", "Round_Smooth"), "differ in case, spaces or leading zeros only"),
        (("Sérsic", "Se\u0301rsic"), "differ in case, spaces or leading zeros only"),
        (
            ("0.2", "0.4"),
            "'0.2' (2), '0.4' (3): a number is a class only if it is whole and not below 0. Turn fractions of votes",
        ),
        (("-1", "2"), "'-1' (2): a number is a class only if it is whole and not below 0"),
        (("03", "3"), "'03' (2), '3' (3) differ in case, spaces or leading zeros only"),
        (("+3", "3"), "'+3' (2), '3' (3) differ in case, spaces or leading zeros only"),
        (("20%", "1/2"), "'20%' (2), '1/2' (3): a number is a class only"),
        (("2.5 / 7", "33,3 %"), "'2.5 / 7' (2), '33,3 %' (3): a number is a class only"),
        (("1e-3", "inf"), "'1e-3' (2), 'inf' (3): a number is a class only"),
    ],
)
def test_labels_that_are_no_classes_are_named_beside_a_list_of_all(labels: tuple[str, str], message: str) -> None:
    first, second = labels
    report = judge_labels({first: 2, second: 3, "ring": 9})
    assert report.summary.startswith("the labels name 3 classes: ")
    for name, count in ((first, 2), (second, 3), ("ring", 9)):
        assert f"{name!r} ({count})" in report.summary
    (complaint,) = report.complaints
    assert message in complaint


def test_a_class_of_one_galaxy_and_a_single_class_are_named() -> None:
    assert "'ring' (1): one galaxy cannot both train a class and test it." in doubts(ring=1, spiral=20, smooth=30)
    assert "all galaxies are 'ring': there is nothing to tell apart" in doubts(ring=7)


def test_what_is_written_where_nothing_is_known_is_asked_about() -> None:
    found = doubts(**{"unknown": 12, "?": 3, "spiral": 20})
    assert "'unknown' (12), '?' (3): is this a class, or what is written where none is known?" in found
    assert doubts(**{"Unknown Pleasures": 2, "spiral": 3}) == ""


def test_a_column_that_is_none_of_labels_is_named_briefly() -> None:
    report = judge_labels({f"galaxy {number}": 1 for number in range(257)})
    assert report.complaints == ("found 257 classes, at most 256 are allowed; is `label` the right column?",)
    assert len(report.summary) < 1000
