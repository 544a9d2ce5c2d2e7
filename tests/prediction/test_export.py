"""An exported model runs without this project, says what it is, and gives the same probabilities."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

import galaxies
from galaxies.__main__ import main
from galaxies.backbones.spec import Transform
from galaxies.backbones.transform import ZOOM_ROUNDING, resize
from galaxies.data.field_of_view import FieldOfView
from galaxies.data.splits import write_splits
from galaxies.errors import InputError
from galaxies.features.store import Store
from galaxies.prediction.export import export_model, resize_weights, zoom_weights
from galaxies.prediction.model import Model
from galaxies.prediction.similarity import find_similar
from galaxies.prediction.stored_survey import open_survey
from tests.predicting import CLASS_NAMES, NUM_GALAXIES, save_toy_head
from tests.toys import toy_images, toy_splits, write_toy_catalog

# torch 2.11 warns of its own code: `torch.export.load` makes tensors of a read-only buffer, `torch.onnx` asks for LeafSpec.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The given buffer is not writable:UserWarning"),
    pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning"),
]

# Rounding to 8 bits falls to the other side here and there, and the toy head is steep.
TOLERANCE = 0.01
GROUP = np.arange(NUM_GALAXIES) // 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a repository with toy galaxies, their features, and a head that has seen images of 40 px."""
    folder = tmp_path_factory.mktemp("export")
    save_toy_head(folder, field=FieldOfView(40, None, None, None))
    (folder / "data").mkdir()
    (folder / "galaxies.h5").rename(folder / "data" / "galaxies.h5")
    write_toy_catalog(folder / "data" / "catalog.parquet", toy_images(NUM_GALAXIES))
    labels = np.arange(NUM_GALAXIES) % 4 - 1
    split = np.where(labels < 0, "pool", "train")
    write_splits(folder / "data" / "splits.parquet", toy_splits(labels, split, group=GROUP, names=CLASS_NAMES))
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return galaxies.load(folder / "models", device="cpu")


def check_about(about: dict[str, Any], model: Model) -> None:
    assert about["class_names"] == list(CLASS_NAMES)
    assert about["input"]["shape"] == ["batch", 40, 40, 3]
    assert about["identity"] == model.trained.identity.to_json()
    assert about["field_of_view"]["image_size"] == 40


@pytest.mark.parametrize("num_images", [1, 5])
def test_torch_export_gives_the_same_probabilities(
    model: Model, tmp_path_factory: pytest.TempPathFactory, num_images: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "model.pt2"
    if not path.exists():
        export_model(model, path)
    extra = {"galaxies.json": ""}
    program = torch.export.load(path, extra_files=extra)
    images = toy_images(num_images, size=40, seed=3)
    found = program.module()(torch.from_numpy(images)).detach().numpy()
    np.testing.assert_allclose(found, model.predict(images).probabilities, atol=TOLERANCE)
    check_about(json.loads(extra["galaxies.json"]), model)


@pytest.mark.parametrize(
    "extract",
    [
        {"zoom": 1.5, "interpolation": "bicubic"},
        {"backbone": "zoobot-greyscale-nano", "layer": "stages.0"},
        {"bands": ("R", "G", "B", "G", "R"), "mean": (0.5,) * 5, "std": (0.25,) * 5},
    ],
    ids=["zoomed", "grey and zoomed", "five bands"],
)
def test_an_exported_transform_is_the_models_own(tmp_path: Path, extract: dict[str, Any]) -> None:
    save_toy_head(tmp_path, field=FieldOfView(40, None, None, None), **extract)
    model = galaxies.load(tmp_path / "models", device="cpu")
    export_model(model, tmp_path / "model.pt2")
    images = toy_images(5, size=40, seed=3)[..., [0, 1, 2, 1, 0] if "bands" in extract else [0, 1, 2]]
    found = torch.export.load(tmp_path / "model.pt2").module()(torch.from_numpy(images)).detach().numpy()
    np.testing.assert_allclose(found, model.predict(images).probabilities, atol=TOLERANCE)


@pytest.mark.parametrize("size", [40, 41])
@pytest.mark.parametrize("zoom", [1.2, 3.0])
def test_the_weights_of_a_zoom_are_the_transforms_own(size: int, zoom: float) -> None:
    images = toy_images(1, size=size)[0].transpose(2, 0, 1)
    weights = zoom_weights(size, zoom)
    found = (weights @ torch.from_numpy(images).float() @ weights.T + ZOOM_ROUNDING).floor().to(torch.uint8)
    transform = Transform(size, (0.0,) * 3, (1.0,) * 3, "bilinear", zoom=zoom)
    assert torch.equal(found, resize(torch.from_numpy(images)[None], transform)[0])


@pytest.mark.parametrize("layer", ["layer3", "input"])
def test_a_kept_ending_is_exported_and_compares_galaxies(tmp_path: Path, layer: str, caplog: pytest.LogCaptureFixture) -> None:
    save_toy_head(tmp_path, layer=layer, keep=True, field=FieldOfView(40, None, None, None))
    model = galaxies.load(tmp_path / "models", device="cpu")
    export_model(model, tmp_path / "model.pt2")
    images = toy_images(3, size=40, seed=3)
    found = torch.export.load(tmp_path / "model.pt2").module()(torch.from_numpy(images)).detach().numpy()
    np.testing.assert_allclose(found, model.predict(images).probabilities, atol=TOLERANCE)

    (tmp_path / "data").mkdir()
    (tmp_path / "galaxies.h5").rename(tmp_path / "data" / "galaxies.h5")
    write_toy_catalog(tmp_path / "data" / "catalog.parquet", toy_images(NUM_GALAXIES))
    write_splits(tmp_path / "data" / "splits.parquet", toy_splits(np.zeros(NUM_GALAXIES, int), ["train"] * NUM_GALAXIES))
    Image.fromarray(toy_images(NUM_GALAXIES)[17]).save(tmp_path / "seventeen.png")
    store = tmp_path / "features" / f"{layer}.zarr"
    _, similar = find_similar(str(tmp_path / "seventeen.png"), model, open_survey(store), number=3)
    assert "no pixel scale: taken as it is" in caplog.text
    assert similar[0].row == 17
    assert similar[0].distance < 0.05 < similar[1].distance


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.onnx itself
def test_onnx_runtime_gives_the_same_probabilities(model: Model, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    export_model(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for num_images in (1, 5):
        images = toy_images(num_images, size=40, seed=3)
        (found,) = session.run(["probabilities"], {"images": images})
        np.testing.assert_allclose(found, model.predict(images).probabilities, atol=TOLERANCE)
    check_about(json.loads(session.get_modelmeta().custom_metadata_map["galaxies"]), model)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("sizes", [(40, 32), (256, 224), (30, 32), (32, 32)])
def test_resizing_by_products_is_the_transforms_resize(mode: str, sizes: tuple[int, int]) -> None:
    size, new_size = sizes
    image = torch.from_numpy(toy_images(1, size=size)[0]).permute(2, 0, 1)
    weights = resize_weights(size, new_size, mode)
    across = (image.float() @ weights.T).round().clamp(0, 255)
    found = (weights @ across).round().clamp(0, 255)
    expected = functional.resize(image, [new_size, new_size], InterpolationMode(mode), antialias=True)
    # PyTorch's weights for 8-bit pixels are 16-bit integers: each of the two passes may round to the other side.
    assert float((found - expected).abs().max()) <= 2


def test_what_cannot_be_exported_is_refused(model: Model, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"found the ending \.h5 in .*, expected \.pt2 or \.onnx, or \.parquet for the features"
    ):
        export_model(model, tmp_path / "model.h5")
    with pytest.raises(InputError, match="interpolates by 'nearest'"):
        resize_weights(40, 32, "nearest")


def test_the_commands_work_from_the_repository(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert main(["export", str(tmp_path / "features.parquet")]) == 0
    table = pd.read_parquet(tmp_path / "features.parquet")
    assert list(table) == ["row", "id", "label", "ra", "dec", "group", "features"]
    assert table["label"].iloc[:4].isna().tolist() == [True, False, False, False]
    assert table["label"].iloc[1:4].tolist() == list(CLASS_NAMES)
    assert table["group"].tolist() == GROUP.tolist()
    assert table["row"].tolist() == list(range(NUM_GALAXIES))
    assert table["ra"].isna().all()
    store = Store(folder / "features" / "layer1.zarr")
    assert np.array_equal(np.array(table["features"].tolist()), np.asarray(store.activations)[:, 0])
    about = json.loads(pq.read_schema(tmp_path / "features.parquet").metadata[b"galaxies"])
    assert about["identity"] == store.identity.to_json()
    assert about["class_names"] == list(CLASS_NAMES)

    Image.fromarray(toy_images(NUM_GALAXIES)[17]).save(tmp_path / "seventeen.png")
    capsys.readouterr()
    command = ["similar", str(tmp_path / "seventeen.png"), "--number", "5", "--out", str(tmp_path / "similar.png")]
    assert main([*command, "--device", "cpu"]) == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first.split()[:4] == ["0.000", "row", "17", "000017"]
    distances = [float(line.split()[0]) for line in others[:4]]
    assert distances == sorted(distances)
    assert distances[0] > 0.1
    with Image.open(tmp_path / "similar.png") as sheet:
        assert sheet.size == (1200, 340)


def test_an_image_that_cannot_be_read_has_no_similar_ones(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    (tmp_path / "a.jpg").write_text("no image")
    assert main(["similar", str(tmp_path / "a.jpg"), "--device", "cpu"]) == 1
    assert "a.jpg: not an image" in capsys.readouterr().err
    assert main(["similar", str(tmp_path), "--device", "cpu"]) == 1
    assert "is a folder; give one image in it" in capsys.readouterr().err
