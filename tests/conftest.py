"""Fixtures that many tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real galaxies (``real/``) and real weights (``weights/``), named by GALAXIES_TEST_DATA."""
    folder = os.environ.get("GALAXIES_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real galaxies and weights: set GALAXIES_TEST_DATA to the folder that holds them")
    return Path(folder)
