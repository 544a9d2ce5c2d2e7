"""Galaxies are divided by class where they have one, else by the fifths of a target."""

import numpy as np
import pytest
from numpy.typing import NDArray

from galaxies.data.division import make_splits
from galaxies.data.selection import Candidates, Selection, SplitParams
from galaxies.data.splits import SPLIT_NAMES, UNLABELLED
from galaxies.data.strata import find_strata
from galaxies.data.target_table import TargetColumns, no_targets
from galaxies.errors import InputError
from galaxies.params import parse_section

NAN = float("nan")


def columns(*values: list[float], names: tuple[str, ...] = ("z", "mass")) -> TargetColumns:
    table = np.array(values).T
    return TargetColumns(names[: table.shape[1]], table, {"name": "row 1: found 'M51', expected a number"})


def strata(labels: list[int], targets: TargetColumns, by: str | None = None, group: list[int] | None = None) -> list[int]:
    groups = np.array(group) if group else np.arange(len(labels))
    found, names = find_strata(np.array(labels), ["a", "b"], targets, stratify_by=by, group=groups)
    assert len(names) == (8 if targets.names else 2)
    numbers: list[int] = found.tolist()
    return numbers


def select(num_galaxies: int) -> Selection:
    """Return a selection of all of some galaxies far apart."""
    rows, none = np.arange(num_galaxies), np.zeros(0, np.int64)
    return Selection(rows, rows, rows, none, none)


def test_a_class_is_a_stratum_and_nothing_changes_without_a_table() -> None:
    assert strata([0, 1, -1, 1], no_targets(4)) == [0, 1, UNLABELLED, 1]
    # Nor do targets matter where there is a class.
    assert strata([0, 1, 0, 1], columns([1, 2, 3, 4])) == [0, 1, 0, 1]


def test_galaxies_without_a_class_are_divided_by_the_fifths_of_the_first_column() -> None:
    labels, values = [0] + [-1] * 16, [99, *list(range(15)), NAN]
    assert strata(labels, columns([float(v) for v in values])) == [0, *np.repeat(np.arange(2, 7), 3).tolist(), UNLABELLED]


def test_another_column_can_be_named() -> None:
    table = columns([1.0] * 15, [float(v) for v in range(15)])
    assert strata([-1] * 15, table, "Mass") == np.repeat(np.arange(2, 7), 3).tolist()
    with pytest.raises(InputError, match=r"(?s)split\.stratify_by: .*name: row 1: found 'M51', expected a number"):
        strata([-1] * 15, table, "name")


def test_where_the_column_is_unknown_is_a_stratum_of_its_own() -> None:
    table = columns([float(v) for v in range(15)] + [NAN] * 3, [1.0] * 18)
    assert strata([-1] * 18, table) == [*np.repeat(np.arange(2, 7), 3).tolist(), 7, 7, 7]


@pytest.mark.parametrize(
    ("values", "group", "expected"),
    [
        ([1.0, 2, 3, 4, 5, 6], None, [0, 0, 0, 1, 1, 1]),  # Too few galaxies for fifths.
        ([1.0] * 9, None, [0] * 9),  # A constant.
        ([1.0] * 4 + [NAN], None, [0] * 5),  # One galaxy of which the column is unknown.
        ([NAN] * 3, None, [0] * 3),
        ([float(v) for v in range(15)], [0, 0, 0, *range(3, 15)], [0] * 6 + [1] * 3 + [2] * 3 + [3] * 3),  # One group.
        ([-np.inf, 1.0, 2, np.inf], None, [0] * 4),
    ],
    ids=["few", "constant", "one unknown", "all unknown", "one group", "infinite"],
)
def test_small_strata_are_joined(values: list[float], group: list[int] | None, expected: list[int]) -> None:
    found = strata([-1] * len(values), columns(values, [1.0] * len(values)), group=group)
    assert np.unique(found, return_inverse=True)[1].tolist() == expected
    assert UNLABELLED not in found


def split_of(labels: NDArray[np.int64], targets: TargetColumns) -> list[str]:
    nowhere = np.full(len(labels), np.nan)
    candidates = Candidates(labels, np.zeros((len(labels), 32), np.uint8), np.zeros(len(labels), bool), nowhere, nowhere)
    splits = make_splits(select(len(labels)), candidates, ["a", "b"], SplitParams(), targets)
    assert splits.label.tolist() == labels.tolist()
    return [SPLIT_NAMES[number] for number in splits.split]


def test_a_galaxy_with_a_class_or_a_target_is_labelled_and_all_others_are_pool() -> None:
    labels = np.array([0] * 20 + [1] * 20 + [UNLABELLED] * 60)
    values = np.full(100, NAN)
    values[30:80] = np.arange(50)
    splits = split_of(labels, columns(values.tolist()))
    assert splits[80:] == ["pool"] * 20
    assert "pool" not in splits[:80]
    # Every fifth of the targets stands in all three, as every class does: at least one in val and test.
    for start in range(40, 80, 8):
        assert {"train", "val", "test"} == set(splits[start : start + 8]), start
    assert [splits[start : start + 20].count("test") for start in (0, 20)] == [3, 3]


def test_what_belongs_to_a_table_wants_one() -> None:
    with pytest.raises(InputError, match=r"(?s)targets_sha256: found any, but targets names no table.*stratify_by: found z"):
        parse_section(SplitParams, {"targets_sha256": "any", "stratify_by": "z"}, "split")
