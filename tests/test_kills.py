"""A few of the random kills of ``python -m benchmarks.kills``; test_pipeline.py has those whose moment is chosen."""

from pathlib import Path

import numpy as np
import pytest

from tests.kills import draw_kill, expected_digest, make_fresh_pipeline, survive
from tests.pipelines import Pipeline

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module", params=["torch", "onnxruntime"])
def fresh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return make_fresh_pipeline(tmp_path_factory.mktemp("kills") / "fresh", library=request.param)


@pytest.fixture(scope="module")
def digest(fresh: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> str:
    return expected_digest(fresh, tmp_path_factory.mktemp("kills") / "whole")


@pytest.mark.parametrize("seed", [1, 4])  # one kills all, one DVC alone
def test_whatever_is_killed_whenever_the_next_run_ends_with_the_same_bytes(
    fresh: Pipeline, digest: str, tmp_path: Path, seed: int
) -> None:
    outcome = survive(fresh, tmp_path / "killed", draw_kill(np.random.default_rng([2, seed])), digest)
    assert outcome.same_bytes
    assert outcome.num_lost <= 1
    assert outcome.leftovers == ()
