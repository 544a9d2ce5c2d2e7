"""Inputs are listed in one order, with everything that is known of them; what cannot be right is listed with its error."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table

from galaxies.errors import InputError
from galaxies.sources.inputs import list_inputs
from tests.toys import toy_images, write_toy_galaxies


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_a_folder_is_walked_in_order_and_only_for_images(tmp_path: Path) -> None:
    touch(tmp_path, "b.jpg", "a.PNG", "deep/c.fits", "notes.txt", ".hidden.jpg", "Z.tif", ".git/d.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "deep" / "loop").symlink_to(tmp_path)
    found = list(list_inputs(str(tmp_path)))
    assert [entry.id for entry in found] == ["Z", "a", "b", "deep/c"]
    assert found[3].files == (tmp_path / "deep/c.fits",)


def test_the_three_bands_of_a_galaxy_are_one_input(tmp_path: Path) -> None:
    touch(tmp_path, "a-g.fits", "a-r.fits", "a-z.fits", "b-g.fits", "b-z.fits", "c.z.fits.gz", "d_G.fit", "d_R.fit", "d_Z.fit")
    found = {entry.id: [file.name for file in entry.files] for entry in list_inputs(str(tmp_path))}
    assert found == {
        "a": ["a-g.fits", "a-r.fits", "a-z.fits"],
        "b-g": ["b-g.fits"],
        "b-z": ["b-z.fits"],
        "c.z.fits": ["c.z.fits.gz"],
        "d": ["d_G.fit", "d_R.fit", "d_Z.fit"],
    }


def test_a_pattern_lists_what_it_matches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "b1.jpg", "b0.jpg", "c.jpg", "sub/b2.jpg")
    monkeypatch.chdir(tmp_path)
    assert [entry.id for entry in list_inputs("b*.jpg")] == ["b0", "b1"]
    assert [entry.id for entry in list_inputs("**/b*.jpg")] == ["b0", "b1", "sub/b2"]
    assert [entry.id for entry in list_inputs(f"{tmp_path}/b*.jpg")] == [f"{tmp_path}/b0", f"{tmp_path}/b1"]
    with pytest.raises(InputError, match=r"x\*\.jpg: no images"):
        list(list_inputs("x*.jpg"))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_catalogue_gives_what_is_known(tmp_path: Path, kind: str) -> None:
    table = pd.DataFrame(
        {
            "id": ["007", ""],
            "path": ["a.jpg", "sub/b.jpg"],
            "ra": [1.5, None],
            "pxscale": [0.262, None],
            "label": ["spiral", None],
        }
    )
    path = tmp_path / f"catalogue.{kind}"
    table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
    first, second = list_inputs(str(path))
    assert (first.id, first.files, first.ra, first.pxscale, first.label) == ("007", (tmp_path / "a.jpg",), 1.5, 0.262, "spiral")
    assert (second.id, second.label, second.error) == ("sub/b", None, None)
    assert second.ra != second.ra


def test_separate_bands_stand_in_three_columns(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,path_g,path_r,path_z\nm31,1.fits,2.fits,3.fits\nm32,1.fits,,3.fits\n")
    whole, partial = list_inputs(str(tmp_path / "c.csv"))
    assert [file.name for file in whole.files] == ["1.fits", "2.fits", "3.fits"]
    assert partial.error == "the catalogue gives no path"


@pytest.mark.parametrize(
    ("column", "value", "note"),
    [
        ("ra", "east", "ra: found 'east', expected a number: the position is unknown"),
        ("dec", "95", "dec: found '95', expected degrees from -90 to 90, or sexagesimal: the position is unknown"),
        ("ra", "187,7", "ra: found '187,7' with a decimal comma, expected a decimal point (187.7): the position is unknown"),
    ],
)
def test_a_position_that_is_none_costs_a_note_and_not_the_prediction(
    tmp_path: Path, column: str, value: str, note: str
) -> None:
    (tmp_path / "c.csv").write_text(f"path;{column}\na.jpg;{value}\n")
    (entry,) = list_inputs(str(tmp_path / "c.csv"))
    assert (entry.error, entry.notes) == (None, (note,))
    assert np.isnan(getattr(entry, column))


def test_what_is_unknown_is_unknown_in_every_column_and_sexagesimal_is_read(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(
        "# id,path,ra,dec,pxscale,label\nNone,a.jpg,--,nan,NULL,N/A\n7,b.jpg,12:30:00,-12:30:00,0.262,3.0\n8,NA,1,2,3,x\n"
    )
    unknown, known, lost = list_inputs(str(tmp_path / "c.csv"))
    assert (unknown.id, unknown.label, unknown.error, unknown.notes) == ("a", None, None, ())
    assert np.isnan([unknown.ra, unknown.dec, unknown.pxscale]).all()
    assert (known.id, known.ra, known.dec, known.label) == ("7", 187.5, -12.5, "3")
    assert (lost.id, lost.error) == ("8", "the catalogue gives no path")


@pytest.mark.parametrize("name", ["c.fits", "c.fits.gz", "c.vot", "c.ecsv", "c.tsv"])
def test_tables_of_astronomy_are_catalogues(tmp_path: Path, name: str) -> None:
    kind = {"c.vot": "votable", "c.tsv": "ascii.tab"}.get(name)
    Table({"ID": [2**60 + 1], "Path": ["a.jpg"], "RA": [1.5]}).write(tmp_path / name, format=kind)
    (entry,) = list_inputs(str(tmp_path / name))
    assert (entry.id, entry.files, entry.ra) == (str(2**60 + 1), (tmp_path / "a.jpg",), 1.5)


def test_an_image_with_a_table_beside_it_is_an_image(tmp_path: Path) -> None:
    hdus = [fits.PrimaryHDU(np.zeros((9, 9))), fits.BinTableHDU(Table({"path": ["a.jpg"]}))]
    fits.HDUList(hdus).writeto(tmp_path / "image.fits")
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(np.zeros((9, 9), np.int16))]).writeto(tmp_path / "packed.fits.fz")
    for name in ("image.fits", "packed.fits.fz"):
        (entry,) = list_inputs(str(tmp_path / name))
        assert entry.files == (tmp_path / name,)


def test_a_row_with_a_cell_too_many_is_a_row_with_its_reason(tmp_path: Path) -> None:
    """A path with a comma in it shifted all that followed it by one column."""
    (tmp_path / "c.csv").write_text("id,path,ra\n7,a,b.jpg,10\n8,c.jpg,20\n")
    bad, good = list_inputs(str(tmp_path / "c.csv"))
    assert bad.error == "found 4 cells, the header names 3: quote a cell that holds the separator"
    assert (good.error, good.ra) == (None, 20)


def test_a_list_is_a_path_a_line_whatever_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa.jpg\r\n\n  b c.jpg \n\xff.jpg\n")
    found = list(list_inputs(str(tmp_path / "list.txt")))
    assert [file.name for entry in found for file in entry.files] == ["a.jpg", "b c.jpg", "\udcff.jpg"]


def test_a_file_in_the_galaxy10_schema_gives_its_images_and_labels(tmp_path: Path) -> None:
    write_toy_galaxies(tmp_path / "galaxies.h5", toy_images(6))
    found = list(list_inputs(str(tmp_path / "galaxies.h5")))
    assert [(entry.id, entry.index, entry.label) for entry in found[::2]] == [
        ("000000", 0, "class 0"),
        ("000002", 2, "class 1"),
        ("000004", 4, "class 2"),
    ]


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("../secret.jpg", "outside the catalogue's folder"),
        ("/etc/passwd", "outside the catalogue's folder"),
        ("link/secret.jpg", "outside the catalogue's folder"),
        ("link.jpg", "outside the catalogue's folder"),
        ("sub/../..", "outside the catalogue's folder"),
        ("../catalogue-2/a.jpg", "outside the catalogue's folder"),
        ("https://example.org/a.jpg", "is an address"),
        ("a\0.jpg", "zero byte"),
        ("../" + "a" * 5000, "outside the catalogue's folder"),
        ("", "gives no path"),
    ],
)
def test_a_path_that_must_not_be_followed_is_a_row_with_its_reason(tmp_path: Path, path: str, error: str) -> None:
    folder = tmp_path / "catalogue"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    (folder / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "c.csv").write_text(f'id,path\n1,"{path}"\n2,good.jpg\n')
    bad, good = list_inputs(str(folder / "c.csv"))
    assert error in str(bad.error)
    assert good.error is None


def test_links_and_detours_within_the_folder_are_followed(tmp_path: Path) -> None:
    touch(tmp_path, "sub/a.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "sub" / "a.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "sub")
    (tmp_path / "list.txt").write_text("link.jpg\nlink/a.jpg\nsub/../sub/a.jpg\n")
    assert [entry.error for entry in list_inputs(str(tmp_path / "list.txt"))] == [None] * 3


def test_paths_outside_are_followed_where_that_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("../a.jpg\n")
    (entry,) = list_inputs(str(tmp_path / "list.txt"), allow_outside=True)
    assert entry.error is None


@pytest.mark.parametrize(
    ("column", "value"), [("pxscale", "wide"), ("pxscale", "0,262"), ("pxscale", "-1"), ("pxscale", "0"), ("pxscale", "inf")]
)
def test_a_number_that_is_none_is_a_row_with_its_reason(tmp_path: Path, column: str, value: str) -> None:
    (tmp_path / "c.csv").write_text(f"path;{column}\na.jpg;{value}\n")
    (entry,) = list_inputs(str(tmp_path / "c.csv"))
    assert f"{column}: found" in str(entry.error)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.csv", b"name,file\na,b\n", "found the columns name, file; expected is path"),
        ("c.csv", b"", "found the columns none"),
        ("c.csv", b'path\n"a\n', "after line 2: not CSV"),
        ("c.parquet", b"PAR1 not really", "cannot be read as Parquet"),
        ("c.h5", b"not really", "cannot be read as HDF5"),
        ("c.docx", b"?", "found the ending .docx"),
    ],
)
def test_a_catalogue_that_is_none_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(list_inputs(str(tmp_path / name)))
    with pytest.raises(InputError, match="There is no file or folder"):
        list_inputs(str(tmp_path / "missing"))


def test_a_path_longer_than_the_system_allows_is_listed(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a" * 5000 + ".jpg\n")
    assert len(list(list_inputs(str(tmp_path / "list.txt")))) == 1
