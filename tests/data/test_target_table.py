"""Tables of targets are joined to galaxies by id, written by row of the catalog, and read for what they are."""

import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from galaxies.data import table_file, target_table
from galaxies.data.catalog import Catalog, CatalogRows
from galaxies.data.question_files import open_tree
from galaxies.data.questions import Naming, Question, QuestionTree
from galaxies.data.target_file import TargetFile, write_targets
from galaxies.data.target_reading import read_numbers, read_tags, read_votes
from galaxies.data.target_table import TargetColumns, join_targets, no_targets
from galaxies.errors import InputError
from galaxies.files import file_sha256
from tests.toys import open_rows

IDS = pa.array(["a", "b", "007", "d"])
TREE = QuestionTree(
    "toy",
    (Question("shape", ("smooth", "disk")),),
    (Naming("counts", "{question}_{answer}"), Naming("debiased", "{question}_{answer}_debiased", "{question}_n")),
)
NAN = float("nan")


def join(path: Path, text: str, *, sha256: str = "any", id_column: str = "id", ids: pa.StringArray = IDS) -> TargetColumns:
    path.write_text(text)
    return join_targets(path, sha256, ids, id_column=id_column, folder=path.parent)


def make_file(tmp_path: Path, **columns: list[float]) -> tuple[TargetFile, Catalog]:
    """Return targets of four galaxies."""
    write_targets(
        tmp_path / "t.parquet", tuple(columns), np.array(list(columns.values()), np.float64).T, {"note": "row 1: 'x'"}
    )
    digests = np.zeros((4, 32), np.uint8)
    return TargetFile(tmp_path / "t.parquet", 4), open_rows(CatalogRows(np.arange(4), IDS, digests))


def test_numbers_come_to_the_galaxies_with_their_ids(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    # In another order, of another galaxy, without one, with empty cells and a column of text.
    table = join(tmp_path / "t.csv", "id,Z,name,ring\n007,0.1,M51,true\nz,oh,M1,0\nb,,M101,False\na,1e-3,,1\n")
    assert (table.names, dict(table.left_out)) == (("z", "ring"), {"name": "row 1: found 'M51', expected a number"})
    np.testing.assert_array_equal(table.values, [[1e-3, 1], [NAN, 0], [0.1, 1], [NAN, NAN]])
    assert table.known.tolist() == [True, True, True, False]
    assert "3 of 4 galaxies stand in the 4 rows of t.csv; 2 columns" in caplog.text


def test_parquet_and_a_column_of_ids_of_another_name(tmp_path: Path) -> None:
    table = pa.table({"ObjID": [7, 8], "n": [3, None], "row": [1, 2], "is": [True, None]})
    pq.write_table(table, tmp_path / "t.parquet")
    ids = pa.array(["8", "7"])
    joined = join_targets(tmp_path / "t.parquet", "any", ids, id_column="objid", folder=tmp_path)
    assert (joined.names, dict(joined.left_out)) == (("n", "is"), {"row": "the name is taken"})
    np.testing.assert_array_equal(joined.values, [[NAN, NAN], [3, 1]])


@pytest.mark.parametrize("num_galaxies", [1, 6, 7, 8, 15])
def test_any_number_of_rows_is_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_galaxies: int) -> None:
    monkeypatch.setattr(target_table, "_BLOCK_ROWS", 7)
    ids = pa.array([f"g{row}" for row in range(num_galaxies)])
    lines = "".join(f"g{row},text,{row}\n" for row in reversed(range(num_galaxies)))
    table = join(tmp_path / "t.csv", f"id,name,number\n{lines}", ids=ids)
    assert table.values[:, 0].tolist() == list(range(num_galaxies))
    assert table.known.all()
    # What holds the numbers has no name.
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,z\na,1\n", r"t\.csv has no column 'id', by which galaxies are found; it has name, z\. split\.targets_id names"),
        ("id,z,Z\na,1,2\n", "has several columns z; capital letters are no matter"),
        (
            "id,z\nx,1\ny,2\n",
            r"no galaxy in use has one of the ids of .* \(such as 'x', 'y'\); galaxies have ids such as 'a', 'b'",
        ),
        ("id,z\n", r"\(such as none\)"),
        ("id,z\na,1\nb,2\na,3\nb,4\n", "(?s)row 3: the id 'a' stands there already.*row 4: the id 'b'"),
        ("id,z\na,1\nb,2,3\n", "row 2: found 3 cells"),
    ],
)
def test_a_table_that_cannot_be_joined_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        join(tmp_path / "t.csv", text)


def test_a_table_goes_with_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,z\na,1\n")
    join(path, "id,z\na,1\n", sha256=file_sha256(path))
    with pytest.raises(InputError, match=r"split\.targets_sha256"):
        join(path, "id,z\na,1\n", sha256="0" * 64)
    with pytest.raises(InputError, match=r"split\.targets: there is no file .*nowhere\.csv"):
        join_targets(tmp_path / "nowhere.csv", "any", IDS, id_column="id", folder=tmp_path)


def test_a_column_is_found_by_its_name(tmp_path: Path) -> None:
    table = join(tmp_path / "t.csv", "id,z,name\na,1,M51\n")
    np.testing.assert_array_equal(table.column("Z", "split.stratify_by"), [1, NAN, NAN, NAN])
    with pytest.raises(InputError, match=r"(?s)split\.stratify_by: .*  name: row 1: found 'M51', expected.*There are z\."):
        table.column("name", "split.stratify_by")
    with pytest.raises(InputError, match=r"(?s)  z: there is none\nThere are none; name a table\."):
        no_targets(4).column("z", "split.stratify_by")


@pytest.mark.parametrize("num_rows", [1, 7, 8, 23])
def test_targets_come_back_as_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_rows: int) -> None:
    monkeypatch.setattr(table_file, "GROUP_ROWS", 8)
    values = np.random.default_rng(0).normal(size=(num_rows, 3))
    values[0, 1] = NAN
    write_targets(tmp_path / "t.parquet", ("a", "b", "c"), values, {"name": "why"})
    file = TargetFile(tmp_path / "t.parquet", num_rows)
    assert (file.names, file.left_out) == (("a", "b", "c"), {"name": "why"})
    found = np.full((num_rows, 2), 7.0)
    for rows, columns in file.groups(["c", "b"]):
        found[rows] = np.stack([columns["c"], columns["b"]], axis=1)
    np.testing.assert_array_equal(found, values[:, [2, 1]])


def test_without_a_table_there_is_a_header_only(tmp_path: Path) -> None:
    write_targets(tmp_path / "t.parquet", (), no_targets(9).values, {})
    assert pq.read_table(tmp_path / "t.parquet").schema.names == ["row"]
    file = TargetFile(tmp_path / "t.parquet", 9)
    assert not file.names
    assert not no_targets(9).known.any()
    _, catalog = make_file(tmp_path, z=[1, 2, 3, 4])
    with pytest.raises(InputError, match=r"stand in a table, and split\.targets names none; `galaxies targets TABLE` writes"):
        read_tags(file, catalog, ["ring"])


def test_the_targets_of_another_catalog_are_refused(tmp_path: Path) -> None:
    make_file(tmp_path, z=[1, 2, 3, 4])
    with pytest.raises(InputError, match=r"has 4 rows, the catalog has 5; `dvc repro --force split` makes both"):
        TargetFile(tmp_path / "t.parquet", 5)
    with pytest.raises(InputError, match=r"There is no file .*none\.parquet; `dvc repro split` makes it"):
        TargetFile(tmp_path / "none.parquet", 5)


def test_votes_are_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    file, catalog = make_file(
        tmp_path,
        shape_smooth_debiased=[0.5, 0.2, 0, NAN],
        shape_disk_debiased=[0.5, 0.2, 0, NAN],
        shape_n=[10, 20, 30, 40],
    )
    votes = read_votes(file, catalog, TREE, kind="auto", questions=())
    assert votes.counts.tolist() == [[5, 5], [10, 10], [0, 0], [0, 0]]
    assert votes.known.tolist() == [True, True, False, False]
    assert "votes: the debiased fractions of toy" in caplog.text
    assert "of 1 of 4 galaxies did not add to 1 within 0.02, and were renormalised (shape 1)" in caplog.text


def test_fractions_that_lack_an_answer_are_spoken_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of 40 people 16 would be told to have answered, three in four of them with yes."""
    caplog.set_level(logging.INFO)
    tree = QuestionTree(
        "toy", (Question("bar", ("y", "n")),), (Naming("fractions", "{question}_{answer}", "{question}_total"),)
    )
    file, catalog = make_file(tmp_path, bar_y=[0.3, 0.5, 0, NAN], bar_n=[0.1, 0.5, 0, NAN], bar_total=[40.0] * 4)
    read_votes(file, catalog, tree, kind="auto", questions=())
    assert (
        "votes: the fractions of 1 of 4 galaxies add to less than 0.98 (bar 1); is an answer missing from the tree?"
        in caplog.text
    )


def test_numbers_are_read_with_their_errors(tmp_path: Path) -> None:
    file, catalog = make_file(tmp_path, mass=[1, 100, NAN, 10], e_mass=[0.1, NAN, 1, 0], z=[NAN, -1, 0, 2])
    numbers = read_numbers(
        file, catalog, ["Mass", "z"], scales=["log10", "linear"], units=["Msun", ""], error_columns=["E_mass", ""]
    )
    np.testing.assert_array_equal(numbers.values, np.array([[1, NAN], [100, -1], [NAN, 0], [10, 2]]))
    np.testing.assert_array_equal(numbers.errors, np.array([[0.1, NAN], [NAN, NAN], [1, NAN], [0, NAN]]))
    assert (numbers.names, numbers.units, numbers.scales) == (("Mass", "z"), ("Msun", ""), ("log10", "linear"))
    plain = read_numbers(file, catalog, ["z"], scales=[], units=[], error_columns=[])
    assert (plain.units, plain.scales) == (("",), ("linear",))


def test_tags_are_read(tmp_path: Path) -> None:
    file, catalog = make_file(tmp_path, ring=[1, 0, NAN, 1], lens=[0, NAN, NAN, 0])
    tags = read_tags(file, catalog, ["lens", "Ring"])
    assert tags.values.tolist() == [[0, 1], [-1, 0], [-1, -1], [0, 1]]
    assert tags.names == ("lens", "Ring")


def test_all_that_a_table_cannot_hold_is_listed(tmp_path: Path) -> None:
    file, catalog = make_file(tmp_path, mass=[1, -99, NAN, 0], e_mass=[0.1, -1, 1, np.inf], ring=[1, 0, 2, 0.5])
    with pytest.raises(
        InputError,
        match=(
            r"(?s)mass: 2 galaxies, first 'b' with -99: expected numbers above 0 \(train\.scales: log10\)\n"
            r"  e_mass: 2 galaxies, first 'b' with -1: expected a standard deviation.*What is not known is an empty cell"
        ),
    ):
        read_numbers(file, catalog, ["mass"], scales=["log10"], units=[], error_columns=["e_mass"])
    with pytest.raises(InputError, match="ring: 2 galaxies, first '007' with 2: expected 0 or 1"):
        read_tags(file, catalog, ["ring"])


def test_all_missing_columns_are_listed(tmp_path: Path) -> None:
    file, catalog = make_file(tmp_path, mass=[1, 2, 3, 4])
    with pytest.raises(
        InputError,
        match=r"(?s)train\.columns: .*\n  z: there is none\n  note: row 1: 'x'\n  e: there is none\nThere are mass\.",
    ):
        read_numbers(file, catalog, ["mass", "z", "note"], scales=[], units=[], error_columns=["", "e", ""])


def test_500_real_galaxies_of_galaxy_zoo_2(tmp_path: Path, test_data: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Debiased fractions that add to 0.17 to 1.33 in the first question; NaN, and zeros where nobody was asked."""
    caplog.set_level(logging.INFO)
    path = test_data / "real" / "votes" / "votes.csv"
    ids = pa.array([line.split(",")[0] for line in path.read_text().splitlines()[1:]])
    table = join_targets(path, file_sha256(path), ids, id_column="id", folder=tmp_path)
    assert list(table.left_out) == ["gz2_class"]
    write_targets(tmp_path / "t.parquet", table.names, table.values, table.left_out)
    catalog = open_rows(CatalogRows(np.arange(500), ids, np.zeros((500, 32), np.uint8)))
    votes = read_votes(TargetFile(tmp_path / "t.parquet", 500), catalog, open_tree("gz2"), kind="auto", questions=())
    assert (
        "of 441 of 500 galaxies did not add to 1 within 0.02, and were renormalised (t01_smooth_or_features 308" in caplog.text
    )
    assert votes.known.all()
    # Everybody answers the first question; how many of 500 were asked the others falls along the tree.
    asked = {question.name: int(count) for question, count in zip(votes.tree.questions, (votes.totals > 0).sum(0), strict=True)}
    assert asked["t01_smooth_or_features"] == 500
    assert asked["t02_edgeon"] >= asked["t03_bar"] >= asked["t10_arms_winding"] > 0
    # The first galaxy: 38 people, and fractions 0.027, 0.946, 0.002.
    np.testing.assert_allclose(votes.counts[0, :3], 38 * np.array([0.027, 0.946, 0.002]) / 0.975, rtol=1e-5)
    edge_on = votes.tree.index("t02_edgeon")
    assert votes.totals[0, edge_on] == pytest.approx(38 * 0.946 / 0.975, rel=1e-5)
    # 0.5905 and 0.2819 for a bar and none, of all whom it was not edge-on.
    bar = votes.counts[0, votes.tree.slices[votes.tree.index("t03_bar")]]
    np.testing.assert_allclose(bar / bar.sum(), np.array([0.5904658, 0.2819482]) / 0.872414, rtol=1e-5)
    assert bar.sum() == pytest.approx(votes.totals[0, edge_on], rel=1e-5)
