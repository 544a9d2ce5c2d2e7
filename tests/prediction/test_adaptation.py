"""Adaptation takes out what moves all features together, from a sample of any input, and goes on after a kill."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import galaxies
from galaxies.errors import InputError
from galaxies.features.standardisation import measure_features
from galaxies.heads.head import load_head
from galaxies.prediction import adaptation
from galaxies.prediction import run as prediction_run
from galaxies.prediction.adaptation import LARGEST_SAMPLE, spread
from galaxies.prediction.model import Model
from galaxies.prediction.run import PredictOptions, predict_inputs
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
    sample = list(spread(range(number), number))
    assert min(number, LARGEST_SAMPLE // 2) <= len(sample) <= LARGEST_SAMPLE
    assert sample[0] == 0
    assert set(np.diff(sample)) <= {max(1, -(-number // LARGEST_SAMPLE))}
    assert number - sample[-1] <= -(-number // LARGEST_SAMPLE)


def test_a_killed_run_keeps_what_it_measured_and_ends_with_the_same_bytes(
    folder: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = str(folder / "galaxies.h5")
    monkeypatch.setattr(prediction_run, "_PART_ROWS", 8)
    predict_inputs(source, tmp_path / "whole" / "out.parquet", model, OPTIONS)
    expected = model.adapt(toy_images(NUM_GALAXIES)).predict(toy_images(NUM_GALAXIES)).probabilities
    predict_list, num_calls = Model.predict_list, 0

    def stop_at_the_third(self: Model, images: Any) -> Any:
        nonlocal num_calls
        num_calls += 1
        if num_calls == 3:
            raise KeyboardInterrupt
        return predict_list(self, images)

    monkeypatch.setattr(Model, "predict_list", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        predict_inputs(source, tmp_path / "out.parquet", model, OPTIONS)
    measured = tmp_path / ".out.parquet.parts" / "adaptation.json"
    assert measured.is_file()
    monkeypatch.setattr(adaptation, "measure_features", lambda batches: pytest.fail("measured again"))
    predict_inputs(source, tmp_path / "out.parquet", model, OPTIONS)
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "whole" / "out.parquet").read_bytes()
    table = pd.read_parquet(tmp_path / "out.parquet")
    np.testing.assert_allclose(table[[f"p {name}" for name in CLASS_NAMES]].to_numpy(), expected, atol=1e-3)


def test_what_was_measured_comes_back_from_disk_to_the_last_bit() -> None:
    features = np.random.default_rng(0).normal(size=(50, 9)).astype(np.float32) * np.logspace(-6, 6, 9, dtype=np.float32)
    features[:, 4] = 3.0
    for measured in measure_features([features]):
        assert np.array_equal(torch.tensor(measured.tolist()).numpy(), measured)
