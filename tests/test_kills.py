"""A pipeline that is killed at random continues: a few kills here, many with ``python -m benchmarks.kills``."""

import signal
from pathlib import Path

import numpy as np
import pytest

from tests.kills import Kill, draw_kill, expected_digest, make_fresh_pipeline, survive
from tests.pipelines import Pipeline

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return make_fresh_pipeline(tmp_path_factory.mktemp("kills") / "fresh")


@pytest.fixture(scope="module")
def digest(fresh: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> str:
    return expected_digest(fresh, tmp_path_factory.mktemp("kills") / "whole")


@pytest.mark.parametrize(
    "kill",
    [
        # A queued run and the orphan of a killed dvc are the hard ones; the others are drawn.
        pytest.param(Kill("exp run --temp", "dvc", signal.SIGKILL, "writing", 2, 0.0), id="an-orphan"),
        *(pytest.param(draw_kill(np.random.default_rng(seed)), id=f"seed-{seed}") for seed in range(3)),
    ],
)
def test_a_random_kill_costs_at_most_one_shard(fresh: Pipeline, digest: str, tmp_path: Path, kill: Kill) -> None:
    outcome = survive(fresh, tmp_path / "copy", kill, digest)
    assert outcome.same_bytes
    assert outcome.num_lost <= 1
    assert outcome.leftovers == ()
