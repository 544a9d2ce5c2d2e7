"""Galaxies in Parquet files with encoded images: read in place, whatever their columns are called; what is wrong is named."""

import io
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from galaxies.data import parquet_images as reader
from galaxies.data import scan as scanning
from galaxies.data.catalog import image_sha256
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.scan import scan_images
from galaxies.errors import InputError
from galaxies.sources import parquet_images
from galaxies.sources.findings import look_at
from galaxies.sources.image_import import ImportOptions
from galaxies.sources.image_measures import Framing
from galaxies.sources.parquet_images import import_parquet
from galaxies.sources.sources import digest
from tests.toys import toy_images

SIZE, NUM_GALAXIES = 16, 47
IMAGES = toy_images(NUM_GALAXIES, size=SIZE)
CLASSES = ["ring", "bar", "none of both"]
OPTIONS = ImportOptions(Framing(None, None), "refuse", 1)


def encode(image: NDArray[np.uint8], kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return file.getvalue()


def make_table(start: int, stop: int, **changes: Any) -> pa.Table:
    """Return galaxies in the form of the sets on the Hugging Face Hub."""
    rows = range(start, stop)
    columns: dict[str, Any] = {
        "image": [{"bytes": encode(IMAGES[row]), "path": f"{row}.png"} for row in rows],
        "id_str": [f"J{row:04}" for row in rows],
        "ra": [row / 2 for row in rows],
        "dec": [None if row % 5 == 0 else -row / 4 for row in rows],
        "label": [row % 3 if row % 4 else -1 for row in rows],
        "smooth_votes": list(rows),
        **changes,
    }
    info = {"info": {"features": {"label": {"names": CLASSES, "_type": "ClassLabel"}}}}
    return pa.table(columns).replace_schema_metadata({"huggingface": json.dumps(info)})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write three files, one of them with a single row, and row groups of up to seven rows."""
    folder = tmp_path / "set"
    folder.mkdir()
    for number, (start, stop) in enumerate([(0, 20), (20, 21), (21, NUM_GALAXIES)]):
        pq.write_table(make_table(start, stop), folder / f"train-0000{number}.parquet", row_group_size=7)
    return folder


def read(path: Path, out: Path, **options: Any) -> GalaxyFile:
    import_parquet(out, path=path, **{"image": None, "sha256": "any", **options})
    return GalaxyFile(out)


def replace_rows(folder: Path, **changes: Any) -> None:
    """Write the last file of the set anew."""
    pq.write_table(make_table(21, NUM_GALAXIES, **changes), folder / "train-00002.parquet", row_group_size=7)


def test_every_galaxy_is_read_where_it_stands(folder: Path, tmp_path: Path) -> None:
    with read(folder, tmp_path / "galaxies.h5") as galaxies:
        assert (galaxies.num_galaxies, galaxies.image_size, galaxies.image_bytes) == (NUM_GALAXIES, SIZE, SIZE * SIZE * 3)
        np.testing.assert_array_equal(galaxies.read_images(np.arange(NUM_GALAXIES)), IMAGES)
        np.testing.assert_array_equal(galaxies.read_images(np.array([3, 20, 46])), IMAGES[[3, 20, 46]])
        assert galaxies.read_images(np.array([], np.int64)).shape == (0, SIZE, SIZE, 3)
        assert galaxies.ids[21].as_py() == "J0021"
        assert galaxies.class_names == tuple(CLASSES)
        assert galaxies.labels.tolist() == [row % 3 if row % 4 else -1 for row in range(NUM_GALAXIES)]
        np.testing.assert_array_equal(galaxies.ra, np.arange(NUM_GALAXIES) / 2)
        assert np.isnan(galaxies.dec[[0, 5, 45]]).all()
        assert galaxies.dec[46] == -11.5
    assert (tmp_path / "galaxies.h5").stat().st_size < 40_000  # The images themselves are 36 kB.


def test_a_scan_gives_the_digests_of_the_pixels(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with read(folder, tmp_path / "galaxies.h5") as galaxies:
        here = scan_images(galaxies, num_workers=3)
        monkeypatch.setattr(scanning, "_MANY_IMAGES", 1)
        apart = scan_images(galaxies, num_workers=2)
        assert galaxies.split_rows(5)[:3] == [range(5), range(5, 7), range(7, 12)]
    for scan in (here, apart):
        assert [row.tobytes() for row in scan.digests] == [image_sha256(image) for image in IMAGES]
    np.testing.assert_array_equal(here.checksums, apart.checksums)


def test_threads_share_row_groups_and_memory_is_bounded(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_groups: list[int] = []
    original = reader.ParquetImages._read_column

    def note(images: reader.ParquetImages, group: int) -> Any:
        read_groups.append(group)
        return original(images, group)

    monkeypatch.setattr(reader.ParquetImages, "_read_column", note)
    with read(folder, tmp_path / "galaxies.h5") as galaxies:
        barrier = threading.Barrier(4)

        def look() -> None:
            barrier.wait()
            galaxies.read_images(np.arange(7))

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert read_groups == [0]
        monkeypatch.setattr(reader, "_CACHE_BYTES", 1)
        galaxies.read_images(np.array([0, 8, 15]))
        galaxies.read_images(np.array([15, 16]))
        galaxies.read_images(np.array([0]))
    assert read_groups == [0, 1, 2, 0]


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"image": [encode(image) for image in IMAGES[21:]]}, {"image": None}),
        ({"image": [None] * 26, "jpg": [encode(image) for image in IMAGES[21:]]}, {"image": "jpg"}),
    ],
    ids=["bytes", "named"],
)
def test_a_column_of_bytes_and_one_that_is_named_are_read(
    changes: dict[str, Any], names: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    replace_rows(folder, **changes)
    with read(folder / "train-00002.parquet", tmp_path / "galaxies.h5", **names) as galaxies:
        np.testing.assert_array_equal(galaxies.read_images(np.arange(26)), IMAGES[21:])


@pytest.mark.parametrize(
    ("labels", "class_names", "expected"),
    [
        (["b", "a", None, "a", "nan"], ("a", "b"), [1, 0, -1, 0, -1]),
        ([10, 2, 10, 9, 2], ("2", "10"), [1, 0, 1, -1, 0]),
        ([1.0, 0.0, None, 1.0, 9.0], ("0", "1"), [1, 0, -1, 1, -1]),
    ],
    ids=["text", "integers", "floats-with-missing"],
)
def test_labels_without_names_are_classes_by_what_they_say(
    labels: list[Any], class_names: tuple[str, ...], expected: list[int], tmp_path: Path
) -> None:
    table = pa.table({"picture": [encode(image) for image in IMAGES[:5]], "class": labels})
    pq.write_table(table, tmp_path / "a.parquet")
    with read(tmp_path / "a.parquet", tmp_path / "galaxies.h5", unlabelled_value=9) as galaxies:
        assert galaxies.class_names == class_names
        assert galaxies.labels.tolist() == expected
        assert galaxies.ids.to_pylist() == [f"{row:06}" for row in range(5)]


def test_a_pattern_a_list_and_folders_below_mean_files(folder: Path, tmp_path: Path) -> None:
    listed = tmp_path / "files.txt"
    listed.write_text("set/train-00001.parquet\nset/train-00000.parquet\n")
    with read(listed, tmp_path / "galaxies.h5") as galaxies:
        np.testing.assert_array_equal(galaxies.read_images(np.arange(2)), IMAGES[[20, 0]])
    with read(folder / "train-*[01].parquet", tmp_path / "galaxies.h5") as galaxies:
        assert galaxies.num_galaxies == 21
    with read(tmp_path, tmp_path / "galaxies.h5") as galaxies:
        assert galaxies.num_galaxies == NUM_GALAXIES
    with pytest.raises(InputError, match="there are no Parquet files"):
        read(tmp_path / "other*", tmp_path / "galaxies.h5")


def test_use_recognises_a_folder_and_the_digest_is_that_of_its_listing(folder: Path, tmp_path: Path) -> None:
    findings = look_at(folder, OPTIONS)
    assert f"{NUM_GALAXIES} galaxies" in findings.lines[0]
    assert any(line.startswith("Classes: 3: bar (") for line in findings.lines)
    assert "Labels: 35 of 47 known; positions: 37 of 47 known." in findings.lines
    assert findings.params == {"source": "parquet", "path": str(folder), "sha256": digest(folder)}
    read(folder, tmp_path / "galaxies.h5", sha256=digest(folder)).close()
    before = digest(folder)
    replace_rows(folder, label=[0] * 26)
    assert digest(folder) != before
    with pytest.raises(InputError, match=r"download\.sha256"):
        read(folder, tmp_path / "galaxies.h5", sha256=before)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no image", r"train-00002\.parquet, row 3 of row group 1 \(galaxy 31\): this is no image that can be decoded"),
        (encode(IMAGES[0])[:90], r"row 3 of row group 1 \(galaxy 31\): this is no image that can be decoded"),
        (
            encode(np.zeros((SIZE, 9, 3), np.uint8)),
            r"row 3 of row group 1 \(galaxy 31\): the image is 9 x 16 px, expected 16 x 16",
        ),
        (None, r"row 3 of row group 1 \(galaxy 31\): the column image.bytes is empty there"),
    ],
    ids=["text", "truncated", "other-size", "null"],
)
def test_an_image_that_cannot_be_used_is_named(content: bytes | None, message: str, folder: Path, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"bytes": encode(image), "path": ""} for image in IMAGES[21:]]
    rows[10] = {"bytes": content, "path": "a.png"}
    replace_rows(folder, image=rows)
    with read(folder, tmp_path / "galaxies.h5") as galaxies:
        galaxies.read_images(np.arange(31))
        for _ in range(2):  # What was read wrongly once is not taken for right the second time.
            with pytest.raises(InputError, match=message):
                scan_images(galaxies, num_workers=2)


def test_a_file_that_changed_since_is_refused(folder: Path, tmp_path: Path) -> None:
    read(folder, tmp_path / "galaxies.h5").close()
    replace_rows(folder, label=[1] * 26)
    with GalaxyFile(tmp_path / "galaxies.h5") as galaxies:
        galaxies.read_images(np.arange(21))
        with pytest.raises(InputError, match=r"train-00002\.parquet has changed since its images were listed"):
            galaxies.read_images(np.array([21]))
    (folder / "train-00001.parquet").unlink()
    with GalaxyFile(tmp_path / "galaxies.h5") as galaxies, pytest.raises(InputError, match=r"train-00001\.parquet: .* is gone"):
        galaxies.read_images(np.array([20]))


def test_a_row_group_that_is_damaged_is_named(folder: Path, tmp_path: Path) -> None:
    read(folder, tmp_path / "galaxies.h5").close()
    path = folder / "train-00000.parquet"
    content = bytearray(path.read_bytes())
    content[4:60] = bytes(56)
    path.write_bytes(content)
    with (
        GalaxyFile(tmp_path / "galaxies.h5") as galaxies,
        pytest.raises(InputError, match=r"row group 0 is damaged|row 0 of row group 0"),
    ):
        galaxies.read_images(np.array([0]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ra": ["x"] * 26}, r"train-00002\.parquet: the column ra holds string, expected numbers"),
        ({"id_str": ["J0000"] * 26}, r"ids: 1 stand there more than once \(first: 'J0000'\)"),
        ({"id_str": [None] * 26}, r"26 rows have no id in the column id_str"),
        ({"id_str": [0.5] * 26}, r"ids in the column id_str are double, which loses last digits"),
        ({"label": [7] * 26}, r"the label '7' is none of \['ring', 'bar', 'none of both'\]"),
        ({"image": ["no bytes"] * 26}, r"the columns image of the first file are missing or of another kind here"),
    ],
    ids=["text-for-numbers", "repeated-id", "no-id", "rounded-id", "unknown-class", "no-images"],
)
def test_columns_that_cannot_be_used_are_named(changes: dict[str, Any], message: str, folder: Path, tmp_path: Path) -> None:
    replace_rows(folder, **changes)
    with pytest.raises(InputError, match=message):
        read(folder, tmp_path / "galaxies.h5")
    assert not (tmp_path / "galaxies.h5").exists()


def test_files_that_number_their_classes_otherwise_are_refused(folder: Path, tmp_path: Path) -> None:
    """Those of the second file were taken for the first's: smooth galaxies became spirals without a word."""
    for names in ([*CLASSES[1:], CLASSES[0]], CLASSES[:2]):
        info = {"info": {"features": {"label": {"names": names}}}}
        table = make_table(20, 21).replace_schema_metadata({"huggingface": json.dumps(info)})
        pq.write_table(table, folder / "train-00001.parquet")
        message = (
            rf"train-00001\.parquet: the class numbers mean {', '.join(names)} here, and ring, bar, none of both in the first"
        )
        with pytest.raises(InputError, match=message):
            read(folder, tmp_path / "galaxies.h5")
    pq.write_table(make_table(20, 21).replace_schema_metadata(None), folder / "train-00001.parquet")
    with pytest.raises(InputError, match="the class numbers mean no names here, and ring, bar"):
        read(folder, tmp_path / "galaxies.h5")


def test_the_value_of_no_label_is_a_number_also_where_the_file_names_its_classes(folder: Path, tmp_path: Path) -> None:
    """It was compared with the names, and the class of what is unknown was trained on."""
    with read(folder, tmp_path / "galaxies.h5", unlabelled_value=1) as galaxies:
        assert galaxies.class_names == ("ring", "none of both")
        numbers = [row % 3 if row % 4 else -1 for row in range(NUM_GALAXIES)]
        assert galaxies.labels.tolist() == [{0: 0, 2: 1}.get(number, -1) for number in numbers]


@pytest.mark.parametrize(
    ("ra", "dec"),
    [("RAJ2000", "DEJ2000"), ("raj2000", "decj2000"), ("ALPHA_J2000", "DELTA_J2000"), ("right_ascension", "declination")],
)
def test_positions_are_found_by_the_names_of_catalogues(ra: str, dec: str, tmp_path: Path) -> None:
    table = make_table(0, 20)
    renamed = table.rename_columns({"ra": ra, "dec": dec}).replace_schema_metadata(table.schema.metadata)
    pq.write_table(renamed, tmp_path / "a.parquet")
    with read(tmp_path / "a.parquet", tmp_path / "galaxies.h5") as galaxies:
        np.testing.assert_array_equal(galaxies.ra, np.arange(20) / 2)
        assert np.isfinite(galaxies.dec).sum() == 16


def test_positions_follow_the_rules_of_catalogues(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def bring(ra: list[Any], dec: list[Any]) -> list[list[float]]:
        pq.write_table(make_table(0, 4, ra=ra, dec=dec), tmp_path / "a.parquet")
        with read(tmp_path / "a.parquet", tmp_path / "galaxies.h5") as galaxies:
            return [galaxies.ra.tolist(), galaxies.dec.tolist()]

    np.testing.assert_equal(
        bring([-10.5, -99.0, -999.0, 4.0], [-10.5, -99.0, 3.0, 4.0]),
        [[349.5, np.nan, np.nan, 4.0], [-10.5, np.nan, 3.0, 4.0]],
    )
    assert "of 1 galaxies one of ra and dec is known and the other is not (first: galaxy 2, counted from 0)" in caplog.text
    np.testing.assert_equal(
        bring(["187.5", "12:30:00", "", None], ["-1", "-00:30:00", "nan", "-99"]),
        [[187.5, 187.5, np.nan, np.nan], [-1.0, -0.5, np.nan, np.nan]],
    )
    with pytest.raises(InputError, match=r"a\.parquet: the column ra, row 2: found 400, expected degrees from -180 to 360"):
        bring([1.0, 400.0, 2.0, 3.0], [0.0] * 4)
    with pytest.raises(InputError, match=r"a\.parquet: the column dec, row 4: found 100, expected degrees from -90 to 90"):
        bring([1.0] * 4, [0, 1, 2, 100])
    with pytest.raises(
        InputError, match=r"a\.parquet: the column ra holds string, .* \(row 3: found '1,5' with a decimal comma"
    ):
        bring(["1", "2", "1,5", "4"], [0.0] * 4)


def test_a_missing_column_and_what_is_no_parquet_file_are_named(folder: Path, tmp_path: Path) -> None:
    pq.write_table(make_table(21, 30).drop_columns(["ra"]), folder / "train-00002.parquet")
    with pytest.raises(InputError, match=r"train-00002\.parquet: the columns ra of the first file are missing"):
        read(folder, tmp_path / "galaxies.h5")
    (folder / "train-00002.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"train-00002\.parquet is not a Parquet file"):
        read(folder, tmp_path / "galaxies.h5")


def test_which_column_holds_the_images_is_asked_where_it_is_not_certain(tmp_path: Path) -> None:
    pictures = [encode(image) for image in IMAGES[:3]]
    pq.write_table(pa.table({"first": pictures, "second": pictures}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"found 2 columns that may be images .* name it by `-S download\.columns"):
        read(tmp_path / "a.parquet", tmp_path / "galaxies.h5")
    with pytest.raises(InputError, match="found no column third of images"):
        read(tmp_path / "a.parquet", tmp_path / "galaxies.h5", image="third")


def test_a_row_group_that_fills_the_memory_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_images, "_LARGEST_GROUP", 1000)
    with pytest.raises(InputError, match=r"row group 0 holds .* of images, at most .* row_group_size=1000"):
        read(folder, tmp_path / "galaxies.h5")


def test_a_first_image_that_is_no_square_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [encode(np.zeros((4, 5, 3), np.uint8))]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="the image is 5 x 4 px, expected is a square"):
        read(tmp_path / "a.parquet", tmp_path / "galaxies.h5")
