"""Kill the pipeline at random, run it again, and see what was lost.

    python -m benchmarks.kills --number 200

Each kill has a repository of its own, a way to run the pipeline (`dvc repro`, `dvc exp run`, `--temp`, the queue), a target
(the stage, dvc alone, all of them), a signal and a moment: while starting, writing, publishing, or while DVC hashes and
records what was published. Exits with 1 when a run did not continue, bytes differ, more than one shard was lost or files
were left over.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import fields
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tests.kills import Kill, Outcome, draw_kill, expected_digest, make_fresh_pipeline, survive


def main() -> int:
    """Print one line for each kill that went wrong, and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=10, help="kills")
    parser.add_argument("--forward", choices=("torch", "onnxruntime"), default="onnxruntime", help="what runs the network")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no kill after this time")
    arguments = parser.parse_args()
    generator = np.random.default_rng(arguments.seed)
    outcomes: list[tuple[Kill, Outcome | None]] = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kills.") as name:
        folder = Path(name)
        fresh = make_fresh_pipeline(folder / "fresh", library=arguments.forward)
        digest = expected_digest(fresh, folder / "whole")
        for number in tqdm(range(arguments.number), desc="kills", unit="kill"):
            if time.monotonic() - started > arguments.minutes * 60:
                break
            kill = draw_kill(generator)
            try:
                outcome = survive(fresh, folder / str(number), kill, digest)
            except (AssertionError, TimeoutError) as error:
                tqdm.write(f"{kill}: {error!r}")
                outcomes.append((kill, None))
                continue
            if not is_well(outcome):
                tqdm.write(f"{kill}: {outcome}")
            outcomes.append((kill, outcome))
            shutil.rmtree(folder / str(number))
    print_table(outcomes)
    num_well = sum(outcome is not None and is_well(outcome) for _, outcome in outcomes)
    print(f"\n{num_well} of {len(outcomes)} kills survived, in {(time.monotonic() - started) / 60:.0f} minutes")
    return int(num_well < len(outcomes))


def is_well(outcome: Outcome) -> bool:
    """Tell whether a kill cost at most one shard and nothing else."""
    return outcome.same_bytes and outcome.num_lost <= 1 and not outcome.leftovers


def print_table(outcomes: list[tuple[Kill, Outcome | None]]) -> None:
    """Print a row for each value of command, target, signal and moment."""
    print(f"{'':<26}{'kills':>6}{'struck':>8}{'continued':>11}{'same bytes':>12}{'most lost':>11}{'leftovers':>11}")
    for field in [field for field in fields(Kill) if field.name in ("command", "target", "signal", "moment")]:
        groups: dict[str, list[Outcome | None]] = defaultdict(list)
        for kill, outcome in outcomes:
            value = getattr(kill, field.name)
            groups[value.name if field.name == "signal" else value].append(outcome)
        for value, group in sorted(groups.items()):
            ended = [outcome for outcome in group if outcome is not None]
            print(
                f"{field.name + ' ' + value:<26}{len(group):>6}{sum(o.struck for o in ended):>8}{len(ended):>11}"
                f"{sum(o.same_bytes for o in ended):>12}{max((o.num_lost for o in ended), default=0):>11}"
                f"{sum(len(o.leftovers) for o in ended):>11}"
            )


if __name__ == "__main__":
    sys.exit(main())
