"""Kill the fetching of cutouts again and again, on a server that behaves badly, and compare the bytes of what comes in the end.

    python -m benchmarks.cutout_kills [--kills 50] [--cutouts 2000] [--seed 0]

Five kills strike each run before it may end. Asserted: galaxies.h5 is that of a run nobody killed, no second saw more requests
than the rate, and nothing half-written is left.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from galaxies.files import file_sha256
from tests.cutout_server import CutoutServer, misbehave_at_random, serve_cutouts, write_positions
from tests.pipelines import REPOSITORY

RATE = 80.0
_KILLS_A_RUN = 5
_MOST_SECONDS = 600.0


def main() -> None:
    """Print what the kills came to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--cutouts", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ["NO_PROXY"] = "127.0.0.1"
    generator = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as place, serve_cutouts() as server:
        whole = make_folder(Path(place) / "whole", server, options.cutouts)
        expected, num_kills, num_repeated, peak = finish(whole), 0, 0, 0
        number = 0
        while num_kills < options.kills:
            server.misbehave = misbehave_at_random(number, retry_after="0")
            server.queries.clear()
            server.times.clear()
            folder = make_folder(Path(place) / f"run{number}", server, options.cutouts)
            struck, memory = kill(folder, server, generator, options.cutouts, min(_KILLS_A_RUN, options.kills - num_kills))
            num_kills, peak, number = num_kills + struck, max(peak, memory), number + 1
            if finish(folder) != expected:
                raise SystemExit(f"run {number}: the bytes differ")
            if list(folder.rglob("*.tmp")):
                raise SystemExit(f"run {number}: something half-written is left")
            if server.most_in_a_second() > RATE:
                raise SystemExit(f"run {number}: {server.most_in_a_second()} requests in a second, allowed are {RATE:.0f}")
            num_repeated += len(server.queries) - options.cutouts
            print(
                f"run {number}: {struck} kills, same bytes; at most {server.most_in_a_second()} requests a second", flush=True
            )
    print(f"{num_kills} kills in {number} runs of {options.cutouts:,} cutouts: all end in the same bytes.")
    print(
        f"Requests asked again: {num_repeated / number:.0f} a run, {0.14 * options.cutouts:.0f} of them spoilt by the server."
    )
    print(f"Largest memory of a run when it was killed: {peak / 2**20:.0f} MiB.")


def make_folder(folder: Path, server: CutoutServer, num_cutouts: int) -> Path:
    """Make a folder with a catalogue and the parameters that fetch it."""
    folder.mkdir()
    write_positions(folder / "c.csv", num_cutouts)
    (folder / "params.yaml").write_text(
        "download:\n  source: cutouts\n  path: c.csv\n  sha256: any\n  image_size: 16\n  concurrency: 8\n"
        f"  url: '{server.url()}'\n  rate_per_second: {RATE}\nruntime: {{}}\n"
    )
    return folder


def kill(
    folder: Path, server: CutoutServer, generator: np.random.Generator, num_cutouts: int, num_kills: int
) -> tuple[int, int]:
    """Start the stage and kill it at random moments; return how often that struck, and the largest memory seen."""
    struck, peak = 0, 0
    for _ in range(num_kills):
        process = start(folder)
        begin, stop = len(server.queries), int(generator.integers(0, num_cutouts // num_kills))
        deadline = time.monotonic() + _MOST_SECONDS
        while process.poll() is None and len(server.queries) - begin < stop and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(float(generator.uniform(0, 0.05)))
        if process.poll() is None:
            peak = max(peak, psutil.Process(process.pid).memory_info().rss)
            struck += 1
        process.kill()
        process.wait()
    return struck, peak


def finish(folder: Path) -> str:
    """Run the stage to its end; return the digest of what it made."""
    if start(folder).wait(_MOST_SECONDS) != 0:
        raise SystemExit((folder / "log").read_text())
    return file_sha256(folder / "data" / "galaxies.h5")


def start(folder: Path) -> "subprocess.Popen[bytes]":
    """Start the stage."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TQDM_DISABLE": "1"}
    with (folder / "log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", "stages.download"], cwd=folder, env=environment, stdout=log, stderr=log)


if __name__ == "__main__":
    main()
