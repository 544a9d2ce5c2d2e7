"""Tables as people and their programs write them, all through one reader."""

import bz2
import gzip
import lzma
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.coordinates import Angle
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table

from galaxies.errors import InputError
from galaxies.tables.table import open_table

ID = 1237648721789256391
"""Of a galaxy of SDSS: more digits than a float holds."""


def read(path: Path) -> list[dict[str, str]]:
    return [dict(row.cells) for row in open_table(path).rows()]


WRITTEN: dict[str, bytes] = {
    "comma": b"path,pxscale\na.jpg,0.262\n",
    "semicolon": b"path;pxscale\na.jpg;0.262\n",
    "tab": b"path\tpxscale\na.jpg\t0.262\n",
    "bar": b"path|pxscale\na.jpg|0.262\n",
    "blanks": b"path   pxscale\na.jpg    0.262  \n",
    "BOM and spaces": "\ufeffpath, pxscale\r\na.jpg, 0.262\r\n".encode(),
    "case": b'Path,"PXSCALE "\n"a.jpg",0.262\n',
    "order": b"pxscale,other,path\n0.262,1;2;3,a.jpg\n",
    "empty lines": b"path,pxscale\n\na.jpg,0.262\n\n",
    "old Mac": b"path,pxscale\ra.jpg,0.262\r",
    "comment": b"#path,pxscale\na.jpg,0.262\n",
    "comment and blanks": b"# path pxscale\n# str float\na.jpg 0.262\n",
    "comments before": b'# made by "someone\n# at night, twice\npath,pxscale\na.jpg,0.262\n',
    "spreadsheet": b"sep=;\npath;pxscale\na.jpg;0.262\n",
    "separator at the end": b"path,pxscale,\na.jpg,0.262,\n",
    "UTF-16": "path\tpxscale\na.jpg\t0.262\n".encode("utf-16"),
    "UTF-16 the other way round": b"\xfe\xff" + "path\tpxscale\na.jpg\t0.262\n".encode("utf-16-be"),
    "UTF-16 without BOM": "path;pxscale\na.jpg;0.262\n".encode("utf-16-le"),
    "UTF-32": "path,pxscale\na.jpg,0.262\n".encode("utf-32"),
    "gzip": gzip.compress(b"path,pxscale\na.jpg,0.262\n"),
    "bzip2": bz2.compress(b"path,pxscale\na.jpg,0.262\n"),
    "xz": lzma.compress(b"path,pxscale\na.jpg,0.262\n"),
}


@pytest.mark.parametrize("content", WRITTEN.values(), ids=WRITTEN)
def test_a_csv_is_read_however_it_is_written(tmp_path: Path, content: bytes) -> None:
    """A column ` pxscale` or `Pxscale` that is passed over would give other predictions, silently."""
    (tmp_path / "c.csv").write_bytes(content)
    assert read(tmp_path / "c.csv") == [{"path": "a.jpg", "pxscale": "0.262"}]


def test_a_cell_in_quotation_marks_may_hold_anything(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text('"id","other\nname",path\n"a, b","#\n",c.jpg\n"#d",,"e ""f"".jpg"\n')
    assert read(tmp_path / "c.csv") == [{"id": "a, b", "path": "c.jpg"}, {"id": "#d", "path": 'e "f".jpg'}]


def test_a_row_that_is_commented_out_under_a_plain_header_is_not_taken_for_a_galaxy(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text('id,path\n#1,a.jpg\n2,b.jpg\n# 3,"c\nd.jpg"\n"#4",e.jpg\n')
    rows = list(open_table(tmp_path / "c.csv").rows())
    assert [row.cells["id"] for row in rows] == ["", "2", "", "#4"]
    assert rows[0].problem is not None
    assert rows[0].problem.startswith("found '#1' at its beginning: is the row commented out? Delete it, or quote")
    assert [row.problem is None for row in rows] == [False, True, False, True]


def test_numbers_of_32_bits_are_the_shortest_that_they_may_be(tmp_path: Path) -> None:
    labels = np.array([0.1, 3, np.nan], np.float32)
    pq.write_table(pa.table({"path": ["a", "b", "c"], "label": pa.array(labels)}), tmp_path / "c.parquet")
    Table({"path": ["a", "b", "c"], "label": labels}).write(tmp_path / "c.fits")
    for name in ("c.parquet", "c.fits"):
        assert [row.get("label") for row in read(tmp_path / name)] == ["0.1", "3", ""]


def test_whole_decimals_are_whole_numbers(tmp_path: Path) -> None:
    """Databases export NUMERIC(20, 1); they have lost nothing."""
    ids = pa.array([Decimal("12345678901234567890.0"), Decimal("2.5"), None], pa.decimal128(21, 1))
    pq.write_table(pa.table({"id": ids, "path": ["a", "b", "c"]}), tmp_path / "c.parquet")
    assert [row["id"] for row in read(tmp_path / "c.parquet")] == ["12345678901234567890", "2.5", ""]


PAIRS = [("RAJ2000", "DEJ2000"), ("ALPHA_J2000", "DELTA_J2000"), ("Right_Ascension", "Declination"), ("raMean", "decMean")]


@pytest.mark.parametrize("pair", PAIRS)
def test_positions_are_known_by_other_names_too(tmp_path: Path, pair: tuple[str, str]) -> None:
    """Passed over, they would have each galaxy of a mosaic be its middle."""
    table = Table({"path": ["a"], pair[0]: [12.5], pair[1]: [-0.5]})
    table[pair[0]].unit, table[pair[1]].unit = units.deg, units.rad
    table.write(tmp_path / "c.fits")
    table.write(tmp_path / "c.ecsv")
    table.write(tmp_path / "c.vot", format="votable")
    for name in ("c.fits", "c.ecsv", "c.vot"):
        (row,) = open_table(tmp_path / name).with_positions().rows()
        assert (float(row.cells["ra"]), float(row.cells["dec"])) == pytest.approx((12.5, np.degrees(-0.5)))


def test_ra_and_dec_come_first_and_those_of_1950_are_none(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("path,ra,dec,RAJ2000,DEJ2000\na,1,2,3,4\n")
    (row,) = open_table(tmp_path / "c.csv").with_positions().rows()
    assert (row.cells["ra"], row.cells["dec"]) == ("1", "2")
    (tmp_path / "c.csv").write_text("path,RA1950,DE1950\na,1,2\n")
    (row,) = open_table(tmp_path / "c.csv").with_positions().rows()
    assert set(row.cells) == {"path"}


@pytest.mark.parametrize("header", ["ra,RAJ2000,DEJ2000", "RAJ2000,DEJ2000,ra", "dec,raj2000,dej2000"])
def test_a_position_is_of_one_system(tmp_path: Path, header: str) -> None:
    """The ra beside RAJ2000 and DEJ2000 was paired with DEJ2000."""
    cells = {"ra": "12.5", "dec": "12.5", "raj2000": "150.1", "dej2000": "2.2"}
    row_text = ",".join(cells[name.lower()] for name in header.split(","))
    (tmp_path / "c.csv").write_text(f"path,{header}\na,{row_text}\n")
    (row,) = open_table(tmp_path / "c.csv").with_positions().rows()
    assert (row.cells["ra"], row.cells["dec"]) == ("150.1", "2.2")


def test_a_short_row_lacks_its_last_columns(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("ra,id,path\n1\n2,7,b.jpg\n")
    assert read(tmp_path / "c.csv") == [{"id": "", "path": "", "ra": "1"}, {"id": "7", "path": "b.jpg", "ra": "2"}]


@pytest.mark.parametrize("end", ["", "  "])
def test_a_short_row_between_blanks_is_not_trusted(tmp_path: Path, end: str) -> None:
    """An empty cell between blanks is not to be seen: what follows it became ra and dec."""
    rows = ("g0 a.fits 0.1 150.1 2.2 17.1", "g1 a.fits 150.1 2.2 17.3", "g2 a.fits nan 150.1 2.2 17.3")
    (tmp_path / "c.csv").write_text("id path redshift ra dec mag\n" + "".join(f"{row}{end}\n" for row in rows))
    whole, short, unknown = open_table(tmp_path / "c.csv").rows()
    assert short.problem == "found 5 cells, the header names 6: write an empty cell as nan"
    assert set(short.cells.values()) == {""}
    assert whole.problem is unknown.problem is None
    assert whole.cells["ra"] == unknown.cells["ra"] == "150.1"


def test_a_long_row_is_not_trusted(tmp_path: Path) -> None:
    """A path with a comma in it, unquoted, would shift all that follows it by one column."""
    (tmp_path / "c.csv").write_text("id,path,ra\n1,a,b.jpg,10\n2,c.jpg,20\n3,d.jpg,30,,\n")
    first, second, third = open_table(tmp_path / "c.csv").rows()
    assert first.problem == "found 4 cells, the header names 3: quote a cell that holds the separator"
    assert set(first.cells.values()) == {""}
    assert (second.problem, second.cells["ra"]) == (None, "20")
    assert third.problem is None


COLUMNS = {"id": [ID, ID + 1], "path": ["a.jpg", "b.jpg"], "label": ["Round", "--"], "ra": [1.5, np.nan], "other": [1, 2]}


def write_parquet(path: Path) -> None:
    pq.write_table(pa.table(COLUMNS), path)


def write_fits(path: Path) -> None:
    """Put the table behind another one, as surveys do."""
    first = fits.BinTableHDU(Table({"version": [1]}))
    fits.HDUList([fits.PrimaryHDU(), first, fits.BinTableHDU(Table(COLUMNS))]).writeto(path)


def write_ascii_fits(path: Path) -> None:
    columns = [fits.Column(name.upper(), kind, array=COLUMNS[name]) for name, kind in (("path", "A5"), ("label", "A5"))]
    columns += [fits.Column("RA", "E12.5", array=[1.5, np.nan]), fits.Column("ID", "I20", array=COLUMNS["id"])]
    fits.HDUList([fits.PrimaryHDU(), fits.TableHDU.from_columns(columns)]).writeto(path)


TYPED: dict[str, Callable[[Path], Any]] = {
    "c.parquet": write_parquet,
    "c.fits": write_fits,
    "ascii.fits": write_ascii_fits,
    "c.fits.gz": lambda path: Table(COLUMNS).write(path, format="fits"),
    "c.vot": lambda path: Table(COLUMNS).write(path, format="votable"),
    "binary.vot": lambda path: Table(COLUMNS).write(path, format="votable", tabledata_format="binary2"),
    "c.xml": lambda path: Table(COLUMNS).write(path, format="votable"),
    "c.ecsv": lambda path: Table(COLUMNS).write(path, format="ascii.ecsv"),
    "ecsv.csv": lambda path: Table(COLUMNS).write(path, format="ascii.ecsv", delimiter=","),
}


@pytest.mark.parametrize("name", TYPED)
def test_a_table_with_types_gives_what_a_csv_would(tmp_path: Path, name: str) -> None:
    TYPED[name](tmp_path / name)
    assert read(tmp_path / name) == [
        {"id": str(ID), "path": "a.jpg", "ra": "1.5", "label": "Round"},
        {"id": str(ID + 1), "path": "b.jpg", "ra": "", "label": ""},
    ]


MISSING: dict[str, Callable[[Path], Any]] = {
    "c.parquet": lambda path: pq.write_table(pa.table({"id": pa.array([ID, None], pa.int64()), "path": ["a", None]}), path),
    "c.fits": lambda path: missing().write(path),
    "c.vot": lambda path: missing().write(path, format="votable"),
    "c.ecsv": lambda path: missing().write(path),
}


def missing() -> Table:
    return Table({"id": MaskedColumn([ID, 0], mask=[False, True]), "path": MaskedColumn(["a", "x"], mask=[False, True])})


@pytest.mark.parametrize("name", MISSING)
def test_an_id_stays_whole_beside_a_missing_one(tmp_path: Path, name: str) -> None:
    """One missing id made floats of the whole column, and eleven galaxies got the same one."""
    MISSING[name](tmp_path / name)
    assert read(tmp_path / name) == [{"id": str(ID), "path": "a"}, {"id": "", "path": ""}]


@pytest.mark.parametrize("name", ["c.parquet", "c.fits", "c.vot", "c.ecsv", "c.csv"])
def test_ids_that_were_floats_are_refused(tmp_path: Path, name: str) -> None:
    table = Table({"id": [float(ID), float(ID + 256)], "path": ["a", "b"]})
    if name == "c.parquet":
        pq.write_table(pa.table({"id": [float(ID), None], "path": ["a", "b"]}), tmp_path / name)
    else:
        table.write(tmp_path / name, format="votable" if name == "c.vot" else None)
    with pytest.raises(InputError, match=rf"{name}: .*the id .* was a floating-point number"):
        read(tmp_path / name)


def test_ids_of_32_bits_are_refused_where_they_are_no_longer_whole(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": pa.array([16777217.0], pa.float32()), "path": ["a"]}), tmp_path / "c.parquet")
    with pytest.raises(InputError, match="the id 16777216 was a floating-point number"):
        read(tmp_path / "c.parquet")


@pytest.mark.parametrize("name", ["c.fits", "c.vot", "c.ecsv"])
def test_angles_in_another_unit_become_degrees_and_arcsec(tmp_path: Path, name: str) -> None:
    """A right ascension in hours would otherwise be a place 15 times nearer to zero, silently."""
    table = Table({"path": ["a"], "ra": [12.5], "dec": [0.5], "pxscale": [0.004]})
    table["ra"].unit, table["dec"].unit, table["pxscale"].unit = units.hour, units.rad, units.arcmin / units.pix
    table.write(tmp_path / name, format="votable" if name == "c.vot" else None)
    (row,) = read(tmp_path / name)
    assert [float(row[column]) for column in ("ra", "dec", "pxscale")] == pytest.approx([187.5, np.degrees(0.5), 0.24])


def test_an_angle_of_astropy_keeps_its_unit(tmp_path: Path) -> None:
    QTable({"path": ["a"], "ra": Angle([12.5], "hourangle"), "dec": [30] * units.arcmin}).write(tmp_path / "c.ecsv")
    (row,) = read(tmp_path / "c.ecsv")
    assert [float(row["ra"]), float(row["dec"])] == pytest.approx([187.5, 0.5])


def test_a_unit_that_is_none_of_an_angle_is_refused(tmp_path: Path) -> None:
    Table({"path": ["a"], "ra": [12.5] * units.m}).write(tmp_path / "c.fits")
    with pytest.raises(InputError, match=r"c\.fits: the column ra has the unit m, expected deg"):
        read(tmp_path / "c.fits")


@pytest.mark.parametrize("name", ["c.csv", "c.parquet", "c.fits", "c.vot"])
def test_a_column_that_stands_there_twice_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "c.csv":
        path.write_text("id,label,Label\n1,a,b\n")
    elif name == "c.parquet":
        pq.write_table(pa.table({"label": ["a"], "Label": ["b"]}), path)
    elif name == "c.fits":
        columns = [fits.Column("label", "A1", array=["a"]), fits.Column("LABEL", "A1", array=["b"])]
        fits.BinTableHDU.from_columns(columns).writeto(path)
    else:
        Table({"label": ["a"], "Label": ["b"]}).write(path, format="votable")
    with pytest.raises(InputError, match=f"{name}: the column label stands there twice; keep the one that is meant"):
        open_table(path)


VALUES: list[tuple[Any, str]] = [(b"a.jpg  ", "a.jpg"), (b"\xe9", "\udce9"), (1.0, "1"), (0.5, "0.5"), (float("nan"), "")]
VALUES += [(None, ""), (7, "7"), (" x ", "x"), (float("inf"), "inf"), (True, "True"), ("NULL", "")]


@pytest.mark.parametrize(("value", "text"), VALUES)
def test_parquet_values_become_the_text_that_a_csv_would_hold(tmp_path: Path, value: Any, text: str) -> None:
    pq.write_table(pa.table({"Path": ["a.jpg"], "label": [value]}), tmp_path / "c.parquet")
    assert read(tmp_path / "c.parquet") == [{"path": "a.jpg", "label": text}]


@pytest.mark.parametrize("name", ["c.parquet", "c.fits"])
def test_a_column_of_arrays_is_refused(tmp_path: Path, name: str) -> None:
    if name == "c.parquet":
        pq.write_table(pa.table({"path": ["a"], "label": [[1, 2]]}), tmp_path / name)
    else:
        Table({"path": ["a"], "label": [[1, 2]]}).write(tmp_path / name)
    with pytest.raises(InputError, match=rf"{name}: the column label holds .*, expected one value a row"):
        read(tmp_path / name)


BROKEN: dict[str, tuple[str, bytes, str]] = {
    "no quotation mark at the end": ("c.csv", b'path\n"a\n', r"c\.csv: after line 2: not CSV"),
    "a header without end": ("c.csv", b'"path\na\n', r"c\.csv: the header is not CSV"),
    "not Parquet": ("c.parquet", b"PAR1 not really", r"c\.parquet cannot be read as Parquet"),
    "not FITS": (
        "c.fits",
        b"SIMPLE  =                    T" + b" " * 50,
        r"c\.fits: .*no table|cannot be read as a FITS table",
    ),
    "not XML": ("c.vot", b"<VOTABLE><RESOURCE", r"c\.vot cannot be read as a VOTable"),
    "a page of the web": ("c.vot", b"<html><body>Log in</body></html>", r"c\.vot cannot be read as a VOTable"),
    "not ECSV": ("c.ecsv", b"# %ECSV 1.0\n# ---\n# datatype: [}\nid\n1\n", r"c\.ecsv cannot be read as ECSV"),
    "cut off": (
        "c.csv.gz",
        gzip.compress(b"path\n" + b"a.jpg\n" * 9999)[:50],
        r"c\.csv\.gz: not text, or cut off|cannot be read",
    ),
    "half a letter": ("c.csv", "path\na".encode("utf-16")[:-1], r"c\.csv: not text, or cut off"),
}


@pytest.mark.parametrize(("name", "content", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(tmp_path / name)


@pytest.mark.parametrize("name", [*TYPED, "gzip.csv"])
def test_changed_bytes_are_an_error_or_a_table_and_nothing_else(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "gzip.csv":
        path.write_bytes(gzip.compress(b"id,path\n1,a\n2,b\n"))
    else:
        TYPED[name](path)
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(60):
        changed = bytearray(content[: int(generator.integers(1, len(content) + 1))] if generator.random() < 0.3 else content)
        for place in generator.integers(0, len(changed), 5):
            changed[place] = int(generator.integers(256))
        path.write_bytes(changed)
        with suppress(InputError):
            read(path)


def test_a_missing_file_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_table(tmp_path / "absent.csv")


def test_a_large_table_is_not_held_in_memory(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,path\n" + "".join(f"{number},{number}.jpg\n" for number in range(50_000)))
    pq.write_table(pa.table({"id": list(range(50_000)), "path": [f"{n}.jpg" for n in range(50_000)]}), tmp_path / "c.parquet")
    for name in ("c.csv", "c.parquet"):
        tracemalloc.start()
        assert sum(1 for _ in open_table(tmp_path / name).rows()) == 50_000
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 6 << 20, name
