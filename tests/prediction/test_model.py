"""A loaded model says of images what the pipeline says of them, and loads with the right weights or not at all."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import galaxies
from galaxies.backbones.backbone import load_backbone
from galaxies.backbones.spec import ExtractParams
from galaxies.errors import InputError
from galaxies.heads.head import load_head, save_head
from galaxies.prediction.model import Model
from galaxies.prediction.predictions import Predictions
from galaxies.sources.decoding import decode
from galaxies.sources.image_reader import ReadOptions
from galaxies.sources.inputs import Input
from tests.predicting import CLASS_NAMES, NUM_GALAXIES, save_toy_head
from tests.toys import EXTRACT, toy_images


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prediction")


@pytest.fixture(scope="module")
def expected(folder: Path) -> NDArray[np.float64]:
    return save_toy_head(folder)


@pytest.fixture(scope="module")
def model(folder: Path, expected: NDArray[np.float64]) -> Model:
    return galaxies.load(folder / "models", device="cpu")


def test_the_probabilities_are_those_of_the_evaluate_stage(model: Model, expected: NDArray[np.float64]) -> None:
    for batch_size in (64, 7):
        predictions = model.predict(toy_images(NUM_GALAXIES), batch_size=batch_size)
        np.testing.assert_allclose(predictions.probabilities, expected, atol=1e-3)
    assert predictions.predicted == [CLASS_NAMES[target] for target in expected.argmax(1)]
    assert not predictions.is_novel[:20].any()
    assert model.predict(np.full((1, 32, 32, 3), 255, np.uint8)).is_novel.all()


@pytest.mark.parametrize("layer", ["layer2", "input"])
def test_a_kept_ending_gives_the_probabilities_of_the_evaluate_stage(tmp_path: Path, layer: str) -> None:
    expected = save_toy_head(tmp_path, layer=layer, keep=True)
    model = galaxies.load(tmp_path / "models", device="cpu")
    assert model.compute_features(list(toy_images(2))).shape == (2, 512)
    for images, probabilities in ((toy_images(NUM_GALAXIES), expected), (toy_images(NUM_GALAXIES)[5:6], expected[5:6])):
        predictions = model.predict(images)
        np.testing.assert_allclose(predictions.probabilities, probabilities, atol=1e-3)
    assert not model.predict(toy_images(20)).is_novel.any()
    assert model.predict(np.full((1, 32, 32, 3), 255, np.uint8)).is_novel.all()


def test_few_images_take_pytorch_and_many_what_pays_for_its_export(model: Model) -> None:
    images = list(toy_images(9))
    expected = model.predict_list(images)
    assert model.choose_library(1000) == "torch"
    assert set(model._forwards) == {"torch"}
    many = model.for_images(10**7)
    assert set(many._forwards) == {"torch", "onnxruntime"}
    assert many.choose_library(10**7) == "onnxruntime"
    np.testing.assert_allclose(many.predict_list(images).probabilities, expected.probabilities, atol=1e-5)


def test_images_of_many_sizes_are_one_batch(model: Model) -> None:
    images = [toy_images(1, size=size)[0] for size in (32, 50, 32, 20)]
    together = model.predict_list(images).probabilities
    alone = np.concatenate([model.predict(image[None]).probabilities for image in images])
    np.testing.assert_allclose(together, alone, atol=1e-3)


FIVE: dict[str, Any] = {"bands": ("R", "G", "B", "G", "R"), "mean": (0.5,) * 5, "std": (0.25,) * 5}
GREY = {"backbone": "zoobot-greyscale-nano", "layer": "stages.0"}


@pytest.mark.parametrize("extract", [{"zoom": 1.5, "interpolation": "bicubic"}, GREY], ids=["zoomed", "grey"])
def test_a_transform_is_applied_once(tmp_path: Path, extract: dict[str, Any]) -> None:
    """Prediction resizes files of many sizes before they are one batch, and the forward pass must not zoom them again."""
    expected = save_toy_head(tmp_path, **extract)
    model = galaxies.load(tmp_path / "models", device="cpu")
    np.testing.assert_allclose(model.predict(toy_images(NUM_GALAXIES)).probabilities, expected, atol=1e-3)


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 9, 9), np.uint8), np.zeros((2, 9, 9, 3)), np.zeros((2, 3, 9, 9), np.uint8), np.zeros((2, 0, 0, 3), np.uint8)],
    ids=["no colours", "float", "channels first", "no pixels"],
)
def test_arrays_that_are_no_images_are_refused(model: Model, images: NDArray[np.uint8]) -> None:
    with pytest.raises(InputError, match=r"expected uint8 of shape \(B, H, W, 3\)"):
        model.predict(images)


def test_a_head_of_other_bands_wants_these(tmp_path: Path) -> None:
    expected = save_toy_head(tmp_path, **FIVE)
    model = galaxies.load(tmp_path / "models", device="cpu")
    images = toy_images(NUM_GALAXIES)
    np.testing.assert_allclose(model.predict(images[..., [0, 1, 2, 1, 0]]).probabilities, expected, atol=1e-3)
    with pytest.raises(InputError, match=r"expected uint8 of shape \(B, H, W, 5\), or float16.*channels are R, G, B, G, R"):
        model.predict(images)
    asked = Input("0", (tmp_path / "galaxies.h5",), index=0)
    five, reordered, other = (
        decode([asked], None, ReadOptions(bands=bands))[0] for bands in (FIVE["bands"], ("B", "G", "R"), ("u",))
    )
    np.testing.assert_array_equal(five.image, images[0][..., [0, 1, 2, 1, 0]])
    assert "has the bands R, G, B, and not u" in str(other.error)
    np.testing.assert_array_equal(reordered.image, images[0, ..., ::-1])


def test_no_images_give_no_predictions(model: Model) -> None:
    predictions = model.predict(np.zeros((0, 32, 32, 3), np.uint8))
    assert len(predictions) == 0
    assert predictions.probabilities.shape == (0, 3)
    assert predictions.predicted == []


def test_what_follows_from_probabilities() -> None:
    predictions = Predictions(
        ("a", "b", "c"),
        probabilities=np.array([[0.7, 0.2, 0.1], [0.1, 0.45, 0.45], [0.0, 0.1, 0.9]]),
        sets=np.array([[True, False, False], [False, True, True], [False, False, True]]),
        novelty=np.array([1.0, 1.0, 9.0]),
        novelty_threshold=2.0,
        confidence_threshold=0.7,
    )
    assert predictions.predicted == ["a", "b", "c"]
    assert predictions.confidence.tolist() == [0.7, 0.45, 0.9]
    assert predictions.margin.tolist() == pytest.approx([0.5, 0.0, 0.8])
    assert predictions.abstain.tolist() == [False, True, True]
    unknown = replace(predictions, novelty=np.full(3, np.nan))
    assert unknown.is_novel.tolist() == [False, False, False]
    assert unknown.abstain.tolist() == [False, True, False]
    assert replace(unknown, confidence_threshold=np.inf).abstain.all()


def test_other_weights_are_refused_and_the_right_file_is_taken(
    folder: Path, expected: NDArray[np.float64], tmp_path: Path
) -> None:
    module = load_backbone(
        ExtractParams(**{**EXTRACT, "layers": ("layer1",)}).spec,
        layers=ExtractParams(**{**EXTRACT, "layers": ("layer1",)}).layers,
    ).module
    torch.save(module.state_dict(), tmp_path / "right.pth")
    model = galaxies.load(folder / "models" / "head.pt", weights=tmp_path / "right.pth", device="cpu")
    np.testing.assert_allclose(model.predict(toy_images(NUM_GALAXIES)).probabilities, expected, atol=1e-3)
    state = {name: tensor + 1 if name == "conv1.weight" else tensor for name, tensor in module.state_dict().items()}
    torch.save(state, tmp_path / "wrong.pth")
    with pytest.raises(InputError, match=r"whose tensors have the digest [0-9a-f]{64}, but .*wrong.pth has"):
        galaxies.load(folder / "models", weights=tmp_path / "wrong.pth", device="cpu")


def test_missing_weights_are_asked_for(folder: Path, expected: NDArray[np.float64], tmp_path: Path) -> None:
    trained = load_head(folder / "models" / "head.pt")
    backbone = replace(trained.identity.backbone, weights="weights/lost.pth")
    save_head(tmp_path / "head.pt", replace(trained, identity=replace(trained.identity, backbone=backbone)))
    with pytest.raises(InputError, match=r"there is no file .*lost\.pth(.|\n)*galaxies\.load\(\.\.\., weights=PATH\)"):
        galaxies.load(tmp_path)


def test_a_folder_without_a_head_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"There is no head {tmp_path / 'head.pt'}; `dvc repro --force train` makes a head"):
        galaxies.load(tmp_path)


def test_a_folder_that_is_not_there_is_named_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As models/ is, for somebody in docs/."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"There is no head {tmp_path / 'models'}; "):
        galaxies.load("models")


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = "import sys, galaxies; print([name for name in ('torch', 'numpy', 'pandas') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="no attribute 'lood'"):
        galaxies.lood  # noqa: B018
