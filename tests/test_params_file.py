"""One key of params.yaml is changed, and nothing else."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from galaxies.errors import InputError
from galaxies.params_file import Value, change_section
from tests.pipelines import REPOSITORY


def test_single_lines_change_and_comments_stay(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    before = (REPOSITORY / "params.yaml").read_text()
    path.write_text(before)
    digest = "a" * 64
    changed = change_section(path, "download", {"source": "images", "path": "my galaxies/ä", "sha256": digest, "seed": 0})
    assert changed == ["download.source: images", 'download.path: "my galaxies/ä"', f"download.sha256: {digest}"]
    old, new = before.splitlines(), path.read_text().splitlines()
    differing = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
    assert len(differing) == 3
    for a, b in differing:
        assert a.split("#", 1)[1] == b.split("#", 1)[1]
    assert differing[0][0].index("#") == differing[0][1].index("#")
    assert YAML(typ="safe").load(path.read_text())["download"]["path"] == "my galaxies/ä"
    assert change_section(path, "download", {"source": "images"}) == []


def test_the_newlines_of_windows_stay(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(b"a: # top\r\n  x: 1 # c\r\n  l:\r\n  - 1\r\n  - 2\r\nb:\r\n  y: 2\r\n")
    assert change_section(path, "a", {"x": 2, "l": ["p"], "new": None}) == ["a.x: 2", "a.l: [p]", "a.new: null"]
    assert path.read_bytes() == b"a: # top\r\n  new: null\r\n  x: 2 # c\r\n  l: [p]\r\nb:\r\n  y: 2\r\n"


@pytest.mark.parametrize(
    "value",
    ["1" * 64, "12" * 31 + "e5", "null", "true", "a: b", "# no", "", "~", 7, 0.5, True, None, "x'y\"z", ["a+b", "1"], []],
)
def test_every_value_comes_back_as_it_is(tmp_path: Path, value: Value) -> None:
    """A digest of digits alone would be a number."""
    path = tmp_path / "params.yaml"
    path.write_text("# top\ndownload: # here\n  a: 1 # one\n\n  # of b\n  b: text\nsplit:\n  a: 5\n")
    for key in ("a", "b", "c"):
        change_section(path, "download", {key: "first # of all"})
        change_section(path, "download", {key: value})
    found = YAML(typ="safe").load(path.read_text())
    assert found == {"download": dict.fromkeys("abc", value), "split": {"a": 5}}
    for comment in ("# top", "# here", "# one", "  # of b"):
        assert comment in path.read_text()


def test_a_key_of_a_section_in_a_section_changes(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    text = "sweep:\n  a: 1\ntrain:\n  a: 1 # one\n  sweep: # of\n\n    # all\n    b: []\n"
    text += "    a: # x\n    - 1\n  c: 3\nlast:\n  a: 1\n"
    path.write_text(text)
    assert change_section(path, "train", {"sweep.a": [], "sweep.b": [], "none.a": []}) == ["train.sweep.a: []"]
    assert path.read_text() == text.replace("    a: # x\n    - 1\n", "    a: [] # x\n")
    assert change_section(path, "train", {"sweep.d": "new"}) == ["train.sweep.d: new"]
    assert YAML(typ="safe").load(path.read_text())["train"]["sweep"] == {"d": "new", "b": [], "a": []}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"There is no params\.yaml in .*run from the repository's top folder"),
        ("split: {}\n", "has no section `download`"),
        ("download: [\n", "is not valid YAML"),
        ("download: {source: a}\n", "(?s)is written in an unusual way; change it by hand:.*source: images"),
        ("download: &here\n  source: a\nsplit: *here\n", "is written in an unusual way"),
    ],
)
def test_a_file_that_cannot_be_changed_line_by_line_is_left_alone(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "params.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        change_section(path, "download", {"source": "images"})
    assert text is None or path.read_text() == text


@pytest.mark.parametrize(
    "layers",
    [
        "  layers: # of all\n  - a\n  - b+c\n",
        "  layers: # of all\n    - a\n    - b+c\n",
        "  layers: [a, # of all\n    b+c]\n",
        "  layers:  # of all\n                   # nodes\n  - a\n  # of b\n  - b+c\n",
    ],
)
def test_a_list_in_several_lines_as_dvc_writes_it_is_one_value(tmp_path: Path, layers: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"extract:\n{layers}  # of the pool\n  pool: avg\n")
    assert change_section(path, "extract", {"layers": ["d"]}) == ["extract.layers: [d]"]
    assert YAML(typ="safe").load(path.read_text()) == {"extract": {"layers": ["d"], "pool": "avg"}}
    assert "# of all" in path.read_text()
    assert "  # of the pool\n" in path.read_text()
