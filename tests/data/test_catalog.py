"""The two tables come back as they were written, and no others are taken for them."""

from pathlib import Path

import numpy as np
import pytest

from galaxies.data.catalog import Catalog, Splits, image_sha256, read_catalog, read_splits, write_catalog, write_splits
from galaxies.errors import InputError

CATALOG = Catalog(np.array([0, 2, 5]), ("007", "NA", 'a "quoted", id'), ("aa", "bb", "cc"))
SPLITS = Splits(np.array([3, 1, 3]), ("Round", "NA", "Round"), np.array([0, 1, 0]), np.array(["train", "val", "test"]))


def test_tables_come_back_as_they_were_written(tmp_path: Path) -> None:
    write_catalog(tmp_path / "catalog.csv", CATALOG)
    write_splits(tmp_path / "splits.csv", SPLITS)
    catalog = read_catalog(tmp_path / "catalog.csv")
    splits = read_splits(tmp_path / "splits.csv", catalog)
    assert (catalog.ids, catalog.image_sha256, catalog.galaxy.tolist()) == (CATALOG.ids, CATALOG.image_sha256, [0, 2, 5])
    assert (splits.label.tolist(), splits.class_name, splits.split.tolist()) == (
        [3, 1, 3],
        SPLITS.class_name,
        ["train", "val", "test"],
    )


def test_classes_are_those_in_use_in_the_order_of_their_labels() -> None:
    assert SPLITS.classes == ("NA", "Round")
    assert SPLITS.targets.tolist() == [1, 0, 1]
    assert SPLITS.rows("train").tolist() == [0]


def test_the_digest_follows_the_images_and_their_order_alone() -> None:
    renamed = Catalog(np.array([1, 2, 3]), ("x", "y", "z"), CATALOG.image_sha256)
    assert renamed.digest == CATALOG.digest
    assert Catalog(CATALOG.galaxy, CATALOG.ids, ("bb", "aa", "cc")).digest != CATALOG.digest


def test_the_digest_of_an_image_covers_its_shape() -> None:
    image = np.zeros((2, 8, 3), np.uint8)
    assert image_sha256(image) != image_sha256(image.reshape(4, 4, 3))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("row,galaxy\n0,0\n", "has the columns", id="other-columns"),
        pytest.param("row,galaxy,id,image_sha256\n1,0,a,aa\n", "must count from 0", id="rows-from-one"),
        pytest.param("row,galaxy,id,image_sha256\n0,5,a,aa\n1,4,b,bb\n", "must ascend", id="another-order"),
    ],
)
def test_an_edited_catalog_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "catalog.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_catalog(tmp_path / "catalog.csv")


def test_splits_of_another_catalog_are_refused(tmp_path: Path) -> None:
    write_splits(tmp_path / "splits.csv", SPLITS)
    with pytest.raises(InputError, match="has 3 rows, the catalog has 1"):
        read_splits(tmp_path / "splits.csv", Catalog(np.array([0]), ("a",), ("aa",)))


def test_an_unknown_split_is_named(tmp_path: Path) -> None:
    write_splits(tmp_path / "splits.csv", SPLITS)
    path = tmp_path / "splits.csv"
    path.write_text(path.read_text().replace("val", "holdout"))
    with pytest.raises(InputError, match="holdout"):
        read_splits(path, CATALOG)


def test_a_missing_table_says_who_makes_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="dvc repro split"):
        read_catalog(tmp_path / "catalog.csv")
