"""A user's own images become galaxies.h5, or one error that lists everything that is wrong with them."""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from astropy.table import Table
from numpy.typing import NDArray
from PIL import Image

from galaxies.data.field_of_view import FieldOfView
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.splits import UNLABELLED
from galaxies.errors import InputError
from galaxies.sources.download_params import DownloadParams
from galaxies.sources.image_catalogue import read_catalogue
from galaxies.sources.image_import import ImportOptions, LeftOut, _blocks, check_images
from galaxies.sources.image_measures import Framing
from galaxies.sources.sources import digest, import_images
from tests.toys import toy_images

SIZE = 8
OPTIONS = ImportOptions(Framing())
IMAGES = toy_images(6, size=SIZE)


def save(file: Path, image: NDArray[np.uint8] = IMAGES[0], **options: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(file, **options)
    return file


def make_folder(folder: Path) -> Path:
    """Make two classes of three images each."""
    for index, image in enumerate(IMAGES):
        save(folder / ("spiral" if index < 3 else "Smooth é ✨") / f"{index}.png", image)
    return folder


def make_catalogue(folder: Path, text: str, *, name: str = "catalogue.csv") -> Path:
    for index, image in enumerate(IMAGES[:3]):
        save(folder / f"{index}.png", image)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def import_any(out: Path, path: Path, **params: Any) -> Sequence[LeftOut]:
    settings = DownloadParams(**{"source": "images", "path": str(path), "sha256": "any", **params})
    return import_images(out, path=path, params=settings, num_threads=2)


def import_into(out: Path, path: Path, **params: Any) -> GalaxyFile:
    import_any(out, path, **params)
    with GalaxyFile(out) as galaxies:
        galaxies.check_columns()
        galaxies.pixels = galaxies.read_images(np.arange(galaxies.num_galaxies))  # type: ignore[attr-defined]
        return galaxies


def pixels(galaxies: GalaxyFile) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = galaxies.pixels  # type: ignore[attr-defined]
    return found


def test_a_folder_of_class_folders_is_read(tmp_path: Path) -> None:
    galaxies = import_into(tmp_path / "out.h5", make_folder(tmp_path / "in"))
    assert galaxies.class_names == ("Smooth é ✨", "spiral")
    assert galaxies.ids.to_pylist() == ["Smooth é ✨/3", "Smooth é ✨/4", "Smooth é ✨/5", "spiral/0", "spiral/1", "spiral/2"]
    assert galaxies.labels.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_array_equal(pixels(galaxies), IMAGES[[3, 4, 5, 0, 1, 2]])
    assert np.isnan([galaxies.ra, galaxies.dec, galaxies.redshift, galaxies.pxscale]).all()


CSV = "id,path,label,ra,pxscale,seen by\n007,0.png, spiral ,10.5,,me\nb,./1.png,spiral,NaN,0.262,\n,../in/2.png,10,,,\n"


@pytest.mark.parametrize("kind", ["csv", "csv with a byte order mark", "parquet"])
def test_a_catalogue_is_read(tmp_path: Path, kind: str) -> None:
    text = CSV.replace("\n,../in", "\nN,../in")
    path = make_catalogue(tmp_path / "in", text if kind != "csv with a byte order mark" else "\ufeff" + text)
    if kind == "parquet":
        pd.read_csv(path, dtype={"id": str, "ra": float}, keep_default_na=False, na_values={"ra": ["", "NaN"]}).to_parquet(
            path := path.with_suffix(".parquet")
        )
    galaxies = import_into(tmp_path / "out.h5", path)
    assert galaxies.ids.to_pylist() == ["007", "b", "N"]
    assert galaxies.class_names == ("10", "spiral")
    assert galaxies.labels.tolist() == [1, 1, 0]
    np.testing.assert_array_equal(pixels(galaxies), IMAGES[:3])
    np.testing.assert_array_equal(galaxies.ra, [10.5, np.nan, np.nan])
    np.testing.assert_array_equal(galaxies.pxscale, [np.nan, 0.262, np.nan])


def test_numeric_labels_are_ordered_by_number_also_where_parquet_made_them_float(tmp_path: Path) -> None:
    path = make_catalogue(tmp_path, "").with_suffix(".parquet")
    pd.DataFrame({"id": [1, 2, 3], "path": ["0.png", "1.png", "2.png"], "label": [10.0, 9.0, 10.0]}).to_parquet(path)
    catalogue = read_catalogue(path)
    assert catalogue.class_names == ("9", "10")
    assert [line.id for line in catalogue.lines] == ["1", "2", "3"]


def test_every_kind_of_picture_is_read_as_it_looks(tmp_path: Path) -> None:
    grey = np.arange(SIZE * SIZE, dtype=np.uint8).reshape(SIZE, SIZE)
    folder = tmp_path / "in" / "a"
    save(folder / "0.png")
    save(folder / "1.TIF", format="TIFF")
    save(folder / "2.tiff", compression="tiff_lzw")
    save(folder / "3.png", np.dstack([IMAGES[0], np.full((SIZE, SIZE), 255, np.uint8)]))
    save(folder / "4.png", grey)
    save(folder / "5.JPEG", grey, format="JPEG", quality=95)
    Image.fromarray(grey).convert("P").save(folder / "6.png")
    save(folder / "7.png", IMAGES[0], compress_level=0)
    turned = Image.Exif()
    turned[0x0112] = 6  # The camera was held upright: a quarter turn clockwise puts it right.
    save(folder / "8.tif", IMAGES[0], exif=turned)
    images = pixels(import_into(tmp_path / "out.h5", tmp_path / "in"))
    for index in (0, 1, 2, 3, 7):
        np.testing.assert_array_equal(images[index], IMAGES[0])
    for index in (4, 6):
        np.testing.assert_array_equal(images[index], np.dstack([grey] * 3))
    assert np.abs(images[5].astype(int) - images[4]).max() < 8
    np.testing.assert_array_equal(images[8], np.rot90(IMAGES[0], -1))


def test_hidden_names_links_and_other_files_do_no_harm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = make_folder(tmp_path / "in")
    save(folder / ".ipynb_checkpoints" / "0.png")
    (folder / "spiral" / ".0.png.swp.png").write_text("hidden")
    (folder / "spiral" / "notes.txt").write_text("no image")
    (folder / "notes.txt").write_text("no image")
    (folder / "spiral" / "linked.png").symlink_to(save(tmp_path / "elsewhere.png", IMAGES[5][::-1].copy()))
    (folder / "linked").symlink_to(make_folder(tmp_path / "other") / "spiral")
    with caplog.at_level(logging.WARNING):
        galaxies = import_into(tmp_path / "out.h5", folder)
    assert galaxies.class_names == ("Smooth é ✨", "linked", "spiral")
    assert np.bincount(galaxies.labels).tolist() == [3, 3, 4]
    assert "1 files that are no images are left out, such as" in caplog.text


def damage(file: Path) -> Path:
    """Cut a file off after its header."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return file


def test_everything_that_is_wrong_is_one_message(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    rows = ["a,0.png,x", "a,./1.png,x", "c,1.png,", "d,absent.png,x", "e,text.png,x", "f,cut.png,x", "g,large.png,x", "h,,x"]
    path = make_catalogue(
        folder, "id,path,label,ra\n" + "".join(f"{row},\n" for row in [*rows, ",2.png,x,east"]).replace("east,", "east")
    )
    (folder / "text.png").write_text("I am no image")
    damage(save(folder / "cut.png"))
    save(folder / "large.png", toy_images(1, size=9)[0])
    with pytest.raises(InputError) as caught:
        import_any(tmp_path / "out.h5", path)
    message = str(caught.value)
    for expected in (
        f"{path}: 8 things must be put right",
        "the id 'a' stands there 2 times",
        f"the file {folder / '1.png'} stands there 2 times",
        "row 8 (h): no path",
        "row 9 (2.png): no id",
        "row 9 (2.png): ra: found 'east', expected a number",
        "absent.png: there is no such file",
        "text.png: not an image (JPEG, PNG, TIFF, ",
        "cut.png: ",
        "the images have 2 sizes: 8 px (",
        "9 px (1, such as",
        "large.png); say to which all are to be brought: `-S download.image_size=8`",
    ):
        assert expected in message, message
    assert not (tmp_path / "out.h5").exists()


def test_a_long_list_is_cut(tmp_path: Path) -> None:
    path = make_catalogue(tmp_path, "id,path,label\n" + "".join(f"{row},no{row}.png,x\n" for row in range(50)))
    with pytest.raises(
        InputError, match=r"(?s)50 things must be put right:.*no39\.png: there is no such file\n  … and 10 more$"
    ):
        import_any(tmp_path / "out.h5", path)


FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "an empty class": (lambda folder: (folder / "Ring").mkdir(), r"Ring: no images \(\.jpg.*\) in this class folder"),
    "no image in a class": (lambda folder: save(folder / "R" / "a.png").rename(folder / "R" / "a.gif"), "R: no images"),
    "an image outside": (lambda folder: save(folder / "stray.png"), r"stray\.png: stands outside of the class folders"),
    "one level too deep": (lambda folder: save(folder / "spiral" / "train" / "a.png"), "train: a folder in a class folder"),
    "two formats of one name": (lambda folder: save(folder / "spiral" / "0.jpg"), "the id 'spiral/0' stands there 2 times"),
    "one file linked twice": (
        lambda folder: (folder / "spiral" / "again.png").symlink_to(folder / "spiral" / "0.png"),
        r"the file .*spiral/0\.png stands there 2 times",
    ),
    "a link to nowhere": (
        lambda folder: (folder / "spiral" / "gone.png").symlink_to(folder / "absent"),
        r"gone\.png: there is no such file",
    ),
    "a folder named like an image": (
        lambda folder: (folder / "spiral" / "a.png").mkdir(),
        r"a\.png: a folder in a class folder",
    ),
    "16 bits": (lambda folder: save(folder / "spiral" / "a.png", np.zeros((SIZE, SIZE), np.uint16)), "pixels of the kind I;16"),
    "float": (lambda folder: save(folder / "spiral" / "a.tif", np.zeros((SIZE, SIZE), np.float32)), "pixels of the kind F"),
    "transparent": (
        lambda folder: save(folder / "spiral" / "a.png", np.full((SIZE, SIZE, 4), 254, np.uint8)),
        "transparent pixels; save it without an alpha channel",
    ),
    "several pages": (
        lambda folder: save(folder / "spiral" / "a.tif", save_all=True, append_images=[Image.fromarray(IMAGES[1])]),
        "several pictures in one file",
    ),
    "another format": (
        lambda folder: save(folder / "spiral" / "a.png", format="GIF"),
        r"a\.png: not an image \(JPEG, PNG, TIFF, ",
    ),
    "two sizes": (
        lambda folder: [save(folder / "spiral" / f"{index}.png", IMAGES[index][2:]) for index in range(6)],
        r"the images have 2 sizes: 6 px \(6, such as .*0.png\), 8 px \(3, such as",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), FOLDERS.values(), ids=FOLDERS)
def test_a_folder_that_is_not_right_is_refused(tmp_path: Path, spoil: Callable[[Path], object], message: str) -> None:
    folder = make_folder(tmp_path / "in")
    spoil(folder)
    with pytest.raises(InputError, match=rf"things must be put right:\n(?s:.*){message}"):
        import_any(tmp_path / "out.h5", folder)
    assert not (tmp_path / "out.h5").exists()


def test_an_image_of_too_many_pixels_is_not_unpacked(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "in")
    Image.new("1", (5000, 5000)).save(folder / "spiral" / "huge.png")
    with pytest.raises(InputError, match=r"huge\.png: 5000 x 5000 px, more than the limit of 16,777,216 pixels"):
        import_any(tmp_path / "out.h5", folder)


CATALOGUES: dict[str, tuple[str, str]] = {
    "other columns": ("id,file,class\n", "found the columns id, file, class; expected is path"),
    "no ids": (
        "path,label\n0.png,a\n",
        "found the columns path, label, missing id; a catalogue has id, path and may have label",
    ),
    "a column twice": ("id,path,Label,label\na,0.png,x,y\n", "the column label stands there twice"),
    "nothing": ("", "found the columns none"),
    "no rows": ("id,path,label\n", "no images .* in it"),
    "a comma too many": ("id,path,label\na,b,0.png,x\n", r"row 1 \(\): found 4 cells, the header names 3"),
    "257 classes": (
        "id,path,label\n" + "".join(f"{row},0.png,c{row}\n" for row in range(257)),
        "found 257 classes, at most 256",
    ),
    "a forbidden name": ("id,path,label\na,0\0.png,x\n", "the path holds a zero byte"),
}


@pytest.mark.parametrize(("text", "message"), CATALOGUES.values(), ids=CATALOGUES)
def test_a_catalogue_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        import_any(tmp_path / "out.h5", make_catalogue(tmp_path, text))


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", b"id,path,label\n\xff,0.png,x\n"), ("a.parquet", b"PAR1 not"), ("a.csv", None), ("b", None)]
)
def test_a_file_that_is_no_catalogue_is_refused(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(
        InputError, match=r"there is no file or folder|cannot be read as Parquet|is not UTF-8; save the table as"
    ):
        import_any(tmp_path / "out.h5", tmp_path / name)


def test_a_body_cut_off_behind_a_sound_header_is_found_while_it_is_read(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "in")
    damage(folder / "spiral" / "0.png")
    damage(folder / "spiral" / "2.png")
    with pytest.raises(InputError, match=r"(?s)2 things must be put right:\n  .*spiral/0\.png: .*\n  .*spiral/2\.png: "):
        import_any(tmp_path / "out.h5", folder)
    assert not (tmp_path / "out.h5").exists()


def test_the_error_for_a_missing_digest_is_what_the_command_prints(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "in")
    right = digest(folder)
    with pytest.raises(InputError, match=rf"download\.sha256: no digest is set, but .*-S download\.sha256={right}`"):
        import_any(tmp_path / "out.h5", folder, sha256=None)
    import_any(tmp_path / "out.h5", folder, sha256=right)


def test_the_digest_covers_all_that_reaches_the_file_and_not_where_the_images_stand(tmp_path: Path) -> None:
    text = "id,path,label,ra\na,0.png,x,1\nb,1.png,x,\n"
    right = digest(make_catalogue(tmp_path / "a", text))
    assert digest(make_catalogue(tmp_path / "b", text + "\n")) == right
    for index, other in enumerate(
        (text.replace("x,1", "y,1"), text.replace("x,1", "x,2"), text.replace("a,0", "c,0"), text.replace("1.png", "2.png"))
    ):
        assert digest(make_catalogue(tmp_path / f"c{index}", other)) != right


def test_one_catalogue_has_one_digest_however_it_is_written(tmp_path: Path) -> None:
    text = "id,path,label,ra\na,0.png,x,1\nb,1.png,y,--\n"
    right = digest(make_catalogue(tmp_path, text.replace("--", "")))
    for name, content in {
        "semicolons.csv": text.replace(",", ";").encode(),
        "tabs.tsv": text.replace(",", "\t").encode("utf-16"),
        "header.csv": ("# " + text.replace("label", "Label")).encode(),
    }.items():
        (tmp_path / name).write_bytes(content)
        assert digest(tmp_path / name) == right, name
    table = Table.read(tmp_path / "catalogue.csv", format="ascii.csv", converters={"ra": float})
    for name, kind in {"c.fits": "fits", "c.vot": "votable", "c.ecsv": "ascii.ecsv"}.items():
        table.write(tmp_path / name, format=kind)
        assert digest(tmp_path / name) == right, name


def test_the_digest_is_that_of_the_first_version(tmp_path: Path) -> None:
    """It stands in people's params.yaml."""
    for index in range(3):
        (tmp_path / f"{index}.png").write_bytes(bytes([index]))
    (tmp_path / "c.csv").write_text("id,path,label,ra,pxscale\n007,0.png, spiral ,10.5,\nb,1.png,3.0,NaN,0.262\nc,2.png,3,,\n")
    assert digest(tmp_path / "c.csv") == "d5eaeccac0c0c247779e7468a08f3dec9e7e0e9aaea0cbc7f660a16785372fbc"


def test_labels_that_are_no_classes_are_one_message(tmp_path: Path) -> None:
    text = "id,path,label\n" + "".join(f"{n},{n}.png,{label}\n" for n, label in enumerate(["Round", "round", "nan"]))
    path = make_catalogue(tmp_path, text)
    for call in (digest, lambda path: import_any(tmp_path / "out.h5", path)):
        with pytest.raises(InputError) as caught:
            call(path)
        message = str(caught.value)
        assert "the labels name 2 classes: 'Round' (1), 'round' (1)" in message
        assert "differ in case, spaces or leading zeros only" in message


@pytest.mark.parametrize("cell", ["", "nan", "None", "N/A", "NA", "null", "--"])
def test_a_galaxy_whose_label_is_unknown_is_imported_without(tmp_path: Path, cell: str) -> None:
    galaxies = import_into(
        tmp_path / "out.h5", make_catalogue(tmp_path, f"id,path,label\na,0.png,x\nb,1.png,{cell}\nc,2.png,y\n")
    )
    assert (galaxies.labels.tolist(), galaxies.class_names) == ([0, UNLABELLED, 1], ("x", "y"))


def test_a_catalogue_without_any_label_is_imported_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    galaxies = import_into(tmp_path / "out.h5", make_catalogue(tmp_path, "id,path\na,0.png\nb,1.png\n"))
    assert (galaxies.labels.tolist(), galaxies.class_names) == ([UNLABELLED] * 2, ())
    assert "has no column label: none of its galaxies has one" in caplog.text


@pytest.mark.parametrize("name", ["unlabelled", "Unlabeled"])
def test_a_folder_called_unlabelled_is_no_class(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    for place in ("spiral/0", "spiral/1", f"{name}/0", "elliptical/0"):
        save(tmp_path / "in" / f"{place}.png")
    with caplog.at_level(logging.INFO):
        galaxies = import_into(tmp_path / "out.h5", tmp_path / "in")
    assert galaxies.class_names == ("elliptical", "spiral")
    assert dict(zip(galaxies.ids.to_pylist(), galaxies.labels.tolist(), strict=True))[f"{name}/0"] == UNLABELLED
    assert "1 galaxies stand in a folder called unlabelled" in caplog.text


def test_doubtful_classes_are_said_and_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = make_catalogue(tmp_path, "id,path,label\na,0.png,x\nb,1.png,x\nc,2.png,y\n")
    with caplog.at_level(logging.WARNING):
        galaxies = import_into(tmp_path / "out.h5", path)
    assert galaxies.class_names == ("x", "y")
    assert "the labels name 2 classes: 'x' (2), 'y' (1)" in caplog.text
    assert "'y' (1): one galaxy cannot both train a class and test it" in caplog.text


def test_a_whole_number_that_was_a_float_is_the_same_class(tmp_path: Path) -> None:
    galaxies = import_into(tmp_path / "out.h5", make_catalogue(tmp_path, "id,path,label\na,0.png,3.0\nb,1.png,3\nc,2.png,5.\n"))
    assert galaxies.class_names == ("3", "5")
    assert galaxies.labels.tolist() == [0, 0, 1]


def test_a_digest_of_what_is_incomplete_is_refused(tmp_path: Path) -> None:
    path = make_catalogue(tmp_path, "id,path,label\na,0.png,x\nb,no.png,x\nb,nor.png,x\n")
    with pytest.raises(InputError, match=r"(?s)the id 'b' stands there 2 times.*no\.png: there is no such file.*nor\.png: "):
        digest(path)


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    """The 512 px images of this catalogue are 236 MB when they are unpacked."""
    save(tmp_path / "in.png", np.zeros((512, 512, 3), np.uint8))
    names = [f"copy {index}.png" for index in range(300)]
    for name in names:
        os.link(tmp_path / "in.png", tmp_path / name)
    path = make_catalogue(tmp_path, "id,path,label\n" + "".join(f"{name},{name},x\n" for name in names))
    process = psutil.Process()
    before, largest = process.memory_info().rss, 0
    checked = check_images(read_catalogue(path), OPTIONS)
    for index, _ in enumerate(_blocks(checked.catalogue, FieldOfView(512, None, None, None), OPTIONS)):
        if index:
            largest = max(largest, process.memory_info().rss - before)
    assert largest < 100 << 20
