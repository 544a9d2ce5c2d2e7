"""Fixtures that many tests share."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.browser import Browser


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real galaxies (``real/``) and real weights (``weights/``), named by GALAXIES_TEST_DATA."""
    folder = os.environ.get("GALAXIES_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real galaxies and weights: set GALAXIES_TEST_DATA to the folder that holds them")
    return Path(folder)


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """Start the browser that all tests of pages share: starting takes longer than a page."""
    # Imported here, because selenium would cost every other run of the tests a second.
    from tests.browser import open_browser

    with open_browser() as opened:
        yield opened
