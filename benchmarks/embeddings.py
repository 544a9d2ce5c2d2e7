"""How long other people's embeddings take from a table to full metrics: 17,736 x 768, ten classes, every stage of dvc.yaml.

Usage: python -m benchmarks.embeddings [--rows N] [--features C]. The embeddings are ten clouds, drawn by chance; each stage is
a process of its own, as DVC starts it, and DVC's own work (digests, cache) is not counted.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

_REPOSITORY = Path(__file__).parents[1]
_NUM_CLASSES = 10
_STAGES = ("download", "split", "extract", "train", "baselines", "measure", "audit", "evaluate", "classify", "report")
_TO_METRICS = ("download", "split", "extract", "train", "measure", "evaluate")
_ALSO = ("project", "draw")
_WITH_LAYER = ("extract", "baselines", "audit", "project")


def main() -> None:
    """Print the seconds of each stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=17_736)
    parser.add_argument("--features", type=int, default=768)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder, options.rows, options.features)
        seconds = {stage: _run(stage, folder) for stage in (*_STAGES, *_ALSO)}
        print((folder / "metrics/test.json").read_text())
    for stage, taken in seconds.items():
        print(f"{stage:10} {taken:6.1f} s")
    print(f"{'to metrics':10} {sum(seconds[stage] for stage in _TO_METRICS):6.1f} s: {', '.join(_TO_METRICS)}")
    print(f"{'all':10} {sum(seconds.values()):6.1f} s")


def _write(folder: Path, num_rows: int, num_features: int) -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, _NUM_CLASSES, num_rows)
    centres = generator.normal(size=(_NUM_CLASSES, num_features))
    features = (generator.normal(size=(num_rows, num_features)) + 0.2 * centres[labels]).astype(np.float32)
    table = pd.DataFrame({"id": [f"g{row:07d}" for row in range(num_rows)], "label": [f"class {label}" for label in labels]})
    table.assign(features=list(features)).to_parquet(folder / "embeddings.parquet")
    params = YAML(typ="safe").load((_REPOSITORY / "params.yaml").read_text())
    params["download"] |= {"source": "embeddings", "path": "embeddings.parquet", "sha256": "any"}
    params["extract"]["layers"], params["train"]["layer"] = ["embeddings"], "embeddings"
    with (folder / "params.yaml").open("w") as file:
        YAML().dump(params, file)


def _run(stage: str, folder: Path) -> float:
    start = time.perf_counter()
    command = [sys.executable, "-m", f"stages.{stage}", *(["embeddings"] if stage in _WITH_LAYER else [])]
    environment = {**os.environ, "PYTHONPATH": str(_REPOSITORY), "TQDM_DISABLE": "1"}
    subprocess.run(command, cwd=folder, env=environment, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
