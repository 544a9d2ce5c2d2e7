"""Means and deviations are those of float64, in whatever batches the features come; constants are known for what they are."""

import numpy as np
import pytest

from galaxies.features.standardisation import measure_features, standardise


@pytest.mark.parametrize("sizes", [[1000], [1, 999], [256, 256, 488], [300] * 3 + [100], [0, 1000]], ids=str)
def test_batches_of_any_size_give_the_numbers_of_float64(sizes: list[int]) -> None:
    features = np.random.default_rng(0).normal(size=(1000, 9)).astype(np.float32) * np.logspace(-2, 4, 9, dtype=np.float32)
    features += 1000 * np.logspace(-2, 4, 9, dtype=np.float32)
    mean, std = measure_features(np.split(features, np.cumsum(sizes)[:-1]))
    np.testing.assert_allclose(mean, features.mean(axis=0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(std, features.std(axis=0, dtype=np.float64), rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, 123.456, -12345.678])
def test_a_constant_is_one_whatever_its_value_and_however_long_the_survey(value: float) -> None:
    """In float32 the sum of 20,000 numbers is off by more than a millionth: a constant was taken for a feature."""
    features = np.full((20_000, 2), value, np.float32)
    features[:, 1] += np.linspace(0, 1, 20_000, dtype=np.float32)
    mean, std = measure_features([features])
    assert np.isinf(std).tolist() == [True, False]
    assert mean[0] == np.float32(value)


def test_features_are_standardised_and_constants_are_nothing() -> None:
    features = np.array([[1, 5, 1000.0], [3, 5, 1000.0], [5, 5, 1000.0001]], np.float32)
    expected = np.array([[-1, 0, 0], [0, 0, 0], [1, 0, 0]]) * np.sqrt(1.5)
    np.testing.assert_allclose(standardise(features), expected, atol=1e-6)


def test_one_row_has_no_deviation() -> None:
    assert np.isinf(measure_features([np.ones((1, 3), np.float32)])[1]).all()
