"""A table of labels is applied, or refused with everything that is wrong with it."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from galaxies.data.label_table import LabelTable, read_label_table
from galaxies.data.splits import UNLABELLED
from galaxies.errors import InputError
from galaxies.files import file_sha256

LABELS = np.array([0, 1, 1])
IDS = pa.array(["a", "b", "007"])
NAMES = ("Disturbed", "Merging")


def read(
    path: Path,
    *,
    sha256: str | None = "any",
    labels: NDArray[np.int64] = LABELS,
    class_names: tuple[str, ...] = NAMES,
) -> LabelTable:
    return read_label_table(path, sha256=sha256, labels=labels, ids=IDS, class_names=class_names)


def correct(path: Path, text: str, sha256: str | None = "any") -> list[int]:
    path.write_text(text)
    corrected: list[int] = read(path, sha256=sha256).apply(LABELS).tolist()
    return corrected


def test_labels_are_given_by_name_or_number(tmp_path: Path) -> None:
    assert correct(tmp_path / "c.csv", "id,label\na,Merging\n007,0\n") == [1, 1, 0]
    assert LABELS.tolist() == [0, 1, 1]


def test_a_class_called_by_another_ones_number_is_meant_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,label\na,1\nb,0\n")
    assert read(tmp_path / "c.csv", class_names=("1", "0")).apply(LABELS).tolist() == [0, 1, 1]


def test_a_whole_number_that_was_a_float_and_any_kind_of_table_are_read(tmp_path: Path) -> None:
    assert correct(tmp_path / "c.csv", "ID;Label\na;1.0\n") == [1, 1, 1]
    table = pa.table({"id": ["b"], "label": [0.0]})
    pq.write_table(table, tmp_path / "c.parquet")
    assert read(tmp_path / "c.parquet").apply(LABELS).tolist() == [0, 0, 1]


def test_a_column_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the column label stands there twice"):
        correct(tmp_path / "c.csv", "id,label,label\na,0,1\n")


def test_more_columns_are_no_matter(tmp_path: Path) -> None:
    assert correct(tmp_path / "c.csv", "id,label,seen by\na,1,me\n") == [1, 1, 1]


def test_everything_wrong_is_listed_at_once(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"(?s)row 1: no galaxy has the id 'z'.*'b' stands there 2 times.*'merging'.*differ in case, spaces"
    ):
        correct(tmp_path / "c.csv", "id,label\nz,Merging\na,merging\nb,0\nb,1\n")


def test_a_label_may_be_a_class_that_the_source_does_not_have(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,label\na,Ring\n007,Irregular\n")
    table = read(tmp_path / "c.csv")
    assert table.class_names == ("Disturbed", "Merging", "Irregular", "Ring")
    assert table.apply(LABELS).tolist() == [3, 1, 2]


def test_a_source_without_classes_takes_those_of_the_table(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,label\na,10\nb,9\n007,\n")
    labels = np.full(3, UNLABELLED)
    table = read(tmp_path / "c.csv", labels=labels, class_names=())
    assert (table.class_names, table.apply(labels).tolist()) == (("9", "10"), [1, 0, UNLABELLED])


@pytest.mark.parametrize("cell", ["", "nan", "None", "N/A", "NA", "null", "--"])
def test_a_row_without_a_label_says_nothing(tmp_path: Path, cell: str) -> None:
    assert correct(tmp_path / "c.csv", f"id,label\na,{cell}\nb,0\n") == [0, 0, 1]


def test_what_can_be_no_class_is_refused(tmp_path: Path) -> None:
    for label, message in (("0.3", "a number is a class only if it is whole"), ("2", "no class has the number 2; .* 0 to 1")):
        with pytest.raises(InputError, match=message):
            correct(tmp_path / "c.csv", f"id,label\na,{label}\n")


def test_odd_names_of_the_source_are_not_the_tables_fault(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,label\na,ring\n")
    assert read(tmp_path / "c.csv", class_names=("Ring", "ring")).apply(LABELS).tolist() == [1, 1, 1]


def test_a_long_list_is_cut(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"and 60 more"):
        correct(tmp_path / "c.csv", "id,label\n" + "".join(f"z{row},0\n" for row in range(100)))


@pytest.mark.parametrize(("text", "message"), [("galaxy,class\n", "expected are id and label"), ("", "has the columns none")])
def test_another_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        correct(tmp_path / "c.csv", text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        read(tmp_path / "absent.csv")


def test_the_digest_must_be_the_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"split\.labels_sha256=[0-9a-f]{64}"):
        correct(tmp_path / "c.csv", "id,label\na,1\n", sha256=None)
    assert correct(tmp_path / "c.csv", "id,label\na,1\n", sha256=file_sha256(tmp_path / "c.csv")) == [1, 1, 1]
