"""Work in progress is continued where it is whole, made again where it is not, and published in one step."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from galaxies.errors import InputError
from galaxies.features.passes import UnfinishedStores, describe_stores, discard_unfinished, open_unfinished
from galaxies.features.store import Layout, create_store
from galaxies.work_folder import is_in_use, work_path
from tests.toys import toy_identity, tree_bytes, write_toy_shard

LAYOUT = Layout((1, 8), "float32", compressed=False)
IDENTITY = toy_identity()
CONDITIONS = {"device": "cpu"}
NUM_ROWS = 1100  # Three shards, the last one short.
OTHER_RECORD = '{"key": "c0ffee", "num_shards": 3, "files": {}}'
FOLDER = work_path(Path(), "extract", IDENTITY.pass_json())
SHARDS = {0: slice(0, 512), 1: slice(512, 1024), 2: slice(1024, 1100)}


def write_shards(stores: UnfinishedStores, shards: tuple[int, ...] = (0, 1, 2)) -> None:
    stores.begin(CONDITIONS)
    layer = stores["layer4"]
    layer.open(num_rows=NUM_ROWS, layout=LAYOUT, identity=IDENTITY)
    for shard in shards:
        num_rows = SHARDS[shard].stop - SHARDS[shard].start
        write_toy_shard(layer, shard, np.full((num_rows, *LAYOUT.row_shape), shard + 1, LAYOUT.dtype))


def finished(folder: Path) -> list[bool]:
    with open_unfinished(folder, IDENTITY) as stores:
        stores.begin(CONDITIONS)
        layer = stores["layer4"]
        layer.open(num_rows=NUM_ROWS, layout=LAYOUT, identity=IDENTITY)
        return [layer.has_shard(f"c.{shard}.0.0") for shard in SHARDS]


def store_folder(folder: Path) -> Path:
    return folder / FOLDER / "layer4.zarr"


def test_finished_shards_are_found_again(tmp_path: Path) -> None:
    with open_unfinished(tmp_path, IDENTITY) as stores:
        write_shards(stores, (0, 2))
        assert not stores["layer4"].is_complete
    assert finished(tmp_path) == [True, False, True]


@pytest.mark.parametrize("damage", ["truncated", "changed", "gone", "of another shard"])
def test_a_damaged_shard_is_made_again_and_the_others_are_kept(tmp_path: Path, damage: str) -> None:
    with open_unfinished(tmp_path, IDENTITY) as stores:
        write_shards(stores)
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
    with open_unfinished(tmp_path, IDENTITY) as stores:
        write_shards(stores)
    digest = store_folder(tmp_path).with_name("layer4.shards") / "c.1.0.0"
    if damage == "gone":
        digest.unlink()
    else:
        digest.write_text({"empty": "", "of another shard": digest.with_name("c.0.0.0").read_text()}[damage])
    assert finished(tmp_path) == [True, False, True]


@pytest.mark.parametrize("damage", ["missing", "empty", "not JSON", "of another shape", "of another version"])
def test_without_a_readable_record_the_work_starts_anew(tmp_path: Path, damage: str) -> None:
    with open_unfinished(tmp_path, IDENTITY) as stores:
        write_shards(stores)
    record = store_folder(tmp_path).with_name("layer4.record")
    if damage == "missing":
        record.unlink()
    else:
        record.write_text({"empty": "", "not JSON": "{", "of another shape": "[1]", "of another version": OTHER_RECORD}[damage])
    assert finished(tmp_path) == [False, False, False]


def test_edited_attributes_start_the_layer_anew(tmp_path: Path) -> None:
    with open_unfinished(tmp_path, IDENTITY) as stores:
        write_shards(stores)
    metadata = store_folder(tmp_path) / "zarr.json"
    metadata.write_text(metadata.read_text().replace("c0ffee", "decaff"))
    assert finished(tmp_path) == [False, False, False]


def test_a_run_under_other_conditions_starts_anew_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_unfinished(tmp_path, IDENTITY) as stores:
        write_shards(stores, (0,))
        stores.begin({"device": "cuda"})
        layer = stores["layer4"]
        layer.open(num_rows=NUM_ROWS, layout=LAYOUT, identity=IDENTITY)
        assert not layer.has_shard("c.0.0.0")
    assert "starts anew" in caplog.text


def test_a_finished_layer_outlives_other_conditions(tmp_path: Path) -> None:
    with open_unfinished(tmp_path, IDENTITY) as stores:
        write_shards(stores)
        stores.begin({"device": "cuda"})
        assert stores["layer4"].is_complete


def test_publishing_leaves_nothing_but_the_store(tmp_path: Path) -> None:
    out = tmp_path / "features" / "layer4.zarr"
    leftover = out.parent / ".layer4.zarr.killed.publishing"
    leftover.mkdir(parents=True)
    with open_unfinished(tmp_path, IDENTITY) as stores:
        write_shards(stores)
        partial = stores["layer4"].path / "activations" / "c.1.0.0.1234.partial"
        partial.write_bytes(b"Zarr leaves these after a kill")
        stores["layer4"].publish(out)
        expected = tree_bytes(stores["layer4"].path)
    assert tree_bytes(out) == expected
    assert list(out.parent.iterdir()) == [out]


def test_publishing_again_after_dvc_deleted_the_out_computes_nothing(tmp_path: Path) -> None:
    """A kill while DVC hashes makes it delete the out; the work copy must still be there."""
    out = tmp_path / "features" / "layer4.zarr"
    with open_unfinished(tmp_path, IDENTITY) as stores:
        write_shards(stores)
        stores["layer4"].publish(out)
    first = tree_bytes(out)
    for path in sorted(out.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with open_unfinished(tmp_path, IDENTITY) as stores:
        assert stores["layer4"].is_complete
        stores["layer4"].publish(out)
    assert tree_bytes(out) == first


def test_an_incomplete_store_is_not_published(tmp_path: Path) -> None:
    with open_unfinished(tmp_path, IDENTITY) as stores:
        write_shards(stores, (0, 1))
        with pytest.raises(InputError, match="Run the same command again"):
            stores["layer4"].publish(tmp_path / "layer4.zarr")
    assert not (tmp_path / "layer4.zarr").exists()


def test_a_shard_damaged_after_the_last_check_is_not_published(tmp_path: Path) -> None:
    with open_unfinished(tmp_path, IDENTITY) as stores:
        write_shards(stores)
    (store_folder(tmp_path) / "activations" / "c.0.0.0").write_bytes(b"")
    with (
        open_unfinished(tmp_path, IDENTITY) as stores,
        pytest.raises(InputError, match="was damaged after it was finished"),
    ):
        stores["layer4"].publish(tmp_path / "layer4.zarr")


def test_a_read_only_published_store_can_be_discarded(tmp_path: Path) -> None:
    with open_unfinished(tmp_path, IDENTITY) as stores:
        write_shards(stores)
        stores["layer4"].publish(tmp_path / "layer4.zarr")
    for path in (tmp_path / "layer4.zarr").rglob("*"):
        if path.is_file():
            path.chmod(0o444)
    discard_unfinished(tmp_path, IDENTITY)
    assert not any((tmp_path / FOLDER).parent.iterdir())
    assert len(tree_bytes(tmp_path / "layer4.zarr")) == 5


def test_discarding_one_layer_keeps_the_others_of_the_pass(tmp_path: Path) -> None:
    other = toy_identity("layer3")
    with open_unfinished(tmp_path, IDENTITY) as stores:
        write_shards(stores)
        stores["layer3"].open(num_rows=NUM_ROWS, layout=LAYOUT, identity=other)
    discard_unfinished(tmp_path, IDENTITY)
    assert not store_folder(tmp_path).exists()
    assert store_folder(tmp_path).with_name("layer3.zarr").exists()


def test_a_folder_in_use_is_not_discarded(tmp_path: Path) -> None:
    with open_unfinished(tmp_path, IDENTITY) as stores:
        write_shards(stores)
        discard_unfinished(tmp_path, IDENTITY)
        assert store_folder(tmp_path).exists()


def test_a_second_process_waits_for_the_first(tmp_path: Path) -> None:
    events: list[str] = []

    def second() -> None:
        with open_unfinished(tmp_path, IDENTITY):
            events.append("second")

    with open_unfinished(tmp_path, IDENTITY):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        events.append("first")
    thread.join(10)
    assert events == ["first", "second"]


def test_a_lock_on_a_discarded_folder_is_not_mistaken_for_the_new_one(tmp_path: Path) -> None:
    """Whoever waits on the lock of a folder that is thrown away must not go on beside the next process."""
    with open_unfinished(tmp_path, IDENTITY) as stores:
        write_shards(stores)
        thread = threading.Thread(target=finished, args=(tmp_path,))
        thread.start()
        thread.join(0.2)
        stores.work.discard()
    thread.join(10)
    assert not is_in_use(tmp_path / FOLDER)
    assert json.loads(store_folder(tmp_path).with_name("layer4.record").read_text())["num_shards"] == 3


def test_progress_is_told_by_layer(tmp_path: Path) -> None:
    with open_unfinished(tmp_path, IDENTITY) as stores:
        stores.begin(CONDITIONS)
        assert describe_stores(tmp_path / FOLDER) == "no shards"
        write_shards(stores, (0, 2))
    assert describe_stores(tmp_path / FOLDER) == "layer4 2/3 shards"


def test_a_pass_fills_the_layers_that_are_nowhere_yet(tmp_path: Path) -> None:
    identities = {layer: toy_identity(layer) for layer in ("layer1", "layer2", "layer3", "layer4")}
    identities |= {"other pass": toy_identity("other pass", catalog="decaff")}
    places = {layer: tmp_path / f"{layer}.zarr" for layer in identities}
    create_store(places["layer1"], num_rows=1, layout=LAYOUT, identity=identities["layer1"])
    create_store(places["layer2"], num_rows=1, layout=LAYOUT, identity=toy_identity("layer2", catalog="decaff"))
    with open_unfinished(tmp_path, IDENTITY) as stores:
        write_shards(stores)  # of layer4
        assert list(stores.choose_layers("layer3", identities, places)) == ["layer2", "layer3"]
        assert list(stores.choose_layers("layer1", identities, places)) == ["layer1", "layer2", "layer3"]
        assert stores.choose_layers("layer4", identities, places) == {}
