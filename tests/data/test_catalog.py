"""The two tables come back as they were written, whatever slice is read, and no others are taken for them."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from galaxies.data import table_file
from galaxies.data.catalog import Catalog, CatalogRows, digest_images, image_sha256, write_catalog
from galaxies.data.splits import NEARNESS, REASONS, SPLIT_NAMES, UNLABELLED, read_splits, write_splits
from galaxies.errors import InputError
from tests.toys import open_rows, toy_rows, toy_splits

DIGESTS = np.arange(96, dtype=np.uint8).reshape(3, 32)
ROWS = CatalogRows(np.array([0, 2, 5]), pa.array(["007", "NA", 'a "quoted", id']), DIGESTS)
SPLITS = toy_splits(np.array([3, 1, 3]), ["train", "val", "test"], group=np.array([0, 1, 0]), names=["", "NA", "", "Round é"])


def numbered_rows(num_rows: int) -> CatalogRows:
    """Return rows that differ in everything: row i is galaxy 2 i."""
    digests = np.random.default_rng(0).integers(0, 256, (num_rows, 32), dtype=np.uint8)
    return CatalogRows(2 * np.arange(num_rows), pa.array([f"galaxy {row}" for row in range(num_rows)], pa.string()), digests)


def check_rows(found: CatalogRows, rows: list[int], written: CatalogRows) -> None:
    assert len(found) == len(rows)
    assert found.galaxy.tolist() == written.galaxy[rows].tolist()
    assert found.ids.to_pylist() == [written.ids[row].as_py() for row in rows]
    np.testing.assert_array_equal(found.image_sha256, written.image_sha256[rows])


def test_tables_come_back_as_they_were_written(tmp_path: Path) -> None:
    write_catalog(tmp_path / "catalog.parquet", ROWS)
    write_splits(tmp_path / "splits.parquet", SPLITS)
    catalog = Catalog(tmp_path / "catalog.parquet")
    check_rows(catalog.read(0, 3), [0, 1, 2], ROWS)
    splits = read_splits(tmp_path / "splits.parquet", catalog)
    assert splits.names == {1: "NA", 3: "Round é"}
    for name in ("label", "group", "split"):
        found, written = getattr(splits, name), getattr(SPLITS, name)
        assert (found.tolist(), found.dtype) == (written.tolist(), written.dtype), name


@pytest.mark.parametrize("num_rows", [0, 1, 7, 8, 9, 23])
def test_any_slice_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_rows: int) -> None:
    monkeypatch.setattr(table_file, "GROUP_ROWS", 8)
    written = numbered_rows(num_rows)
    write_catalog(tmp_path / "catalog.parquet", written)
    catalog = Catalog(tmp_path / "catalog.parquet")
    assert len(catalog) == num_rows
    assert catalog.digest == digest_images(written.image_sha256)
    for start in range(num_rows + 1):
        for stop in range(start, num_rows + 1):
            check_rows(catalog.read(start, stop), list(range(start, stop)), written)
    some = [row for row in (22, 3, 8, 7, 3, 0) if row < num_rows]
    for rows in ([], some, sorted(some)):
        check_rows(catalog.take(np.array(rows, np.int64)), rows, written)


@pytest.mark.parametrize("num_rows", [1, 8, 23])
def test_splits_of_several_groups_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_rows: int) -> None:
    """Each group of rows has a dictionary of texts of its own."""
    monkeypatch.setattr(table_file, "GROUP_ROWS", 8)
    write_catalog(tmp_path / "catalog.parquet", numbered_rows(num_rows))
    generator = np.random.default_rng(1)
    label, split = np.arange(num_rows) // 3, generator.choice(SPLIT_NAMES, num_rows)
    label[(split == "pool") & (label % 2 == 0)] = UNLABELLED
    reason, near = (generator.integers(0, len(names), num_rows).astype(np.uint8) for names in (REASONS, NEARNESS))
    written = replace(toy_splits(label, split), reason=reason, near=near)
    write_splits(tmp_path / "splits.parquet", written)
    found = read_splits(tmp_path / "splits.parquet", Catalog(tmp_path / "catalog.parquet"))
    for name in ("label", "group", "split", "reason", "near"):
        assert getattr(found, name).tolist() == getattr(written, name).tolist(), name
    assert (found.classes, found.targets.tolist()) == (written.classes, written.targets.tolist())


def test_a_galaxy_without_a_label_is_of_no_class() -> None:
    """An index of -1 would make it one of the last class."""
    splits = toy_splits(
        np.array([2, UNLABELLED, 0, 2, 1, 0]), ["train", "pool", "val", "test", "pool", "unused"], names=["a", "b", "c"]
    )
    assert splits.labelled.tolist() == [0, 2, 3]
    assert splits.classes == ("a", "c")  # The only galaxy of class b trains nothing.
    assert splits.targets.tolist() == [1, -1, 0, 1, -1, 0]


def test_a_survey_without_labels_has_no_class(tmp_path: Path) -> None:
    written = toy_splits(np.full(3, UNLABELLED), ["pool"] * 3)
    write_splits(tmp_path / "splits.parquet", written)
    found = read_splits(tmp_path / "splits.parquet", open_rows(ROWS))
    assert (found.classes, found.names, found.targets.tolist(), found.labelled.tolist()) == ((), {}, [-1] * 3, [])
    assert pd.read_parquet(tmp_path / "splits.parquet")["class_name"].isna().all()


def test_only_the_groups_that_hold_the_rows_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of many reads its part of the catalog and nothing else: another part may be damaged without it noticing."""
    monkeypatch.setattr(table_file, "GROUP_ROWS", 512)
    written = numbered_rows(2048)
    path = tmp_path / "catalog.parquet"
    write_catalog(path, written)
    content = bytearray(path.read_bytes())
    place = content.index(written.image_sha256[600].tobytes())
    content[place] ^= 1
    path.write_bytes(content)
    catalog = Catalog(path)
    check_rows(catalog.read(1024, 2048), list(range(1024, 2048)), written)
    check_rows(catalog.take(np.array([3, 2000])), [3, 2000], written)
    with pytest.raises(InputError, match="the rows from 512 on are damaged"):
        catalog.read(500, 513)


def test_another_process_opens_the_catalog_for_itself(tmp_path: Path) -> None:
    write_catalog(tmp_path / "catalog.parquet", ROWS)
    catalog = pickle.loads(pickle.dumps(Catalog(tmp_path / "catalog.parquet")))
    check_rows(catalog.read(1, 3), [1, 2], ROWS)


def test_classes_are_those_in_use_in_the_order_of_their_labels() -> None:
    assert SPLITS.classes == ("NA", "Round é")
    assert SPLITS.targets.tolist() == [1, 0, 1]
    assert SPLITS.rows("train").tolist() == [0]


def test_the_digest_is_that_of_the_hexadecimal_digests_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores are known by it: literal digest of version 0.1 for two galaxies."""
    monkeypatch.setattr(table_file, "GROUP_ROWS", 1)
    digests = np.repeat(np.array([[0x11], [0x22]], np.uint8), 32, axis=1)
    assert digest_images(digests) == "f010287b35f18d5064ad68310c9178d47eb3b893105a97ad86cdd2a4d9db62cc"


def test_the_digest_follows_the_images_and_their_order_alone() -> None:
    renamed = replace(ROWS, galaxy=np.array([1, 2, 3]), ids=pa.array(["x", "y", "z"]))
    assert open_rows(renamed).digest == open_rows(ROWS).digest
    assert open_rows(replace(ROWS, image_sha256=DIGESTS[::-1])).digest != open_rows(ROWS).digest


def test_the_digest_of_an_image_covers_its_shape() -> None:
    image = np.zeros((2, 8, 3), np.uint8)
    assert image_sha256(image) != image_sha256(image.reshape(4, 4, 3))


def drop_a_column(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns(["image_sha256"]), path)


def leave_rows_out(path: Path) -> None:
    pq.write_table(pq.read_table(path).slice(1), path)


def sort_anew(path: Path) -> None:
    pq.write_table(pq.read_table(path).take(pa.array([2, 0, 1])), path)


def write_with_pandas(path: Path) -> None:
    pq.read_table(path).to_pandas().to_parquet(path)


def write_csv(path: Path) -> None:
    path.write_text("row,galaxy,id,image_sha256\n")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (drop_a_column, r"has the columns .*; expected are .*image_sha256"),
        (leave_rows_out, "has 2 rows, but 3 were written"),
        (sort_anew, "must count from 0"),
        (write_with_pandas, "has the columns|rows, but None were written"),
        (write_csv, "is not a Parquet file"),
        (cut, "is not a Parquet file, or damaged"),
    ],
)
def test_an_edited_catalog_is_refused(tmp_path: Path, edit: Callable[[Path], None], message: str) -> None:
    path = tmp_path / "catalog.parquet"
    write_catalog(path, ROWS)
    edit(path)
    with pytest.raises(InputError, match=rf"(?s)catalog\.parquet.*({message}).*`dvc repro --force split` makes it again"):
        Catalog(path).read(0, 3)


def test_splits_of_another_catalog_are_refused(tmp_path: Path) -> None:
    write_splits(tmp_path / "splits.parquet", SPLITS)
    with pytest.raises(InputError, match="has 3 rows, the catalog has 1"):
        read_splits(tmp_path / "splits.parquet", open_rows(toy_rows([bytes(32)])))


def test_an_unknown_split_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("galaxies.data.splits.SPLIT_NAMES", ("train", "holdout", "test", "pool", "unused"))
    write_splits(tmp_path / "splits.parquet", SPLITS)
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"unknown in the column split: \['holdout'\]; allowed are"):
        read_splits(tmp_path / "splits.parquet", open_rows(ROWS))


def test_a_missing_table_says_who_makes_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="dvc repro split"):
        Catalog(tmp_path / "catalog.parquet")
