"""A listing gives back what was listed, is kept while nothing else would be found, and knows by block what has changed."""

import json
import math
import os
import tracemalloc
from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from galaxies.sources.inputs import Input, list_inputs
from galaxies.sources.listing import LISTING_NAMES, Listing, keep_listing

ODD = (
    Input("plain", (Path("a.jpg"),), None, 10.5, -3.0, 0.262, "round", None, ("a note", "another")),
    Input("NGC\udce9", (Path("\udcff.jpg"), Path("b c.jpg")), label="é"),
    Input("", (), 7, error="the catalogue gives no path"),
    Input("zero", (Path("a\0.jpg"),), error="the path holds a zero byte"),
    Input("long", (Path("a" * 5000),)),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def write_catalogue(folder: Path, *, num_images: int = 3) -> str:
    for index in range(num_images):
        if not (folder / f"{index}.jpg").exists():
            (folder / f"{index}.jpg").write_bytes(b"image")
    (folder / "c.csv").write_text("path\n" + "".join(f"{index}.jpg\n" for index in range(num_images)))
    return str(folder / "c.csv")


def keep(folder: Path, source: str, inputs: Iterable[Input] | None = None, **asked: object) -> bool:
    return keep_listing(folder, source, asked, lambda: list_inputs(source) if inputs is None else inputs)


def digests(folder: Path, rows: int, block: int) -> list[str]:
    with Listing(folder) as listing:
        return [listing.digest(start, min(start + block, rows)) for start in range(0, rows, block)]


def same(found: Input, wanted: Input) -> bool:
    """Tell whether two inputs are one, of whose numbers some may be NaN."""
    numbers = [(getattr(found, name), getattr(wanted, name)) for name in ("ra", "dec", "pxscale")]
    are_equal = all(one == other or math.isnan(one + other) for one, other in numbers)
    return are_equal and replace(found, ra=0, dec=0, pxscale=0) == replace(wanted, ra=0, dec=0, pxscale=0)


@pytest.mark.parametrize("number", [1, 5, 511, 512, 513])
def test_what_was_listed_comes_back_whatever_its_bytes(folder: Path, number: int) -> None:
    inputs = [replace(ODD[index % len(ODD)], index=index) for index in range(number)]
    assert keep(folder, "nowhere", inputs)
    with Listing(folder) as listing:
        assert len(listing) == number
        assert listing.is_labelled
        found = [entry for start in range(0, number, 64) for entry in listing.read(start, min(start + 64, number))]
    assert all(map(same, found, inputs))


FULL = Input(
    "é\udce9", (Path("a-g.fits"), Path("a-r.fits")), 7, 1.5, -2.5, 0.262, "ring", "no", ("a note", "another"), is_lost=True
)
PLAIN = Input("b", (Path("b.jpg"),), None, 0.0, 0.0, 1.0)


def test_every_field_of_an_input_comes_back(folder: Path) -> None:
    """A galaxy without a position in a mosaic was predicted as the mosaic's middle: what says so was not kept."""
    assert all(getattr(FULL, field.name) != getattr(PLAIN, field.name) for field in fields(Input))
    keep(folder, "nowhere", [FULL, PLAIN])
    with Listing(folder) as listing:
        assert listing.read(0, 2) == [FULL, PLAIN]


@pytest.mark.parametrize("name", [field.name for field in fields(Input)])
def test_every_field_of_an_input_counts_in_the_digest(folder: Path, name: str) -> None:
    change: dict[str, Any] = {name: getattr(FULL, name)}
    keep(folder, "nowhere", [PLAIN, replace(PLAIN, **change)])
    first, second = digests(folder, 2, 1)
    assert first != second


def test_a_changed_file_is_known_by_block(tmp_path: Path, folder: Path) -> None:
    source = write_catalogue(tmp_path, num_images=7)
    assert keep(folder, source)
    before = digests(folder, 7, 2)
    (tmp_path / "3.jpg").write_bytes(b"another image")
    (tmp_path / "6.jpg").unlink()
    assert not keep(folder, source)  # The catalogue is not read for that.
    after = digests(folder, 7, 2)
    assert [first == second for first, second in zip(before, after, strict=True)] == [True, False, True, False]


def test_a_listing_is_kept_while_nothing_else_would_be_found(tmp_path: Path, folder: Path) -> None:
    source = write_catalogue(tmp_path)
    assert keep(folder, source)
    assert not keep(folder, source)
    assert keep(folder, source, limit=2)
    assert keep(folder, source)
    write_catalogue(tmp_path, num_images=4)
    assert keep(folder, source)


@pytest.mark.parametrize("what", ["a file", "a file below", "a folder gone"])
def test_a_folder_in_which_files_come_or_go_is_listed_again(tmp_path: Path, folder: Path, what: str) -> None:
    source = tmp_path / "images"
    for name in ("sub/a.jpg", "other/b.jpg"):
        (source / name).parent.mkdir(parents=True)
        (source / name).write_bytes(b"image")
    assert keep(folder, str(source))
    assert not keep(folder, str(source))
    if what == "a folder gone":
        (source / "other" / "b.jpg").unlink()
        (source / "other").rmdir()
    else:
        (source / ("sub/c.jpg" if "below" in what else "c.jpg")).write_bytes(b"image")
    assert keep(folder, str(source))


def test_a_pattern_is_always_listed(tmp_path: Path, folder: Path) -> None:
    write_catalogue(tmp_path)
    assert keep(folder, str(tmp_path / "*.jpg"))
    assert keep(folder, str(tmp_path / "*.jpg"))


@pytest.mark.parametrize("damage", ["truncated", "gone", "no JSON", "without its description"])
def test_a_damaged_listing_is_made_again(tmp_path: Path, folder: Path, damage: str) -> None:
    source = write_catalogue(tmp_path)
    keep(folder, source)
    inputs, about = (folder / name for name in LISTING_NAMES)
    if damage == "truncated":
        inputs.write_bytes(inputs.read_bytes()[:-1])
    elif damage == "gone":
        inputs.unlink()
    elif damage == "no JSON":
        about.write_text("{")
    else:
        about.unlink()
    assert keep(folder, source)
    assert json.loads(about.read_text())["num_inputs"] == 3


def test_a_listing_is_not_held_in_memory(folder: Path) -> None:
    """A row held as an object takes more than 500 bytes."""
    number = 12_000
    inputs = (Input(f"{index:07d}", ()) for index in range(number))
    keep(folder, "nowhere", [Input("a", ())])  # What is imported at first is not counted.
    tracemalloc.start()
    keep(folder, "nowhere", inputs)
    with Listing(folder) as listing:
        for start in range(0, number, 512):
            listing.digest(start, min(start + 512, number))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300 * number  # Of a batch, whatever their number.
    assert os.path.getsize(folder / LISTING_NAMES[0]) > 50 * number  # noqa: PTH202
