"""Work in progress is continued where it is whole, made again where it is not, and published in one step."""

import fcntl
import json
import threading
from pathlib import Path

import pytest
import zarr

from galaxies.errors import InputError
from galaxies.features.scratch import SCRATCH_FOLDER, Scratch, discard_scratch, open_scratch
from galaxies.features.store import Layout
from tests.toys import toy_identity, tree_bytes

LAYOUT = Layout((1, 8), "float32", compressed=False)
IDENTITY = toy_identity()
CONDITIONS = {"device": "cpu"}
NUM_ROWS = 1100  # Three shards, the last one short.
OLD_RECORD = '{"conditions": {"device": "cpu"}, "layers": {"layer4": {"key": "c0ffee", "num_shards": 3, "files": {}}}}'
SHARDS = {0: slice(0, 512), 1: slice(512, 1024), 2: slice(1024, 1100)}


def write_shards(scratch: Scratch, shards: tuple[int, ...] = (0, 1, 2)) -> None:
    scratch.begin(CONDITIONS)
    layer = scratch.open_layer("layer4", num_rows=NUM_ROWS, layout=LAYOUT, identity=IDENTITY)
    array = zarr.open_group(layer.path, mode="r+")["activations"]
    assert isinstance(array, zarr.Array)
    for shard in shards:
        array[SHARDS[shard]] = shard + 1
        layer.finish_shard(f"c.{shard}.0.0")


def finished(folder: Path) -> list[bool]:
    with open_scratch(folder, IDENTITY.pass_key) as scratch:
        scratch.begin(CONDITIONS)
        layer = scratch.open_layer("layer4", num_rows=NUM_ROWS, layout=LAYOUT, identity=IDENTITY)
        return [layer.has_shard(f"c.{shard}.0.0") for shard in SHARDS]


def store_folder(folder: Path) -> Path:
    return folder / SCRATCH_FOLDER / IDENTITY.pass_key[:32] / "layer4.zarr"


def test_finished_shards_are_found_again(tmp_path: Path) -> None:
    with open_scratch(tmp_path, IDENTITY.pass_key) as scratch:
        write_shards(scratch, (0, 2))
        assert not scratch.is_complete("layer4")
    assert finished(tmp_path) == [True, False, True]


@pytest.mark.parametrize("damage", ["truncated", "changed", "gone", "of another shard"])
def test_a_damaged_shard_is_made_again_and_the_others_are_kept(tmp_path: Path, damage: str) -> None:
    with open_scratch(tmp_path, IDENTITY.pass_key) as scratch:
        write_shards(scratch)
    shard = store_folder(tmp_path) / "activations" / "c.1.0.0"
    content = shard.read_bytes()
    if damage == "gone":
        shard.unlink()
    else:
        other = shard.with_name("c.0.0.0").read_bytes()
        changed = {"truncated": content[:-1], "changed": b"x" + content[1:], "of another shard": other}
        shard.write_bytes(changed[damage])
    assert finished(tmp_path) == [True, False, True]


@pytest.mark.parametrize("damage", ["gone", "empty", "of another shard"])
def test_a_shard_without_its_digest_is_made_again(tmp_path: Path, damage: str) -> None:
    with open_scratch(tmp_path, IDENTITY.pass_key) as scratch:
        write_shards(scratch)
    digest = store_folder(tmp_path).with_name("layer4.shards") / "c.1.0.0"
    if damage == "gone":
        digest.unlink()
    else:
        digest.write_text({"empty": "", "of another shard": digest.with_name("c.0.0.0").read_text()}[damage])
    assert finished(tmp_path) == [True, False, True]


@pytest.mark.parametrize("damage", ["missing", "empty", "not JSON", "of another shape", "of another version"])
def test_without_a_readable_record_the_work_starts_anew(tmp_path: Path, damage: str) -> None:
    with open_scratch(tmp_path, IDENTITY.pass_key) as scratch:
        write_shards(scratch)
    record = store_folder(tmp_path).parent / "record.json"
    if damage == "missing":
        record.unlink()
    else:
        record.write_text({"empty": "", "not JSON": "{", "of another shape": "[1]", "of another version": OLD_RECORD}[damage])
    assert finished(tmp_path) == [False, False, False]


def test_edited_attributes_start_the_layer_anew(tmp_path: Path) -> None:
    with open_scratch(tmp_path, IDENTITY.pass_key) as scratch:
        write_shards(scratch)
    metadata = store_folder(tmp_path) / "zarr.json"
    metadata.write_text(metadata.read_text().replace("c0ffee", "decaff"))
    assert finished(tmp_path) == [False, False, False]


def test_a_run_under_other_conditions_starts_anew_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_scratch(tmp_path, IDENTITY.pass_key) as scratch:
        write_shards(scratch, (0,))
        scratch.begin({"device": "cuda"})
        layer = scratch.open_layer("layer4", num_rows=NUM_ROWS, layout=LAYOUT, identity=IDENTITY)
        assert not layer.has_shard("c.0.0.0")
    assert "starts anew" in caplog.text


def test_a_finished_layer_outlives_other_conditions(tmp_path: Path) -> None:
    with open_scratch(tmp_path, IDENTITY.pass_key) as scratch:
        write_shards(scratch)
        scratch.begin({"device": "cuda"})
        assert scratch.is_complete("layer4")


def test_publishing_leaves_nothing_but_the_store(tmp_path: Path) -> None:
    out = tmp_path / "features" / "layer4.zarr"
    leftover = out.parent / ".layer4.zarr.killed"
    leftover.mkdir(parents=True)
    with open_scratch(tmp_path, IDENTITY.pass_key) as scratch:
        write_shards(scratch)
        partial = scratch.store_path("layer4") / "activations" / "c.1.0.0.1234.partial"
        partial.write_bytes(b"Zarr leaves these after a kill")
        scratch.publish("layer4", out)
        expected = tree_bytes(scratch.store_path("layer4"))
    assert tree_bytes(out) == expected
    assert list(out.parent.iterdir()) == [out]


def test_publishing_again_after_dvc_deleted_the_out_computes_nothing(tmp_path: Path) -> None:
    """A kill while DVC hashes makes it delete the out; the scratch copy must still be there."""
    out = tmp_path / "features" / "layer4.zarr"
    with open_scratch(tmp_path, IDENTITY.pass_key) as scratch:
        write_shards(scratch)
        scratch.publish("layer4", out)
    first = tree_bytes(out)
    for path in sorted(out.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with open_scratch(tmp_path, IDENTITY.pass_key) as scratch:
        assert scratch.is_complete("layer4")
        scratch.publish("layer4", out)
    assert tree_bytes(out) == first


def test_an_incomplete_store_is_not_published(tmp_path: Path) -> None:
    with open_scratch(tmp_path, IDENTITY.pass_key) as scratch:
        write_shards(scratch, (0, 1))
        with pytest.raises(InputError, match="Run the same command again"):
            scratch.publish("layer4", tmp_path / "layer4.zarr")
    assert not (tmp_path / "layer4.zarr").exists()


def test_a_shard_damaged_after_the_last_check_is_not_published(tmp_path: Path) -> None:
    with open_scratch(tmp_path, IDENTITY.pass_key) as scratch:
        write_shards(scratch)
    (store_folder(tmp_path) / "activations" / "c.0.0.0").write_bytes(b"")
    with (
        open_scratch(tmp_path, IDENTITY.pass_key) as scratch,
        pytest.raises(InputError, match="was damaged after it was finished"),
    ):
        scratch.publish("layer4", tmp_path / "layer4.zarr")


def test_a_read_only_published_store_can_be_discarded(tmp_path: Path) -> None:
    with open_scratch(tmp_path, IDENTITY.pass_key) as scratch:
        write_shards(scratch)
        scratch.publish("layer4", tmp_path / "layer4.zarr")
    for path in (tmp_path / "layer4.zarr").rglob("*"):
        if path.is_file():
            path.chmod(0o444)
    discard_scratch(tmp_path, IDENTITY)
    assert not any((tmp_path / SCRATCH_FOLDER).iterdir())
    assert len(tree_bytes(tmp_path / "layer4.zarr")) == 5


def test_discarding_one_layer_keeps_the_others_of_the_pass(tmp_path: Path) -> None:
    other = toy_identity("layer3")
    with open_scratch(tmp_path, IDENTITY.pass_key) as scratch:
        write_shards(scratch)
        scratch.open_layer("layer3", num_rows=NUM_ROWS, layout=LAYOUT, identity=other)
    discard_scratch(tmp_path, IDENTITY)
    assert not store_folder(tmp_path).exists()
    assert store_folder(tmp_path).with_name("layer3.zarr").exists()


def test_a_folder_in_use_is_not_discarded(tmp_path: Path) -> None:
    with open_scratch(tmp_path, IDENTITY.pass_key) as scratch:
        write_shards(scratch)
        discard_scratch(tmp_path, IDENTITY)
        assert store_folder(tmp_path).exists()


def test_a_second_process_waits_for_the_first(tmp_path: Path) -> None:
    events: list[str] = []

    def second() -> None:
        with open_scratch(tmp_path, IDENTITY.pass_key):
            events.append("second")

    with open_scratch(tmp_path, IDENTITY.pass_key):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        events.append("first")
    thread.join(10)
    assert events == ["first", "second"]


def test_a_lock_on_a_discarded_folder_is_not_mistaken_for_the_new_one(tmp_path: Path) -> None:
    """Whoever waits on the lock of a folder that is thrown away must not go on beside the next process."""
    folder = tmp_path / SCRATCH_FOLDER / IDENTITY.pass_key[:32]
    with open_scratch(tmp_path, IDENTITY.pass_key) as scratch:
        write_shards(scratch)
        thread = threading.Thread(target=finished, args=(tmp_path,))
        thread.start()
        thread.join(0.2)
        scratch.discard("layer4")
    thread.join(10)
    with (folder / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert set(json.loads((folder / "record.json").read_text())["layers"]) == {"layer4"}
