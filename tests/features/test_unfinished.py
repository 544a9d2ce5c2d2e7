"""Unfinished work is listed by key, age and size, and deleted when asked for, never under a process that writes it."""

import os
import time
from pathlib import Path

import pytest
import zarr

from galaxies.__main__ import main
from galaxies.errors import InputError
from galaxies.features.scratch import SCRATCH_FOLDER, open_scratch
from galaxies.features.store import Layout
from galaxies.features.unfinished import delete_unfinished, format_unfinished, list_unfinished
from tests.toys import toy_identity

LAYOUT = Layout((1, 8), "float32", compressed=False)


def begin(root: Path, catalog: str, *, days_ago: float = 0) -> str:
    """Finish one of three shards and return the key."""
    identity = toy_identity(catalog=catalog)
    with open_scratch(root, identity.pass_key) as scratch:
        scratch.begin({"device": "cpu"})
        layer = scratch.open_layer("layer4", num_rows=1100, layout=LAYOUT, identity=identity)
        array = zarr.open_group(layer.path, mode="r+")["activations"]
        assert isinstance(array, zarr.Array)
        array[:512] = 1
        layer.finish_shard("c.0.0.0")
        folder = scratch.folder
    then = time.time() - days_ago * 86_400
    for path in (folder / "record.json", folder / "layer4.shards", folder):
        os.utime(path, (then, then))
    return folder.name


def test_unfinished_work_is_listed_with_age_size_and_progress(tmp_path: Path) -> None:
    new, old = begin(tmp_path, "a"), begin(tmp_path, "b", days_ago=9)
    first, second = list_unfinished(tmp_path)
    assert (first.key, second.key) == (old, new)
    assert first.age_days == pytest.approx(9, abs=0.1)
    assert first.num_bytes > 512 * 8 * 4
    assert first.shards == {"layer4": (1, 3)}
    heading, line, _ = format_unfinished([first, second])
    assert heading.split()[:3] == ["key", "age", "size"]
    assert line.startswith(old)
    assert "9.0 days" in line
    assert line.endswith("layer4 1/3")


def test_nothing_unfinished_is_said(tmp_path: Path) -> None:
    assert list(format_unfinished(list_unfinished(tmp_path))) == ["No unfinished extraction."]


def test_work_is_deleted_by_key_and_by_age(tmp_path: Path) -> None:
    keys = [begin(tmp_path, "a"), begin(tmp_path, "b", days_ago=9), begin(tmp_path, "c")]
    assert list(delete_unfinished(tmp_path, keys=[], older_than_days=5)) == [f"{keys[1]} deleted"]
    assert list(delete_unfinished(tmp_path, keys=[keys[0][:8]], older_than_days=None)) == [f"{keys[0]} deleted"]
    assert [path.name for path in (tmp_path / SCRATCH_FOLDER).iterdir()] == [keys[2]]


def test_work_in_progress_is_never_deleted(tmp_path: Path) -> None:
    key = begin(tmp_path, "a", days_ago=9)
    with open_scratch(tmp_path, toy_identity(catalog="a").pass_key):
        assert list(delete_unfinished(tmp_path, keys=[key], older_than_days=5)) == [f"{key} is in use and was left alone"]
        (listed,) = list_unfinished(tmp_path)
        assert listed.is_locked
        assert listed.shards == {"layer4": (1, 3)}


def test_a_key_that_fits_none_or_several_deletes_nothing(tmp_path: Path) -> None:
    key = begin(tmp_path, "a")
    for wrong in ("nothing", ""):
        with pytest.raises(InputError, match=rf"--delete '{wrong}' fits 0 keys.*{key}"):
            list(delete_unfinished(tmp_path, keys=[wrong], older_than_days=None))
    assert len(list_unfinished(tmp_path)) == 1


def test_the_command_lists_and_deletes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = begin(tmp_path, "a")
    monkeypatch.chdir(tmp_path)
    assert main(["scratch"]) == 0
    assert key in capsys.readouterr().out
    assert main(["scratch", "--delete", key]) == 0
    assert capsys.readouterr().out == f"{key} deleted\nNo unfinished extraction.\n"
