"""Kill `galaxies predict --keep` again and again, while it fills and while it grows, and compare the bytes in the end.

    python -m benchmarks.keeping_kills [--kills 50] [--seed 0]

Each run begins with a part of the catalogue, which is kept; then the catalogue has all its lines, and three kills at random
moments strike before the command may end. Asserted: store, table and answers are those of one run over all that nobody killed,
nothing half-written is left, and after no kill does a survey open that is neither the old nor the new one.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from galaxies.errors import InputError
from galaxies.prediction.stored_survey import open_survey
from tests.pipelines import REPOSITORY
from tests.predicting import save_toy_head
from tests.toys import toy_images, tree_bytes

NUM_IMAGES = 300
_BLOCK_ROWS = 16
_KILLS_A_RUN = 3
_MOST_SECONDS = 600.0

_PROGRAM = f"""
import sys, torch
from galaxies.features import store
from galaxies.__main__ import main
torch.set_num_threads({torch.get_num_threads()})
store._MAX_SHARD_ROWS = {_BLOCK_ROWS}
sys.exit(main(["predict", "in/c.csv", "--out", sys.argv[1] + ".parquet", "--keep", sys.argv[1] + ".zarr", "--batch-size", "8",
               "--num-workers", "1", "--device", "cpu"]))
"""


def main() -> None:
    """Print what the kills came to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    generator = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_toy_head(folder)
        (folder / "in").mkdir()
        for index, image in enumerate(toy_images(NUM_IMAGES)):
            Image.fromarray(image).save(folder / "in" / f"{index}.png")
        write_catalogue(folder, NUM_IMAGES)
        begun = time.monotonic()
        expected, seconds = finish(folder, "whole"), time.monotonic() - begun
        num_kills = number = 0
        while num_kills < options.kills:
            first = int(generator.integers(0, NUM_IMAGES))
            if first:
                write_catalogue(folder, first)
                finish(folder, "survey")
            write_catalogue(folder, NUM_IMAGES)
            struck = sum(kill(folder, seconds * float(generator.uniform(0.2, 1.1)), first) for _ in range(_KILLS_A_RUN))
            if finish(folder, "survey") != expected:
                raise SystemExit(f"run {number}: the bytes differ")
            if left := [path.name for path in folder.iterdir() if path.name.startswith(".survey")]:
                raise SystemExit(f"run {number}: {left} is left")
            num_kills, number = num_kills + struck, number + 1
            print(f"run {number}: from {first} to {NUM_IMAGES} inputs, {struck} kills, same bytes", flush=True)
            for path in (folder / "survey.zarr", folder / "survey.table"):
                subprocess.run(["rm", "-r", str(path)], check=True)
    print(f"{num_kills} kills in {number} runs: all end in the same bytes.")


def write_catalogue(folder: Path, num_inputs: int) -> None:
    """Write the first lines of the catalogue."""
    (folder / "in" / "c.csv").write_text("path\n" + "".join(f"{index}.png\n" for index in range(num_inputs)))


def kill(folder: Path, delay: float, num_before: int) -> bool:
    """Start the command and kill it after a delay; return whether it was still there."""
    process = start(folder, "survey")
    time.sleep(delay)
    struck = process.poll() is None
    process.kill()
    process.wait()
    try:
        num_rows = len(open_survey(folder / "survey.zarr"))
    except InputError:
        return struck  # There is none yet, or one without its table.
    if num_rows not in (num_before, NUM_IMAGES):
        raise SystemExit(f"a survey of {num_rows} rows opens, expected are {num_before} or {NUM_IMAGES}")
    return struck


def finish(folder: Path, name: str) -> dict[str, bytes]:
    """Run the command to its end; return the bytes of all that it made."""
    if start(folder, name).wait(_MOST_SECONDS) != 0:
        raise SystemExit((folder / "log").read_text())
    made = {part: tree_bytes(folder / f"{name}.{part}") for part in ("zarr", "table")}
    found = {f"{part}/{file}": content for part, files in made.items() for file, content in files.items()}
    return {**found, "answers": (folder / f"{name}.parquet").read_bytes()}


def start(folder: Path, name: str) -> "subprocess.Popen[bytes]":
    """Start the command."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TQDM_DISABLE": "1"}
    with (folder / "log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-c", _PROGRAM, name], cwd=folder, env=environment, stdout=log, stderr=log)


if __name__ == "__main__":
    main()
