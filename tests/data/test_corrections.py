"""Corrected labels are applied, or refused with everything that is wrong with them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from galaxies.data.corrections import correct_labels
from galaxies.errors import InputError
from galaxies.files import file_sha256

LABELS = np.array([0, 1, 1])
IDS = pa.array(["a", "b", "007"])
NAMES = ("Disturbed", "Merging")


def correct(path: Path, text: str, sha256: str | None = "any") -> list[int]:
    path.write_text(text)
    corrected: list[int] = correct_labels(LABELS, IDS, NAMES, path=path, sha256=sha256).tolist()
    return corrected


def test_labels_are_given_by_name_or_number(tmp_path: Path) -> None:
    assert correct(tmp_path / "c.csv", "id,label\na,Merging\n007,0\n") == [1, 1, 0]
    assert LABELS.tolist() == [0, 1, 1]


def test_a_class_called_by_another_ones_number_is_meant_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,label\na,1\nb,0\n")
    corrected = correct_labels(LABELS, IDS, ("1", "0"), path=tmp_path / "c.csv", sha256="any")
    assert corrected.tolist() == [0, 1, 1]


def test_a_whole_number_that_was_a_float_and_any_kind_of_table_are_read(tmp_path: Path) -> None:
    assert correct(tmp_path / "c.csv", "ID;Label\na;1.0\n") == [1, 1, 1]
    table = pa.table({"id": ["b"], "label": [0.0]})
    pq.write_table(table, tmp_path / "c.parquet")
    assert correct_labels(LABELS, IDS, NAMES, path=tmp_path / "c.parquet", sha256="any").tolist() == [0, 0, 1]


def test_a_column_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the column label stands there twice"):
        correct(tmp_path / "c.csv", "id,label,label\na,0,1\n")


def test_more_columns_are_no_matter(tmp_path: Path) -> None:
    assert correct(tmp_path / "c.csv", "id,label,seen by\na,1,me\n") == [1, 1, 1]


def test_everything_wrong_is_listed_at_once(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"(?s)row 1: no galaxy has the id 'z'.*row 2: no class is called 'Ring'.*'b' stands there 2 times"
    ):
        correct(tmp_path / "c.csv", "id,label\nz,Merging\na,Ring\nb,0\nb,1\n")


@pytest.mark.parametrize(("text", "message"), [("galaxy,class\n", "expected are id and label"), ("", "has the columns none")])
def test_another_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        correct(tmp_path / "c.csv", text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        correct_labels(LABELS, IDS, NAMES, path=tmp_path / "absent.csv", sha256="any")


def test_the_digest_must_be_the_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"split\.corrections_sha256=[0-9a-f]{64}"):
        correct(tmp_path / "c.csv", "id,label\na,1\n", sha256=None)
    assert correct(tmp_path / "c.csv", "id,label\na,1\n", sha256=file_sha256(tmp_path / "c.csv")) == [1, 1, 1]
