"""Inputs that are listed once come back as they were."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from galaxies.sources.inputs import Input
from galaxies.sources.listing import Listing, keep_listing

FULL = Input(
    "é\udce9", (Path("a-g.fits"), Path("a-r.fits")), 7, 1.5, -2.5, 0.262, "ring", "no", ("a note", "another"), is_lost=True
)
PLAIN = Input("b", (Path("b.jpg"),), None, 0.0, 0.0, 1.0)


def keep(folder: Path, *inputs: Input) -> Listing:
    folder.mkdir()
    keep_listing(folder, str(folder), {}, lambda: inputs)
    return Listing(folder)


def test_every_field_of_an_input_comes_back(tmp_path: Path) -> None:
    """A galaxy without a position in a mosaic was predicted as the mosaic's middle: what says so was not kept."""
    assert all(getattr(FULL, field.name) != getattr(PLAIN, field.name) for field in fields(Input))
    with keep(tmp_path / "a", FULL, PLAIN) as listing:
        assert listing.read(0, 2) == [FULL, PLAIN]


@pytest.mark.parametrize("name", [field.name for field in fields(Input)])
def test_every_field_of_an_input_counts_in_the_digest(tmp_path: Path, name: str) -> None:
    with keep(tmp_path / "a", PLAIN) as first, keep(tmp_path / "b", replace(PLAIN, **{name: getattr(FULL, name)})) as second:
        assert first.digest(0, 1) != second.digest(0, 1)
