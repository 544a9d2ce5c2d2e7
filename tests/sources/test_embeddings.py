"""Other people's embeddings: which columns are taken, what is refused by id, and what stands in the file that is made."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from galaxies.data.galaxy_file import GalaxyFile
from galaxies.errors import InputError
from galaxies.files import file_sha256
from galaxies.sources.embedding_table import holds_embeddings, open_embeddings
from galaxies.sources.embeddings import check_embeddings, import_embeddings

FEATURES = np.arange(24, dtype=np.float32).reshape(6, 4) / 7
IDS = [f"g{index}" for index in range(6)]


def write(path: Path, about: bytes | None = None, **columns: Any) -> Path:
    """Write a table with id, and by default label and lists of features; None leaves a column away."""
    chosen = {"id": IDS, "label": ["b", "a", "b", None, "a", "b"], "features": list(FEATURES)} | columns
    table = pa.table({name: values for name, values in chosen.items() if values is not None})
    pq.write_table(table.replace_schema_metadata({b"galaxies": about} if about else None), path, row_group_size=4)
    return path


def bring(path: Path, columns: str | None = None, **options: Any) -> GalaxyFile:
    """Import a table and open what comes of it."""
    out = path.with_suffix(".h5")
    import_embeddings(out, path=path, columns=columns, **{"sha256": file_sha256(path), "on_error": "refuse"} | options)
    return GalaxyFile(out, needs_images=False)


@pytest.mark.parametrize(
    "type_",
    [pa.list_(pa.float32()), pa.list_(pa.float32(), 4), pa.large_list(pa.float64()), pa.list_(pa.float16())],
    ids=["lists", "lists-of-one-length", "large-lists-of-float64", "lists-of-float16"],
)
def test_lists_of_any_kind_are_features(tmp_path: Path, type_: pa.DataType) -> None:
    rows = FEATURES.astype(np.float16) if type_.value_type == pa.float16() else FEATURES
    with bring(write(tmp_path / "a.parquet", features=pa.array(list(rows), type_))) as galaxies:
        np.testing.assert_array_equal(galaxies.read_content(np.arange(6)), rows.astype(np.float32))
        assert not galaxies.has_images
        assert galaxies.ids.to_pylist() == IDS
        assert galaxies.labels.tolist() == [1, 0, 1, -1, 0, 1]
        assert galaxies.embeddings_origin == {"sha256": file_sha256(tmp_path / "a.parquet"), "columns": ["features"]}
        assert np.isnan(galaxies.ra).all()


def test_columns_of_one_feature_each_are_found_by_their_names(tmp_path: Path) -> None:
    columns: dict[str, Any] = {f"dim_{index}": FEATURES[:, index] for index in range(4)}
    with bring(write(tmp_path / "a.parquet", features=None, redshift=np.ones(6), **columns)) as galaxies:
        np.testing.assert_array_equal(galaxies.read_content(np.arange(6)), FEATURES)
        assert galaxies.embeddings_origin["columns"] == [f"dim_{index}" for index in range(4)]


def test_where_several_columns_may_be_meant_one_must_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", image=list(FEATURES), text=list(FEATURES + 1), features=None, mag_1=np.ones(6))
    with pytest.raises(InputError, match=r"which columns are the features\? Found are image .* text .* `-S download\.columns="):
        open_embeddings(path)
    with bring(path, "text") as galaxies:
        np.testing.assert_array_equal(galaxies.read_content(np.arange(6)), FEATURES + 1)
    with bring(path, "mag_") as galaxies:
        assert galaxies.read_content(np.arange(6)).shape == (6, 1)


def test_a_few_numbered_columns_are_no_embeddings_unless_they_are_named(tmp_path: Path) -> None:
    assert holds_embeddings(write(tmp_path / "a.parquet"))
    fluxes = write(tmp_path / "b.parquet", features=None, flux_1=np.ones(6), flux_2=np.ones(6))
    assert not holds_embeddings(fluxes)


def test_everything_that_is_wrong_with_rows_is_one_error_with_their_ids(tmp_path: Path) -> None:
    rows: list[Any] = [row.tolist() for row in FEATURES]
    rows[1], rows[2], rows[3], rows[4] = rows[1][:3], [1.0, float("nan"), 0.0, 0.0], None, [1.0, None, 0.0, 0.0]
    path = write(tmp_path / "a.parquet", id=[*IDS[:5], "g0"], features=rows, ra=[10.0, *[None] * 5], dec=[None] * 6)
    with pytest.raises(InputError, match="6 things must be put right") as caught:
        check_embeddings(path, None)
    for row in (
        r"row 1 (id g0): another row has this id too; one of ra and dec is known, the other is not",
        r"row 2 (id g1): 3 features, expected 4 as in most rows",
        r"row 3 (id g2): a feature is missing, NaN, or beyond float32",
        r"row 4 (id g3): no features",
        r"row 5 (id g4): a feature is missing, NaN, or beyond float32",
        r"row 6 (id g0): another row has this id too",
    ):
        assert row in str(caught.value)


def test_numbers_beyond_float32_and_labels_that_are_no_classes_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", features=list(FEATURES.astype(np.float64) * 1e40))
    with pytest.raises(InputError, match=r"id g5\): a feature is missing, NaN, or beyond float32"):
        check_embeddings(path, None)
    with pytest.raises(InputError, match="a number is a class only if it is whole"):
        check_embeddings(write(tmp_path / "b.parquet", label=[0.25, 0.5, 0.75, 1, 1, 1]), None)


def test_rows_that_cannot_be_used_can_be_left_out(tmp_path: Path) -> None:
    rows: list[Any] = [row.tolist() for row in FEATURES]
    rows[2], rows[5] = rows[2][:2], None
    path = write(tmp_path / "a.parquet", features=rows)
    left_out = import_embeddings(tmp_path / "a.h5", path=path, columns=None, sha256="any", on_error="leave_out")
    assert [one.id for one in left_out] == ["g2", "g5"]
    with GalaxyFile(tmp_path / "a.h5", needs_images=False) as galaxies:
        np.testing.assert_array_equal(galaxies.read_content(np.arange(4)), FEATURES[[0, 1, 3, 4]])
        assert galaxies.ids.to_pylist() == ["g0", "g1", "g3", "g4"]


def test_the_order_of_the_classes_is_that_of_our_own_export_where_it_says_one(tmp_path: Path) -> None:
    for about, names in ((None, ("a", "b")), (b'{"class_names": ["b", "unseen", "a"]}', ("b", "unseen", "a"))):
        path = write(tmp_path / "a.parquet", about, label=["b", "a", "b", "a", "a", "b"])
        with bring(path) as galaxies:
            assert galaxies.class_names == names
            assert [names[label] for label in galaxies.labels.tolist()] == ["b", "a", "b", "a", "a", "b"]


@pytest.mark.parametrize(("ra", "dec"), [("RAJ2000", "DEJ2000"), ("ra2000", "dec2000"), ("ALPHA_J2000", "DELTA_J2000")])
def test_positions_by_any_name_are_taken_and_never_are_features(ra: str, dec: str, tmp_path: Path) -> None:
    """They were dropped without a word, and neighbours on the sky stood in different splits."""
    columns: dict[str, Any] = {f"f{index}": FEATURES[:, index] for index in range(4)}
    columns |= {ra: [-10.0, *range(5)], dec: np.arange(6.0)}
    with bring(write(tmp_path / "a.parquet", features=None, **columns)) as galaxies:
        assert galaxies.ra.tolist() == [350.0, 0, 1, 2, 3, 4]
        assert galaxies.dec.tolist() == [0, 1, 2, 3, 4, 5]
        assert galaxies.embeddings_origin["columns"] == ["f0", "f1", "f2", "f3"]


def test_numbered_columns_of_just_that_name_come_before_others_that_begin_so(tmp_path: Path) -> None:
    """`-S download.columns=f` took the fluxes and the field's number for features."""
    columns: dict[str, Any] = {f"f{index}": FEATURES[:, index] for index in range(4)}
    path = write(tmp_path / "a.parquet", features=None, flux_r=np.ones(6), field=np.arange(6), flux_2=np.ones(6), **columns)
    assert open_embeddings(path, "f").columns == ("f0", "f1", "f2", "f3")
    assert open_embeddings(path, "flux").columns == ("flux_r", "flux_2")


@pytest.mark.parametrize("about", [b"{bad", b"\xff", b"[]", b'{"class_names": "ab"}', b"{}"])
def test_what_others_write_into_the_metadata_says_nothing(about: bytes, tmp_path: Path) -> None:
    assert open_embeddings(write(tmp_path / "a.parquet", about)).class_names is None


def test_groups_come_with_the_table(tmp_path: Path) -> None:
    with bring(write(tmp_path / "a.parquet", label=list("ababab"), group=[0, 1, None, 0, 7, 8])) as galaxies:
        assert galaxies.group.tolist() == [0, 1, -1, 0, 7, 8]
    with pytest.raises(InputError, match="column group holds double, expected whole numbers"):
        bring(write(tmp_path / "b.parquet", label=list("ababab"), group=np.ones(6) / 2))
    large = pa.array([2**63 + 1] * 6, pa.uint64())
    with pytest.raises(InputError, match=r"c\.parquet: the column group holds uint64 beyond 2\^63 - 1"):
        bring(write(tmp_path / "c.parquet", label=list("ababab"), group=large))


def test_another_digest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"download\.sha256: the digest set is 0{64}"):
        bring(write(tmp_path / "a.parquet"), sha256="0" * 64)


@pytest.mark.parametrize("content", ["nothing", "text", "no id", "no rows"])
def test_what_is_no_table_of_embeddings_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.parquet"
    if content == "text":
        path.write_text("id,features\n")
    elif content == "no id":
        write(path, id=None, name=IDS)
    elif content == "no rows":
        write(path, id=pa.array([], pa.string()), label=None, features=pa.array([], pa.list_(pa.float32())))
    expected = {
        "nothing": r"download\.path: there is no file",
        "text": "is not a Parquet file",
        "no id": "found the columns label, features, name; expected are id",
        "no rows": "the table has no rows",
    }
    with pytest.raises(InputError, match=expected[content]):
        check_embeddings(path, None)


def test_a_file_without_images_says_so_to_whoever_needs_them(tmp_path: Path) -> None:
    bring(write(tmp_path / "a.parquet", label=list("ababab"))).close()
    with pytest.raises(InputError, match=r"holds embeddings and no images.*-S train\.layer=embeddings"):
        GalaxyFile(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        assert file.attrs["images"] == "none"
        del file["group"]
        file["group"] = np.ones(5, np.int64)
    with pytest.raises(InputError, match=r"group: found the shape \(5,\), expected \(6,\)"):
        GalaxyFile(tmp_path / "a.h5", needs_images=False)
