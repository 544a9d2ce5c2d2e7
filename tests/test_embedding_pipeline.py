"""DVC on other people's embeddings: the whole pipeline, and what `metrics diff`, `plots diff` and `compare` say of two runs."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.pipelines import make_pipeline, write_params

NUM_GALAXIES = 180

pytestmark = [pytest.mark.pipeline, pytest.mark.slow]


def test_the_pipeline_runs_and_a_second_run_is_compared_with_it(tmp_path: Path) -> None:
    labels = np.arange(NUM_GALAXIES) % 3
    features = np.random.default_rng(0).normal(size=(NUM_GALAXIES, 6)) + 3 * np.eye(3, 6)[labels]
    names = [None if index % 10 == 9 else f"class {label}" for index, label in enumerate(labels)]
    table = pd.DataFrame({"id": [f"g{index}" for index in range(NUM_GALAXIES)], "label": names})
    table.assign(**{f"f{index}": features[:, index] for index in range(6)}).to_parquet(tmp_path / "embeddings.parquet")
    pipeline = make_pipeline(
        tmp_path / "galaxies",
        download={"source": "embeddings", "path": str(tmp_path / "embeddings.parquet")},
        extract={"layers": ["embeddings"]},
        train={"layer": "embeddings"},
    )
    printed = pipeline.run("dvc", "repro")
    assert "nothing but `layers` counts, no backbone is run" in printed
    assert len(pd.read_parquet(pipeline.folder / "data/pool.parquet")) == NUM_GALAXIES // 10
    assert "up to date" in pipeline.run("dvc", "status")
    pipeline.run("git", "add", "-A")
    pipeline.run("git", "commit", "-qm", "first")

    write_params(pipeline.folder, train={"learning_rate": 0.05})
    printed = pipeline.run("dvc", "repro")
    assert [name for name in ("split", "extract@embeddings", "project", "audit") if f"Running stage '{name}'" in printed] == []
    changed = json.loads(pipeline.run("dvc", "metrics", "diff", "--json"))
    assert changed["metrics/test.json"]["nll"]["diff"] != 0
    pipeline.run("dvc", "plots", "diff", "HEAD", "workspace")
    page = (pipeline.folder / "dvc_plots/index.html").read_text(encoding="utf-8")
    assert page.count("vegaEmbed(") > 8
    assert "accuracy" in pipeline.run("python", "-m", "galaxies", "compare", "HEAD", "workspace")
