"""Every combination of cut, ending, pool and views trains or is refused with what to change; a head with an ending is whole."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from torch import nn

from galaxies.backbones.backbone import make_ending
from galaxies.backbones.ending import Ending
from galaxies.backbones.spec import ExtractParams
from galaxies.backbones.transform import turn
from galaxies.data.field_of_view import FieldOfView, write_field
from galaxies.data.splits import write_splits
from galaxies.errors import InputError
from galaxies.features.identity import Identity
from galaxies.features.standardisation import measure_features
from galaxies.features.store import Layout, Store, create_store
from galaxies.heads.batches import BatchOptions, open_batches
from galaxies.heads.head import load_head
from galaxies.heads.inference import map_rows, predict_rows
from galaxies.heads.train_params import TrainParams, require_trainable
from galaxies.params import parse_section
from stages import train
from tests.pipelines import REPOSITORY
from tests.toys import EXTRACT, toy_catalog, toy_images, toy_splits, write_toy_catalog

NUM_GALAXIES = 60
SHAPES = {"layer3": (128, 2, 2), "layer4": (256, 1, 1), "input": (3, 32, 32)}
ROWS = np.arange(NUM_GALAXIES)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a repository in which everything but the store is ready."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    images = toy_images(NUM_GALAXIES)
    Path("data").mkdir()
    write_field(Path("data/field_of_view.json"), FieldOfView(32, None, None, None))
    write_toy_catalog(Path("data/catalog.parquet"), images)
    label = ROWS * 3 // NUM_GALAXIES
    split = np.tile(["train", "train", "train", "val", "test"], NUM_GALAXIES // 5)
    write_splits(Path("data/splits.parquet"), toy_splits(label, split))
    return tmp_path


def sections(layer: str, pool: str, views: int, **changes: Any) -> tuple[ExtractParams, TrainParams]:
    """Write params.yaml, and return what stands in it."""
    defaults = YAML(typ="safe").load((REPOSITORY / "params.yaml").read_text())["train"]
    extract = {**EXTRACT, "backbone": "resnet18_half", "layers": [layer], "pool": pool, "views": views}
    training = {**defaults, "layer": layer, "num_epochs": 1, "batch_size": 16, "weight_decay": 0.1, **changes}
    runtime = {"device": "cpu", "batch_size": 8, "num_workers": 0}
    with Path("params.yaml").open("w") as file:
        YAML().dump({"extract": extract, "train": training, "runtime": runtime}, file)
    return parse_section(ExtractParams, extract, "extract"), parse_section(TrainParams, training, "train")


def write_store(extract: ExtractParams, *, dtype: str = "float32") -> Store:
    """Write random activations in which the class can be seen."""
    (layer,) = extract.layers
    shape = SHAPES[layer] if extract.pool == "map" or layer == "input" else SHAPES[layer][:1]
    num_views = 1 if layer == "input" else extract.views
    classes = (ROWS * 3 // NUM_GALAXIES).reshape(-1, *[1] * (len(shape) + 1))
    random = np.random.default_rng(0).random((NUM_GALAXIES, num_views, *shape)) + classes
    activations = (random * 60).astype(np.uint8) if layer == "input" else random.astype(dtype)
    layout = Layout((num_views, *shape), str(activations.dtype), compressed=False)
    path = Path("features") / f"{layer}.zarr"
    identity = Identity.expected(extract, layer, toy_catalog(toy_images(NUM_GALAXIES)).digest)
    create_store(path, num_rows=NUM_GALAXIES, layout=layout, identity=identity)[:] = activations
    return Store(path)


REFUSED = {
    ("layer4", "keep", "avg"): r"keep, but layer4 is kept as pooled features.*-S extract\.pool=map",
    ("layer4", "drop", "map"): r"drop, but layer4 is kept as maps.*-S extract\.pool=avg",
    ("input", "drop", "avg"): r"drop, but at layer input there are no features yet; use `-S train\.ending=keep`",
    ("input", "drop", "map"): r"drop, but at layer input there are no features yet; use `-S train\.ending=keep`",
}


@pytest.mark.parametrize(
    ("layer", "ending", "pool", "views", "augment"),
    list(itertools.product(["layer4", "input"], ["drop", "keep"], ["avg", "map"], [1, 8], ["none", "d4"])),
)
def test_every_combination_trains_or_says_what_to_change(
    folder: Path, layer: str, ending: str, pool: str, views: int, augment: str
) -> None:
    expected = REFUSED.get((layer, ending, pool))
    if augment == "d4" and views == 1 and layer != "input":
        expected = expected or r"d4, but layer4 holds one view of each galaxy; use `-S extract\.views=8`"
    if expected:
        with pytest.raises(InputError, match=expected):
            require_trainable(*reversed(sections(layer, pool, views, ending=ending, augment=augment)))  # type: ignore[arg-type]
        return
    extract, _ = sections(layer, pool, views, ending=ending, augment=augment)
    store = write_store(extract)
    train.main()
    trained = load_head(Path("models/head.pt"))
    assert (trained.ending is not None) == (ending == "keep")
    probabilities = predict_rows(trained, store, ROWS)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert len(np.unique(probabilities[:, 0])) == NUM_GALAXIES


def test_joined_layers_have_no_ending_and_the_layer_must_be_there(folder: Path) -> None:
    extract, training = sections("layer3+layer4", "map", 1, ending="keep")
    with pytest.raises(InputError, match=r"keep, but layer3\+layer4 joins several nodes"):
        require_trainable(training, extract)
    _, training = sections("layer4", "avg", 1)
    with pytest.raises(InputError, match=r"found 'layer4', but extract\.layers are layer3\+layer4; use `-S 'extract\.layers"):
        require_trainable(training, extract)


@pytest.mark.parametrize("changes", [{"ending": "keep"}, {"augment": "d4"}], ids=["ending", "augment"])
def test_embeddings_have_neither_ending_nor_views(folder: Path, changes: dict[str, str]) -> None:
    extract, training = sections("embeddings", "map", 8, **changes)
    with pytest.raises(InputError, match=r"found embeddings, which are features of one view that no network of ours has made"):
        require_trainable(training, extract)
    require_trainable(*reversed(sections("embeddings", "map", 8)))  # type: ignore[arg-type]


def kept(**changes: Any) -> tuple[Ending, Ending]:
    """Return the ending of the backbone, and that of the head that the stage trained."""
    extract, _ = sections("layer3", "map", 1, ending="keep", **changes)
    write_store(extract)
    train.main()
    ending = load_head(Path("models/head.pt")).ending
    assert ending is not None
    return make_ending(extract.spec, "layer3"), ending


def moved(before: Ending, after: Ending, *, batch_norm: bool) -> float:
    """Return by how much the parameters and statistics moved, of BatchNorm or of all else."""
    names = {name for name, module in before.named_modules() if isinstance(module, nn.BatchNorm2d)}
    return max(
        float((value - after.state_dict()[name]).abs().max())
        for name, value in before.state_dict().items()
        if (name.rpartition(".")[0] in names) == batch_norm
    )


def test_the_ending_starts_from_the_backbone_and_learns(folder: Path) -> None:
    before, after = kept()
    assert 0 < moved(before, after, batch_norm=False) < 0.01
    assert moved(before, after, batch_norm=True) == 0


def test_batch_norm_learns_where_it_is_asked_to(folder: Path) -> None:
    assert moved(*kept(ending_batch_norm="trained"), batch_norm=True) > 0


def test_the_factor_of_the_endings_learning_rate_counts(folder: Path) -> None:
    assert moved(*kept(ending_lr_factor=0.0), batch_norm=False) == 0


def test_a_head_with_an_ending_predicts_from_maps_as_its_parts_do(folder: Path) -> None:
    kept()
    trained, store = load_head(Path("models/head.pt")), Store(Path("features/layer3.zarr"))
    maps = torch.from_numpy(np.asarray(store.activations[5:8, 0]))
    assert trained.ending is not None
    with torch.inference_mode():
        logits = trained.head(trained.ending(maps))
    torch.testing.assert_close(trained.probabilities(maps), torch.softmax(logits.double() / trained.calibration.temperature, 1))
    rows = np.array([5, 6, 7])
    np.testing.assert_allclose(predict_rows(trained, store, rows), trained.probabilities(maps), rtol=1e-4)
    features = map_rows(trained.features, store, rows, width=256)
    np.testing.assert_allclose(trained.classify(features), trained.probabilities(maps), rtol=1e-4)


@pytest.mark.parametrize("layer", ["layer4", "input"])
def test_rows_that_do_not_fit_in_memory_are_read_in_every_epoch(folder: Path, layer: str) -> None:
    extract, _ = sections(layer, "map", 1, ending="keep")
    store = write_store(extract)
    targets, rows = np.arange(36) % 3, np.arange(0, 36)
    resident = open_batches(store, rows, targets, BatchOptions(10))
    stored = open_batches(store, rows, targets, BatchOptions(10, resident_bytes=0))
    assert type(resident) is not type(stored)
    seen = []
    for batches in (resident, stored):
        parts = list(batches.shuffled([torch.Generator().manual_seed(0)]))
        assert [part[1].shape for part in parts] == [(1, 10), (1, 10), (1, 10), (1, 6)]
        assert batches.num_batches == 4
        activations = torch.cat([part[0][0] for part in parts]).flatten(1).double()
        seen.append(sorted(zip(activations.mean(1).tolist(), torch.cat([part[1][0] for part in parts]).tolist(), strict=True)))
        in_order = torch.cat([part for part, _ in batches.in_order()])
        torch.testing.assert_close(in_order, torch.from_numpy(np.asarray(store.activations[:36, 0])))
    assert seen[0] == seen[1]


def test_views_are_drawn_for_each_row_and_only_to_train(folder: Path) -> None:
    extract, _ = sections("layer4", "avg", 8)
    store = write_store(extract)
    stored = np.asarray(store.activations[:36])
    for resident_bytes in (0, 1 << 30):
        options = BatchOptions(36, augment=True, resident_bytes=resident_bytes)
        batches = open_batches(store, np.arange(36), np.zeros(36, np.int64), options)
        ((activations, _),) = batches.shuffled([torch.Generator().manual_seed(0)])
        drawn = [tuple(np.argwhere((stored == row).all(axis=-1))[0]) for row in activations[0].numpy()]
        assert sorted(row for row, _ in drawn) == list(range(36))
        assert len({view for _, view in drawn}) > 4
        np.testing.assert_array_equal(torch.cat([part for part, _ in batches.in_order()]), stored[:, 0])


@pytest.mark.parametrize("resident_bytes", [0, 1 << 30], ids=["stored", "resident"])
def test_images_are_turned_by_chance_into_the_views_of_extraction(folder: Path, resident_bytes: int) -> None:
    extract, _ = sections("input", "map", 1, ending="keep")
    store = write_store(extract)
    options = BatchOptions(36, augment=True, resident_bytes=resident_bytes)
    batches = open_batches(store, np.arange(36), np.arange(36), options)
    ((activations, rows),) = batches.shuffled([torch.Generator().manual_seed(0)])
    images = torch.from_numpy(np.asarray(store.activations[:36, 0]))
    views = [
        next(view for view in range(8) if torch.equal(turn(images[row], view), image))
        for image, row in zip(activations[0], rows[0], strict=True)
    ]
    assert len(set(views)) > 4


@pytest.mark.parametrize("resident_bytes", [0, 1 << 30], ids=["stored", "resident"])
def test_features_are_standardised_whatever_their_dtype(folder: Path, resident_bytes: int) -> None:
    """Features kept as float16 once met weights in float32."""
    extract, _ = sections("layer4", "avg", 1)
    store = write_store(extract, dtype="float16")
    batches = open_batches(store, np.arange(36), np.arange(36), BatchOptions(36, resident_bytes=resident_bytes))
    mean, std = (torch.from_numpy(values) for values in measure_features([np.asarray(store.activations[:36, 0])]))
    batches.standardise(mean, std)
    ((activations, _),) = batches.in_order()
    assert activations.dtype == torch.float32
    torch.testing.assert_close(activations.mean(0), torch.zeros(256), atol=1e-5, rtol=0)
    torch.testing.assert_close(activations.std(0, correction=0), torch.ones(256), atol=1e-4, rtol=0)
