"""How busy a fleet of workers is whose members die and lag: a simulation by discrete events, not a measurement.

Blocks go to whoever is free (Ray, or ``--part any``), or are dealt beforehand (``--part I/N``, the elements of a Slurm array).
A worker lives for an exponential time and loses the block it was at; another takes its place after the time that a start
takes. Some workers are slow for good, and a block's time varies by a lognormal factor. Efficiency is the time that the blocks
need on sound workers, over the number of workers times the wall time; starts, deaths, slow workers and the wait for the last
block take the rest.

Legend: a block is the rows of one shard, the unit of work.
"""

import argparse
import heapq
import statistics
from dataclasses import dataclass

import numpy as np

from benchmarks.measuring import make_parser

_NUMBERS_OF_WORKERS = (8, 32, 128, 512)
_NUM_SEEDS = 5


@dataclass(frozen=True)
class Fleet:
    """What the workers are like; times in s."""

    num_workers: int
    block_s: float  # mean time of a block on a sound worker
    start_s: float  # from the beginning, or from a death, to the first block
    mean_life_s: float
    slow_fraction: float  # chance of a worker to be slow
    slowness: float  # how many times as long a slow one needs
    spread: float = 0.1  # standard deviation of the logarithm of a block's time


def simulate(fleet: Fleet, num_blocks: int, *, is_dealt: bool, seed: int) -> float:
    """Return the wall time in s until all blocks are done.

    Args:
        fleet: the workers.
        num_blocks: how many blocks are missing.
        is_dealt: whether worker w has the blocks b with b mod number of workers = w, instead of any that is left.
        seed: of lives, times, and of who is slow.
    """
    generator, number = np.random.default_rng(seed), fleet.num_workers
    share = [worker if is_dealt else 0 for worker in range(number)]  # from which each takes blocks
    left = [(num_blocks + number - 1 - worker) // number for worker in range(number)] if is_dealt else [num_blocks]
    pace = np.where(generator.random(number) < fleet.slow_fraction, fleet.slowness, 1.0) * fleet.block_s
    lives = fleet.start_s + generator.exponential(fleet.mean_life_s, number)
    events = [(fleet.start_s, worker, "free") for worker in range(number)]
    finished = 0.0
    while events:
        now, worker, event = heapq.heappop(events)
        if event == "dead":
            left[share[worker]] += 1
            lives[worker] = now + fleet.start_s + generator.exponential(fleet.mean_life_s)
            heapq.heappush(events, (now + fleet.start_s, worker, "free"))
            continue
        finished = now if event == "done" else finished
        if left[share[worker]]:
            left[share[worker]] -= 1
            end = now + pace[worker] * generator.lognormal(-(fleet.spread**2) / 2, fleet.spread)
            heapq.heappush(events, (end, worker, "done") if end <= lives[worker] else (lives[worker], worker, "dead"))
    return finished


def main() -> None:
    """Print a table for each length of a block."""
    parser = make_parser(__doc__)
    parser.add_argument("--galaxies", type=int, default=10**9, help="galaxies")
    parser.add_argument("--block-rows", type=int, default=8192, help="rows of a block: 64 MiB of 2,048 float32")
    parser.add_argument("--rates", type=float, nargs="+", required=True, help="images/s of a sound worker, a table each")
    parser.add_argument("--start-s", type=float, default=60, help="seconds from a death to the next block")
    parser.add_argument("--life-h", type=float, default=1, help="mean time between failures of a worker, in hours")
    parser.add_argument("--slow-fraction", type=float, default=0.05, help="share of workers that is slow")
    parser.add_argument("--slowness", type=float, default=4, help="how many times as long slow ones need")
    arguments = parser.parse_args()
    for rate in arguments.rates:
        _print_table(arguments, rate)


def _print_table(arguments: argparse.Namespace, rate: float) -> None:
    num_blocks, block_s = -(-arguments.galaxies // arguments.block_rows), arguments.block_rows / rate
    print(f"\n{num_blocks:,} blocks of {block_s:.3g} s ({rate:g} images/s a worker); mean of {_NUM_SEEDS} seeds\n")
    print("| workers | free ones take any: efficiency | hours | dealt beforehand: efficiency | hours |")
    print("|---|---|---|---|---|")
    for number in _NUMBERS_OF_WORKERS:
        fleet = Fleet(number, block_s, arguments.start_s, arguments.life_h * 3600, arguments.slow_fraction, arguments.slowness)
        cells = []
        for is_dealt in (False, True):
            seconds = [simulate(fleet, num_blocks, is_dealt=is_dealt, seed=seed) for seed in range(_NUM_SEEDS)]
            efficiency = statistics.mean(num_blocks * block_s / (number * wall_s) for wall_s in seconds)
            cells += [f"{efficiency:.2f}", f"{statistics.mean(seconds) / 3600:.3g}"]
        print(f"| {number} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
