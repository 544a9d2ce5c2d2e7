"""The novelty of a galaxy: small for what training had, large for what it had not, and honest about its threshold."""

import numpy as np
import pytest
import torch
from torch import Tensor

from galaxies.heads.novelty import fit_novelty


def toy_features(num_rows: int, *, seed: int, num_features: int = 40) -> Tensor:
    """Return features that vary in 5 directions and a little in all, on scales from 1 to 1,000, (N, C) float32."""
    mixing = torch.from_numpy(np.random.default_rng(99).normal(size=(5, num_features)))
    generator = np.random.default_rng(seed)
    features = torch.from_numpy(generator.normal(size=(num_rows, 5))) @ mixing
    features += 0.2 * torch.from_numpy(generator.normal(size=(num_rows, num_features)))
    return ((features + 3) * torch.logspace(0, 3, num_features)).float()


def test_it_is_the_mahalanobis_distance_where_all_directions_are_kept_or_alike() -> None:
    generator = torch.Generator().manual_seed(0)
    train = torch.randn(400, 6, generator=generator).double()
    novelty = fit_novelty(train, train)
    z = (train - train.mean(0)) / train.std(0, correction=0)
    covariance = z.T @ z / len(z)
    variances, directions = torch.linalg.eigh(covariance)
    variances[:3] = variances[:3].mean()
    shrunk = directions @ torch.diag(variances) @ directions.T
    expected = torch.einsum("nc,cd,nd->n", z, torch.linalg.inv(shrunk), z)
    torch.testing.assert_close(novelty.score(train), (expected / 6).sqrt())


def test_galaxies_like_those_of_training_are_rarely_flagged_and_others_always() -> None:
    novelty = fit_novelty(toy_features(600, seed=0), toy_features(300, seed=1))
    familiar = novelty.score(toy_features(4000, seed=2))
    assert float((familiar > novelty.threshold).double().mean()) == pytest.approx(0.05, abs=0.03)
    # Every feature is as in training, but not together: only a distance that knows how they vary together sees it.
    strange = toy_features(500, seed=3)
    for column in range(strange.shape[1]):
        strange[:, column] = strange[torch.randperm(500, generator=torch.Generator().manual_seed(column)), column]
    assert float((novelty.score(strange) > novelty.threshold).double().mean()) > 0.99


def test_the_scale_of_a_feature_does_not_matter_and_a_constant_one_is_left_out() -> None:
    train, new = toy_features(300, seed=0), toy_features(20, seed=1)
    expected = fit_novelty(train, new).score(new)
    factors = torch.logspace(2, -2, train.shape[1])
    torch.testing.assert_close(fit_novelty(train * factors, new * factors).score(new * factors), expected, rtol=1e-4, atol=0)
    train[:, 7] = 5.0
    new[0, 7] = -1e6
    assert float(fit_novelty(train, new).score(new)[0]) < 3


@pytest.mark.parametrize("num_rows", [1, 2, 10])
def test_few_rows_give_finite_scores(num_rows: int) -> None:
    novelty = fit_novelty(toy_features(num_rows, seed=0), toy_features(num_rows, seed=1))
    assert bool(torch.isfinite(novelty.score(toy_features(5, seed=2))).all())
    assert novelty.threshold >= 0


def test_one_feature_is_enough() -> None:
    train = torch.arange(9.0).unsqueeze(1)
    torch.testing.assert_close(fit_novelty(train, train).score(train)[:5], torch.arange(4, -1, -1).double() / (60 / 9) ** 0.5)


def test_without_calibration_rows_nothing_is_flagged() -> None:
    assert fit_novelty(toy_features(50, seed=0), toy_features(0, seed=1)).threshold == float("inf")
