"""How often the 95 % intervals of `galaxies compare` hold the true difference of two heads: by simulation.

Usage: python -m benchmarks.difference_coverage [--simulations 1000]. Galaxies and heads are those of
`benchmarks.interval_coverage`; the second head shares most of its logits with the first (they disagree about 1 to 21 % of the
galaxies), and is as good or better. The truth is that of two million galaxies. Beside each interval stands the one of a paired
bootstrap (percentiles), and how often the truth lies above it and below it.

Legend: B galaxies, K classes.
"""

import argparse

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax
from tqdm import trange

from benchmarks.interval_coverage import CLASS_COUNTS, HEADS, NUM_RESAMPLES, PLACES, ROWS, SIZES, tabulate_coverage
from galaxies.evaluation.differences import find_differences
from galaxies.evaluation.intervals import metrics_of_sums, percentiles, resample_sums, sum_groups

# How much of the second head is its own, and by how much its logit of the true class is raised.
_SECOND_HEADS = {"much the same": (0.03, 0.0), "another": (0.2, 0.2)}


def main() -> None:
    """Print a table a pair of heads and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=1000)
    num_simulations = parser.parse_args().simulations
    for head, separation in HEADS.items():
        for name, (own, gain) in _SECOND_HEADS.items():
            generator = np.random.default_rng(0)
            settings = (separation, own, gain)
            truth, disagree = find_truth(*settings, generator)
            for size in SIZES:
                print(
                    f"\n{head} head and {name}, accuracy {truth[0]:+.3f}, disagree about {disagree:.1%}; {size:,} test galaxies"
                )
                table = measure_coverage(settings, size, truth, num_simulations, generator)
                print(table.to_string(float_format="{:.3f}".format), flush=True)


def draw_pairs(
    separation: float, own: float, gain: float, num_galaxies: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], list[NDArray[np.float64]]]:
    """Return classes, (B,), and the probabilities of both heads, (B, K) each."""
    num_classes = len(CLASS_COUNTS)
    likeness, other = (0.8 * np.random.default_rng(seed).normal(size=(num_classes, num_classes)) for seed in (1, 2))
    targets = generator.choice(num_classes, num_galaxies, p=CLASS_COUNTS / CLASS_COUNTS.sum())
    first, change = generator.normal(size=(2, num_galaxies, num_classes))
    second = np.sqrt(1 - own) * first + np.sqrt(own) * change
    heads = (likeness, first, separation), ((1 - own) * likeness + own * other, second, separation + gain)
    return targets, [softmax((like + by * np.eye(num_classes))[targets] + 1.2 * noise, axis=1) for like, noise, by in heads]


def find_truth(separation: float, own: float, gain: float, generator: np.random.Generator) -> tuple[NDArray[np.float64], float]:
    """Return the differences between two heads on two million galaxies, and about how many they disagree."""
    size, num_draws = 200_000, 10
    sums, disagree = np.zeros((2, 3 * len(CLASS_COUNTS) + 3)), 0.0
    for _ in range(num_draws):
        targets, both = draw_pairs(separation, own, gain, size, generator)
        sums += [sum_groups(targets, probabilities, np.zeros(size, np.int64))[0] for probabilities in both]
        disagree += float((both[0].argmax(axis=1) != both[1].argmax(axis=1)).mean()) / num_draws
    first, second = metrics_of_sums(sums)
    return second - first, disagree


def measure_coverage(
    settings: tuple[float, float, float],
    size: int,
    truth: NDArray[np.float64],
    num_simulations: int,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """Return a row a metric: how often ours and the paired bootstrap's interval held the truth, and how wide they were."""
    counts = np.zeros((2, 4, len(ROWS)))
    for _ in trange(num_simulations, desc="simulate", leave=False):
        targets, both = draw_pairs(*settings, size - size // 10, generator)
        drawn = np.concatenate([np.arange(len(targets)), np.arange(size // 10)])
        ours = find_differences(targets[drawn], both[0][drawn], both[1][drawn], drawn)
        sums = [sum_groups(targets[drawn], probabilities[drawn], drawn) for probabilities in both]
        resampled = resample_sums(np.concatenate(sums, axis=1), num_resamples=NUM_RESAMPLES, generator=generator)
        first, second = (metrics_of_sums(half) for half in np.split(resampled, 2, axis=1))
        for kind, (low, high) in enumerate(((ours.low, ours.high), percentiles(second - first))):
            # A class without a galaxy has no interval, which counts as one that holds everything.
            above, below = (truth > high)[PLACES], (truth < low)[PLACES]
            counts[kind] += [~above & ~below, above, below, np.nan_to_num(high - low)[PLACES]]
    return tabulate_coverage(counts / num_simulations, "paired bootstrap")


if __name__ == "__main__":
    main()
