"""Adaptation takes out what moves all features together, from a sample of any input."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import galaxies
from galaxies.errors import InputError
from galaxies.features.standardisation import measure_features
from galaxies.heads.head import load_head
from galaxies.prediction.adaptation import LARGEST_SAMPLE, spread
from galaxies.prediction.answers import ask
from galaxies.prediction.model import Model
from galaxies.prediction.run import PredictOptions, predict_inputs, predict_survey
from tests.predicting import CLASS_NAMES, NUM_GALAXIES, save_toy_head
from tests.toys import toy_images

OPTIONS = PredictOptions(batch_size=8, adapt=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with a head and the galaxies that it was trained on."""
    folder = tmp_path_factory.mktemp("adaptation")
    save_toy_head(folder)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return galaxies.load(folder / "models", device="cpu")


def test_features_that_another_survey_moves_and_stretches_are_moved_back(folder: Path, model: Model) -> None:
    trained = load_head(folder / "models" / "head.pt")
    features = model.compute_features(list(toy_images(NUM_GALAXIES)))
    factor, shift = torch.linspace(0.5, 3, features.shape[1]), torch.linspace(-2, 9, features.shape[1])
    moved = features * factor + shift
    assert not torch.allclose(trained.classify(moved), trained.classify(features), atol=0.1)
    mean, std = measure_features([moved[:7].numpy(), moved[7:].numpy()])
    adapted = trained.standardised_by(torch.from_numpy(mean), torch.from_numpy(std))
    torch.testing.assert_close(adapted.classify(moved), trained.classify(features), atol=1e-3, rtol=0)
    assert bool((trained.novelty.score(moved) > 2 * adapted.novelty.score(moved)).all())


def test_the_images_of_training_change_nothing(model: Model) -> None:
    images = toy_images(NUM_GALAXIES)
    adapted = model.adapt(images)
    np.testing.assert_allclose(adapted.predict(images).probabilities, model.predict(images).probabilities, atol=1e-3)
    darker = model.adapt(images // 2)
    assert not np.allclose(darker.predict(images).probabilities, adapted.predict(images).probabilities, atol=0.05)


def test_too_few_images_are_refused(folder: Path, model: Model, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found 19 images that can be read, expected are at least 20"):
        model.adapt(toy_images(19))
    with pytest.raises(InputError, match=r"found 3 images .* Predict without it"):
        predict_inputs(
            str(folder / "galaxies.h5"), tmp_path / "out.csv", model, PredictOptions(batch_size=8, limit=3, adapt=True)
        )


@pytest.mark.parametrize("number", [1, LARGEST_SAMPLE, LARGEST_SAMPLE + 1, 10 * LARGEST_SAMPLE + 3])
def test_the_sample_is_spread_over_all_inputs(number: int) -> None:
    sample = spread(np.arange(number))
    assert min(number, LARGEST_SAMPLE // 2) <= len(sample) <= LARGEST_SAMPLE
    assert sample[0] == 0
    assert set(np.diff(sample)) <= {max(1, -(-number // LARGEST_SAMPLE))}
    assert number - sample[-1] <= -(-number // LARGEST_SAMPLE)


def test_a_survey_is_adapted_to_by_its_features_alone(
    folder: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = tmp_path / "survey.zarr"
    predict_inputs(str(folder / "galaxies.h5"), tmp_path / "out.parquet", model, replace(OPTIONS, keep=keep))
    expected = model.adapt(toy_images(NUM_GALAXIES)).predict(toy_images(NUM_GALAXIES)).probabilities
    table = pd.read_parquet(tmp_path / "out.parquet")
    np.testing.assert_allclose(table[[f"p {name}" for name in CLASS_NAMES]].to_numpy(), expected, atol=1e-3)
    predict_survey(keep, tmp_path / "again.parquet", ask(folder / "models"), OPTIONS)
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "out.parquet").read_bytes()
