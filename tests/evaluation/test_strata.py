"""Strata hold about equally many galaxies, keep equal values together, and leave out what is not known."""

import numpy as np
import pytest

from galaxies.evaluation.strata import tabulate_strata


def test_the_strata_are_those_worked_out_by_hand() -> None:
    values = np.arange(100, dtype=float)
    is_right = values < 30
    table = tabulate_strata(is_right, {"redshift": values})
    assert table["count"].tolist() == [20] * 5
    assert table["low"].tolist() == [0, 20, 40, 60, 80]
    assert table["high"].tolist() == [19, 39, 59, 79, 99]
    assert table["accuracy"].tolist() == [1, 0.5, 0, 0, 0]
    assert ((table["accuracy_low"] < table["accuracy_high"]) & (table["quantity"] == "redshift")).all()


def test_galaxies_of_unknown_value_are_left_out() -> None:
    values = np.where(np.arange(60) % 2 == 0, np.arange(60.0), np.nan)
    table = tabulate_strata(np.arange(60) % 2 == 0, {"redshift": values})
    assert table["count"].sum() == 30
    assert (table["accuracy"] == 1).all()


def test_equal_values_stay_together() -> None:
    values = np.repeat([0.262, 0.3, 0.524], [70, 10, 20])
    table = tabulate_strata(np.ones(100, bool), {"pixel scale": values})
    assert table["low"].tolist() == table["high"].tolist() == [0.262, 0.3, 0.524]
    assert table["count"].tolist() == [70, 10, 20]


@pytest.mark.parametrize(
    "values", [[], [0.5], [np.nan] * 50, [0.262] * 50, list(range(19))], ids=["none", "one", "unknown", "equal", "few"]
)
def test_what_makes_no_two_strata_is_left_out(values: list[float]) -> None:
    table = tabulate_strata(np.ones(len(values), bool), {"redshift": np.array(values, float)})
    assert table.empty
    assert list(table)[:4] == ["quantity", "low", "high", "count"]
