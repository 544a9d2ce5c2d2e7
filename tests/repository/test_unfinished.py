"""Unfinished work is listed with its age, size and progress, and deleted when asked for, never under a process that writes."""

import os
import time
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from galaxies.__main__ import main
from galaxies.errors import InputError
from galaxies.features.passes import open_unfinished
from galaxies.features.store import Layout
from galaxies.features.unfinished import UnfinishedStore
from galaxies.heads.checkpoint import open_checkpoint
from galaxies.repository.unfinished import delete_unfinished, format_unfinished, list_unfinished, list_unfinished_in
from galaxies.sources.transfer import RemoteFile, download
from galaxies.work_folder import Kind, open_work_folder, work_path, work_path_beside
from tests.servers import cut, refuse, serve
from tests.toys import EXTRACT_WORK, toy_identity, write_toy_shard

LAYOUT = Layout((1, 8), "float32", compressed=False)


def begin(root: Path, catalog: str, *, days_ago: float = 0) -> str:
    """Finish one of three shards and return the key."""
    identity = toy_identity(catalog=catalog)
    with open_unfinished(root, identity) as stores:
        stores.begin({"device": "cpu"})
        layer = stores["layer4"]
        layer.open(num_rows=1100, layout=LAYOUT, identity=identity)
        write_toy_shard(layer, 0, np.ones((512, *LAYOUT.row_shape), LAYOUT.dtype))
        folder = stores.work.path
    then = time.time() - days_ago * 86_400
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (then, then))
    return folder.name


def test_unfinished_work_is_listed_with_age_size_and_progress(tmp_path: Path) -> None:
    new, old = begin(tmp_path, "a"), begin(tmp_path, "b", days_ago=9)
    first, second = list_unfinished(tmp_path)
    assert (first.key, second.key) == (old, new)
    assert first.age_days == pytest.approx(9, abs=0.1)
    assert first.num_bytes > 512 * 8 * 4
    assert first.progress == "layer4 1/3 shards"
    heading, line, _ = format_unfinished([first, second])
    assert heading.split() == ["kind", "key", "age", "size", "progress"]
    assert line.split()[:2] == ["extract", old]
    assert "9.0 days" in line
    assert line.endswith("layer4 1/3 shards")


def test_nothing_unfinished_is_said(tmp_path: Path) -> None:
    assert list(format_unfinished(list_unfinished(tmp_path))) == ["No unfinished work."]


def delete(root: Path, *keys: str, older_than_days: float | None = None) -> list[str]:
    return list(delete_unfinished(list_unfinished(root), keys=keys, older_than_days=older_than_days))


def test_work_is_deleted_by_key_and_by_age(tmp_path: Path) -> None:
    keys = [begin(tmp_path, "a"), begin(tmp_path, "b", days_ago=9), begin(tmp_path, "c")]
    assert delete(tmp_path, older_than_days=5) == [f"{keys[1]} deleted"]
    assert delete(tmp_path, keys[0][:8]) == [f"{keys[0]} deleted"]
    assert [work.key for work in list_unfinished(tmp_path)] == [keys[2]]
    assert not list((tmp_path / EXTRACT_WORK).glob(f"{keys[0]}*"))


def test_work_in_progress_is_never_deleted(tmp_path: Path) -> None:
    key = begin(tmp_path, "a", days_ago=9)
    with open_unfinished(tmp_path, toy_identity(catalog="a")):
        assert delete(tmp_path, key, older_than_days=5) == [f"{key} is in use and was left alone"]
        (listed,) = list_unfinished(tmp_path)
        assert listed.is_in_use
        assert list(format_unfinished([listed]))[1].endswith("layer4 1/3 shards  (at work)")


def test_a_key_that_fits_none_or_several_deletes_nothing(tmp_path: Path) -> None:
    key = begin(tmp_path, "a")
    for wrong in ("nothing", ""):
        with pytest.raises(InputError, match=rf"--delete '{wrong}' fits 0 keys.*{key}"):
            delete(tmp_path, wrong)
    assert len(list_unfinished(tmp_path)) == 1


def test_work_of_all_stages_is_listed_with_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    begin(tmp_path, "a", days_ago=9)
    with open_checkpoint(tmp_path, {}, {}) as checkpoint:
        checkpoint.save({"epoch": 7}, is_last=True)
    with serve() as server:
        server.answers = [cut(5000), refuse(404)]
        remote = RemoteFile(server.url, "0" * 64, print, "")
        with pytest.raises(InputError, match="404"):
            download(remote, tmp_path / "out", work=work_path(tmp_path, "download", {}), pause_s=0)
    found = list_unfinished(tmp_path)
    assert [line.split()[0] for line in format_unfinished(found) if line.endswith("(finished)")] == ["train"]
    assert {work.kind: work.progress for work in found} == {
        "extract": "layer4 1/3 shards",
        "train": "epoch 7",
        "download": "4.9 KiB of 293.0 KiB",
    }


def test_work_of_every_kind_that_has_only_begun_is_listed_too(tmp_path: Path) -> None:
    kinds: tuple[Kind, ...] = get_args(Kind)
    for kind in kinds:
        with open_work_folder(work_path(tmp_path, kind, {})) as work:
            work.begin({})
    assert {work.kind: work.progress for work in list_unfinished(tmp_path)} == {
        "extract": "no shards",
        "train": "no epochs",
        "download": "nothing yet",
        "cutouts": "0 cutouts, 0 positions without",
    }


def test_predictions_are_listed_where_their_results_will_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_work_folder(work_path_beside(tmp_path / "mine.csv")) as work:
        work.begin({})
        store = UnfinishedStore(work.path, "layer4")
        store.open(num_rows=1100, layout=LAYOUT, identity=toy_identity())
        write_toy_shard(store, 1, np.ones((512, 1, 8), np.float32))
    assert list_unfinished(tmp_path) == []
    (listed,) = list_unfinished_in(tmp_path)
    assert (listed.kind, listed.key) == ("predict", "mine.csv")
    assert main(["scratch", "--in", str(tmp_path)]) == 0
    assert "layer4 1/3 shards" in capsys.readouterr().out
    assert main(["scratch", "--in", str(tmp_path), "--delete", "mine"]) == 0
    assert not any(tmp_path.iterdir())


def test_the_command_lists_and_deletes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = begin(tmp_path, "a")
    monkeypatch.chdir(tmp_path)
    assert main(["scratch"]) == 0
    assert key in capsys.readouterr().out
    assert main(["scratch", "--delete", key]) == 0
    assert capsys.readouterr().out == f"{key} deleted\nNo unfinished work.\n"
