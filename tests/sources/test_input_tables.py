"""Catalogues as people write them: other separators, other cases, other types."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from galaxies.errors import InputError
from galaxies.sources.input_tables import read_rows


@pytest.mark.parametrize(
    "content",
    [
        "path,pxscale\na.jpg,0.262\n",
        "path;pxscale\na.jpg;0.262\n",
        "path\tpxscale\na.jpg\t0.262\n",
        "\ufeffpath, pxscale\r\na.jpg, 0.262\r\n",
        'Path,"PXSCALE "\n"a.jpg",0.262\n',
        "pxscale,other,path\n0.262,1;2;3,a.jpg,too many\n",
        "path,pxscale\n\na.jpg,0.262\n\n",
    ],
    ids=["comma", "semicolon", "tab", "BOM and spaces", "case", "order", "empty lines"],
)
def test_a_table_is_read_however_it_is_written(tmp_path: Path, content: str) -> None:
    """A column ` pxscale` or `Pxscale` that is passed over would give other predictions, silently."""
    (tmp_path / "c.csv").write_bytes(content.encode())
    assert list(read_rows(tmp_path / "c.csv")) == [{"path": "a.jpg", "pxscale": "0.262"}]


def test_a_short_row_lacks_its_last_columns(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,path,ra\n1\n2,b.jpg\n")
    assert list(read_rows(tmp_path / "c.csv")) == [{"id": "1"}, {"id": "2", "path": "b.jpg"}]


@pytest.mark.parametrize("name", ["c.csv", "c.parquet"])
def test_a_column_that_stands_there_twice_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "c.csv").write_text("id,path,Path\n1,a.jpg,b.jpg\n")
    pq.write_table(pa.table({"path": ["a.jpg"], "Path": ["b.jpg"]}), tmp_path / "c.parquet")
    with pytest.raises(InputError, match=f"{name}: the column path stands there twice"):
        list(read_rows(tmp_path / name))


VALUES: list[tuple[Any, str]] = [(b"a.jpg  ", "a.jpg"), (b"\xe9", "\udce9"), (1.0, "1"), (0.5, "0.5"), (float("nan"), "")]
VALUES += [(None, ""), (7, "7"), (" x ", "x"), (float("inf"), "inf")]


@pytest.mark.parametrize(("value", "text"), VALUES)
def test_parquet_values_become_the_text_that_a_csv_would_hold(tmp_path: Path, value: Any, text: str) -> None:
    pq.write_table(pa.table({"Path": ["a.jpg"], "label": [value]}), tmp_path / "c.parquet")
    assert list(read_rows(tmp_path / "c.parquet")) == [{"path": "a.jpg", "label": text}]
