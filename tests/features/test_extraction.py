"""Extraction gives the right numbers, in constant memory, whatever interrupts it, and never those of other settings."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from galaxies.backbones.backbone import cut, load_backbone
from galaxies.backbones.forward import ForwardPass, make_forward
from galaxies.backbones.spec import ExtractParams
from galaxies.backbones.transform import prepare, resize
from galaxies.data.catalog import Catalog
from galaxies.data.catalog_images import CatalogImages
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.errors import InputError
from galaxies.features.blocks import BlockPlan, CatalogBlocks, fill_blocks
from galaxies.features.passes import open_unfinished
from galaxies.features.shard_writer import ShardWriter
from galaxies.features.store import Store, plan_layout
from galaxies.features.unfinished import UnfinishedStore
from galaxies.runtime import Library, RuntimeParams
from tests.toys import (
    EXTRACT,
    EXTRACT_WORK,
    fill,
    identify,
    run_extract,
    toy_catalog,
    toy_images,
    tree_bytes,
    write_toy_catalog,
    write_toy_galaxies,
)

REPOSITORY = Path(__file__).parents[2]
LIBRARIES: tuple[Library, ...] = ("torch", "onnxruntime")


@pytest.mark.parametrize("num_galaxies", [1, 7, 8, 511, 512, 513])
def test_row_i_of_the_store_is_galaxy_i(tmp_path: Path, num_galaxies: int) -> None:
    images = toy_images(num_galaxies)
    features = np.asarray(Store(run_extract(tmp_path, images, layers=("layer1",))["layer1"]).activations)[:, 0]
    backbone = load_backbone(ExtractParams(**EXTRACT).spec, layers=ExtractParams(**EXTRACT).layers)
    picked = [0, num_galaxies // 2, num_galaxies - 1]
    with torch.inference_mode():
        pixels = torch.from_numpy(images[picked]).permute(0, 3, 1, 2)
        expected = cut(backbone.module, ["layer1"])(prepare(pixels, backbone.transform))["layer1"].mean((2, 3))
    np.testing.assert_allclose(features[picked], expected, atol=1e-5, rtol=1e-4)
    assert features.shape == (num_galaxies, 64)


def test_several_layers_of_one_pass_equal_those_of_passes_of_their_own(tmp_path: Path) -> None:
    images = toy_images(20)
    together = run_extract(tmp_path / "both", images, layers=("layer1", "layer3"))
    for layer in ("layer1", "layer3"):
        alone = run_extract(tmp_path / layer, images, layers=(layer,))[layer]
        assert tree_bytes(alone) == tree_bytes(together[layer])


def test_maps_keep_the_shape_of_the_node(tmp_path: Path) -> None:
    images = toy_images(5)
    maps = Store(run_extract(tmp_path / "map", images, pool="map")["layer2"])
    features = np.asarray(Store(run_extract(tmp_path / "avg", images)["layer2"]).activations)[:, 0]
    assert maps.activations.shape == (5, 1, 128, 4, 4)
    assert maps.activations.dtype == np.float16
    np.testing.assert_allclose(np.asarray(maps.activations)[:, 0].mean((2, 3)), features, rtol=1e-3)


def test_a_rate_that_changes_nothing_but_speed_changes_no_identity(tmp_path: Path) -> None:
    images = toy_images(20)
    keys = {Store(run_extract(tmp_path / str(size), images, batch_size=size)["layer2"]).key for size in (3, 8)}
    assert len(keys) == 1


CHANGES: list[dict[str, Any]] = [
    {"backbone": "resnet34"},
    {"seed": 1},
    {"pool": "map"},
    {"views": 8},
    {"image_size": 48},
    {"mean": (0.5, 0.5, 0.5)},
    {"std": (0.5, 0.5, 0.5)},
    {"precision": "bfloat16"},
    {"dtype": "float16"},
    {"version": 2},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_nothing_is_reused_when_a_component_of_the_identity_changes(tmp_path: Path, change: dict[str, Any]) -> None:
    """The older project's cache was keyed by model and layer only."""
    images = toy_images(3)
    run_extract(tmp_path, images)
    catalog = toy_catalog(images)
    params = ExtractParams(**{**EXTRACT, **change})
    identity = identify(params, "layer2", catalog, load_backbone(params.spec, layers=params.layers))
    with open_unfinished(tmp_path, identity) as stores:
        assert not stores["layer2"].is_complete
    with pytest.raises(InputError, match=f"params.{next(iter(change))}"):
        Store(tmp_path / "features" / "layer2.zarr").require(identity)


def test_nothing_is_reused_when_galaxies_weights_or_layer_change() -> None:
    params, images = ExtractParams(**EXTRACT), toy_images(3)
    backbone = load_backbone(params.spec, layers=params.layers)
    identity = identify(params, "layer2", toy_catalog(images), backbone)
    others = [
        identify(params, "layer2", toy_catalog(toy_images(3, seed=1)), backbone),
        identify(params, "layer2", toy_catalog(images[:2]), backbone),
        identify(params, "layer2", toy_catalog(images[::-1]), backbone),
        identify(params, "layer3", toy_catalog(images), backbone),
        replace(identity, weights_digest="of other tensors in a file of the same name"),
    ]
    assert len({other.key for other in [identity, *others]}) == 6


def test_a_cut_at_input_holds_the_resized_images_whatever_the_backbone(tmp_path: Path) -> None:
    images = toy_images(5, size=40)
    store = Store(run_extract(tmp_path, images, layers=("input",), pool="map", views=8)["input"])
    transform = load_backbone(ExtractParams(**EXTRACT).spec, layers=()).transform
    expected = resize(torch.from_numpy(images).permute(0, 3, 1, 2), transform)
    assert store.activations.dtype == np.uint8
    np.testing.assert_array_equal(np.asarray(store.activations)[:, 0], expected)
    changed: list[dict[str, Any]] = [
        {"backbone": "resnet34"},
        {"seed": 1},
        {"pool": "cls"},
        {"views": 1},
        {"dtype": "float32"},
        {"precision": "bfloat16"},
    ]
    for change in changed:
        params = ExtractParams(**{**EXTRACT, "layers": ("input",), **change})
        store.require(identify(params, "input", toy_catalog(images), load_backbone(params.spec, layers=params.layers)))
    params = ExtractParams(**{**EXTRACT, "image_size": 48})
    with pytest.raises(InputError, match=r"params\.image_size.*\n.*transform\.image_size"):
        store.require(identify(params, "input", toy_catalog(images), load_backbone(params.spec, layers=params.layers)))


def test_a_network_of_batchnorm_in_train_mode_writes_nothing(tmp_path: Path) -> None:
    """The older project left BatchNorm in train mode over rows sorted by class: the class signal was normalised away."""
    images, params = toy_images(5), ExtractParams(**EXTRACT)
    write_toy_galaxies(tmp_path / "galaxies.h5", images)
    backbone = load_backbone(params.spec, layers=params.layers)
    catalog = toy_catalog(images)
    identities = {"layer2": identify(params, "layer2", catalog, backbone)}
    for module in backbone.module.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean = module.running_var = None  # Without statistics it takes those of the batch.
    with (
        open_unfinished(tmp_path, identities["layer2"]) as stores,
        pytest.raises(InputError, match="Self-check: activations of layer2 of a galaxy alone and in a batch of 4 differ"),
    ):
        fill(tmp_path, stores, catalog, backbone, identities, runtime=RuntimeParams("cpu", batch_size=8))
    assert not list(tmp_path.rglob("*.zarr"))


def test_images_that_changed_after_the_catalog_was_made_are_refused(tmp_path: Path) -> None:
    images = toy_images(5)
    catalog = toy_catalog(images)
    images[3] += 1
    write_toy_galaxies(tmp_path / "galaxies.h5", images)
    with (
        GalaxyFile(tmp_path / "galaxies.h5") as galaxies,
        pytest.raises(InputError, match=r"galaxy 3 \(row 3\) is not the one"),
    ):
        CatalogImages(galaxies, catalog).read(0, 5)


def test_an_activation_too_large_for_float16_names_the_layer(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"layer conv1, rows 0 to 4: .* does not fit float16.*extract\.dtype=float32"):
        run_extract(tmp_path, toy_images(5), layers=("conv1",), pool="map", std=(1e-7, 1e-7, 1e-7))


def test_a_backbone_that_gives_nan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="NaN or infinity"):
        run_extract(tmp_path, toy_images(5), std=(1e-45, 1e-45, 1e-45))


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_interrupted_run_continues_to_the_same_bytes(tmp_path: Path, library: Library) -> None:
    """The older project lost everything in a crash, and took rows whose sum is zero for rows not computed yet."""
    images = toy_images(1100)
    images[:600] = 0
    runtime: dict[str, Any] = {"library": library, "batch_size": 100}
    expected = tree_bytes(run_extract(tmp_path / "whole", images, layers=("layer1",), **runtime)["layer1"])
    folder = tmp_path / "interrupted"
    write_toy_galaxies(folder / "galaxies.h5", images)
    params = ExtractParams(**{**EXTRACT, "layers": ("layer1",)})
    catalog, backbone = toy_catalog(images), load_backbone(params.spec, layers=params.layers)
    identities = {"layer1": identify(params, "layer1", catalog, backbone)}
    broken = images.copy()
    broken[1030] += 1  # Row 1030 is refused, after two shards.
    write_toy_galaxies(folder / "galaxies.h5", broken)
    with open_unfinished(folder, identities["layer1"]) as stores:
        with pytest.raises(InputError, match="row 1030"):
            fill(folder, stores, catalog, backbone, identities, runtime=RuntimeParams("cpu", library, 100))
        finished = stores["layer1"].path / "activations" / "c.0.0.0"
        first_written = finished.stat().st_mtime_ns
    (folder / "galaxies.h5").unlink()
    assert tree_bytes(run_extract(folder, images, layers=("layer1",), **runtime)["layer1"]) == expected
    assert finished.stat().st_mtime_ns == first_written


def test_a_run_that_another_library_continues_starts_anew_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = toy_images(700)
    expected = {library: run_extract(tmp_path / library, images, library=library)["layer2"] for library in LIBRARIES}
    params = ExtractParams(**EXTRACT)
    catalog, backbone = toy_catalog(images), load_backbone(params.spec, layers=params.layers)
    identities = {"layer2": identify(params, "layer2", catalog, backbone)}
    broken = images.copy()
    broken[600] += 1  # Row 600 is refused, after the first of two shards.
    folder = tmp_path / "changed"
    write_toy_galaxies(folder / "galaxies.h5", broken)
    with open_unfinished(folder, identities["layer2"]) as stores, pytest.raises(InputError, match="row 600"):
        fill(folder, stores, catalog, backbone, identities, runtime=RuntimeParams("cpu", "torch", 8))
    (folder / "galaxies.h5").unlink()
    found = run_extract(folder, images, library="onnxruntime")["layer2"]
    assert "starts anew: forward was 'torch', is 'onnxruntime " in caplog.text
    assert tree_bytes(found) == tree_bytes(expected["onnxruntime"])
    assert Store(found).key == Store(expected["torch"]).key
    features = {library: np.asarray(Store(path).activations) for library, path in expected.items()}
    difference = np.abs(features["torch"] - features["onnxruntime"]).max()
    assert 0 < difference <= 1e-5 * np.abs(features["torch"]).max()


def test_the_network_is_exported_once_for_all_runs_of_a_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = toy_images(20)
    run_extract(tmp_path, images, library="onnxruntime")
    (graph,) = (tmp_path / EXTRACT_WORK).glob("*/*.onnx")
    monkeypatch.setattr(torch.onnx, "export", None)
    for shard in graph.parent.glob("layer2.shards/*"):
        shard.unlink()
    run_extract(tmp_path, images, library="onnxruntime")
    assert (graph.parent / "layer2.shards").is_dir()


_PROGRAM = """
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
import numpy as np
from galaxies.data.galaxy_file import GalaxyFile
from tests.toys import run_extract
with GalaxyFile(Path(sys.argv[1]) / "galaxies.h5") as galaxies:
    images = galaxies.read_images(np.arange(galaxies.num_galaxies))
run_extract(Path(sys.argv[1]), images, layers=("layer1", "layer2"), batch_size=16, library=sys.argv[2])
"""


def start_extraction(folder: Path, library: Library) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TQDM_DISABLE": "1"}
    return subprocess.Popen([sys.executable, "-c", _PROGRAM, str(folder), library], cwd=folder, env=environment)


def num_finished_shards(folder: Path) -> int:
    return sum(path.name.startswith("c.") for path in (folder / EXTRACT_WORK).rglob("c.*.0"))


def fill_block(galaxies_path: Path, stored: UnfinishedStore, params: ExtractParams, catalog: Catalog, block: range) -> int:
    """Do what a worker does that knows nothing of the others; return the number of rows it filled."""
    cpu = torch.device("cpu")
    forward = make_forward(
        load_backbone(params.spec, layers=params.layers), ForwardPass((stored.layer,), params.pool), device=cpu
    )
    writers = {stored.layer: ShardWriter(stored, params.precision)}
    with GalaxyFile(galaxies_path) as galaxies:
        images = CatalogBlocks(CatalogImages(galaxies, catalog))
        return sum(fill_blocks(BlockPlan((block,), batch_rows=100), images, forward=forward, writers=writers))


def test_processes_fill_blocks_of_one_store_at_the_same_time(tmp_path: Path) -> None:
    images = toy_images(1100, size=16)
    params = ExtractParams(**{**EXTRACT, "layers": ("layer1",), "image_size": 16})
    catalog = write_toy_catalog(tmp_path / "catalog.parquet", images)
    whole = run_extract(tmp_path / "whole", images, layers=("layer1",), image_size=16, batch_size=100)["layer1"]
    identity = identify(params, "layer1", catalog, load_backbone(params.spec, layers=params.layers))
    layout = plan_layout(np.zeros((1, *Store(whole).activations.shape[1:]), np.float32), "auto")
    blocks = [range(1024, 1100), range(512), range(512, 1024)]
    out = tmp_path / "out.zarr"
    with open_unfinished(tmp_path, identity) as stores:
        stored = stores["layer1"]
        stored.open(num_rows=len(catalog), layout=layout, identity=identity)
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as workers:
            fill = partial(fill_block, tmp_path / "whole" / "galaxies.h5", stored, params, catalog)
            assert list(workers.map(fill, blocks)) == [76, 512, 512]
        stored.publish(out)
    assert tree_bytes(out) == tree_bytes(whole)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_process_continues_to_the_same_bytes(tmp_path: Path, kill: signal.Signals, library: Library) -> None:
    images = toy_images(2100, size=16)
    expected = run_extract(tmp_path / "whole", images, layers=("layer1", "layer2"), batch_size=16, library=library)
    folder = tmp_path / "killed"
    write_toy_galaxies(folder / "galaxies.h5", images)
    num_shards = 0
    for _ in range(2):
        process = start_extraction(folder, library)
        # Two layers of five shards each; the kill falls between the first and the last of them.
        while num_finished_shards(folder) < min(num_shards + 3, 9) and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(kill)
        process.wait(30)
        assert num_finished_shards(folder) >= num_shards
        num_shards = num_finished_shards(folder)
    process = start_extraction(folder, library)
    assert process.wait(120) == 0
    for layer, store in expected.items():
        assert tree_bytes(folder / "features" / store.name) == tree_bytes(store), layer


def test_two_processes_at_once_make_one_store(tmp_path: Path) -> None:
    images = toy_images(1100, size=16)
    expected = run_extract(tmp_path / "whole", images, layers=("layer1", "layer2"), batch_size=16, library="onnxruntime")
    folder = tmp_path / "twice"
    write_toy_galaxies(folder / "galaxies.h5", images)
    processes = [start_extraction(folder, "onnxruntime") for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    for store in expected.values():
        assert tree_bytes(folder / "features" / store.name) == tree_bytes(store)
