"""How often the 95 % intervals, and the prediction sets at 90 %, hold the truth: by simulation.

Usage: python -m benchmarks.interval_coverage [--simulations 1000]. Ten classes as frequent as in Galaxy10 DECaLS (the rarest
has 6 of 300 galaxies), a weak, a middling and a strong head, and test sets of 300 and of 2,000 galaxies, a tenth of which
stand there twice, as one sky group. The truth is that of two million galaxies. Beside each interval stands the plain
bootstrap's (percentiles of as many resamples), and how often the truth lies above it and below it.

Legend: B galaxies, K classes.
"""

import argparse

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax
from tqdm import trange

from galaxies.evaluation.intervals import METRICS, find_intervals, metrics_of_sums, percentiles, resample_sums, sum_groups
from galaxies.heads.calibration import fit_set_thresholds, predict_sets

CLASS_COUNTS = np.array([1081, 1853, 2645, 2027, 334, 2043, 1829, 2628, 1423, 1873])
_RAREST, _MOST_FREQUENT = int(CLASS_COUNTS.argmin()), int(CLASS_COUNTS.argmax())
HEADS = {"weak": 2.4, "middling": 3.4, "strong": 5.2}  # by how much the logit of the true class is raised
SIZES = (300, 2000)
NUM_RESAMPLES = 400
ROWS = (*METRICS, "F1 of the rarest class", "F1 of the most frequent")
PLACES = [*range(len(METRICS)), len(METRICS) + _RAREST, len(METRICS) + _MOST_FREQUENT]  # of ROWS among the metrics


def main() -> None:
    """Print a table a head and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=1000)
    num_simulations = parser.parse_args().simulations
    for name, separation in HEADS.items():
        generator = np.random.default_rng(0)
        truth = find_truth(separation, generator)
        for size in SIZES:
            print(f"\n{name} head, accuracy {truth[0]:.3f}; {size:,} test galaxies, {num_simulations:,} simulations")
            print(measure_coverage(separation, size, truth, num_simulations, generator).to_string(float_format="{:.3f}".format))
            sets = np.mean([cover_by_sets(separation, size, generator) for _ in range(num_simulations)], axis=0)
            print(f"prediction sets: {sets[0]:.3f} of all galaxies, {sets[1]:.3f} of the rarest class are covered")


def draw_galaxies(
    separation: float, num_galaxies: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return classes, (B,), and probabilities, (B, K), of a head that mistakes some pairs of classes more than others."""
    num_classes = len(CLASS_COUNTS)
    likeness = 0.8 * np.random.default_rng(1).normal(size=(num_classes, num_classes)) + separation * np.eye(num_classes)
    targets = generator.choice(num_classes, num_galaxies, p=CLASS_COUNTS / CLASS_COUNTS.sum())
    logits = likeness[targets] + 1.2 * generator.normal(size=(num_galaxies, num_classes))
    return targets, softmax(logits, axis=1)


def find_truth(separation: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return the metrics of two million galaxies, in the order of `metrics_of_sums`."""
    size = 200_000
    sums = [sum_groups(*draw_galaxies(separation, size, generator), np.zeros(size, np.int64))[0] for _ in range(10)]
    return metrics_of_sums(np.sum(sums, axis=0))


def measure_coverage(
    separation: float, size: int, truth: NDArray[np.float64], num_simulations: int, generator: np.random.Generator
) -> pd.DataFrame:
    """Return a row a metric: how often ours and the plain bootstrap's interval held the truth, and how wide they were."""
    counts = np.zeros((2, 4, len(ROWS)))
    for _ in trange(num_simulations, desc="simulate", leave=False):
        targets, probabilities = draw_galaxies(separation, size - size // 10, generator)
        drawn = np.concatenate([np.arange(len(targets)), np.arange(size // 10)])
        data = targets[drawn], probabilities[drawn], drawn
        ours = find_intervals(*data, generator=generator, num_resamples=NUM_RESAMPLES)
        resampled = resample_sums(sum_groups(*data), num_resamples=NUM_RESAMPLES, generator=generator)
        plain = percentiles(metrics_of_sums(resampled))
        for kind, (low, high) in enumerate(((ours.low, ours.high), plain)):
            above, below = (truth > high)[PLACES], (truth < low)[PLACES]
            counts[kind] += [~above & ~below, above, below, np.nan_to_num(high - low)[PLACES]]
    return tabulate_coverage(counts / num_simulations, "plain bootstrap")


def tabulate_coverage(shares: NDArray[np.float64], rival: str) -> pd.DataFrame:
    """Return a row a metric from (ours and the rival's; held, above, below, width; metrics), (2, 4, len(ROWS))."""
    names = pd.MultiIndex.from_product([("ours", rival), ("covers", "above", "below", "width")])
    return pd.DataFrame(shares.reshape(8, -1).T, index=list(ROWS), columns=names)


def cover_by_sets(separation: float, size: int, generator: np.random.Generator) -> tuple[float, float]:
    """Return the share of new galaxies, and of those of the rarest class, whose prediction set holds their class.

    The thresholds come from half as many calibration galaxies as there are test galaxies, as with the default split.
    """
    thresholds = fit_set_thresholds(*draw_galaxies(separation, size // 2, generator))
    targets, probabilities = draw_galaxies(separation, 5000, generator)
    covered = predict_sets(probabilities, thresholds)[np.arange(len(targets)), targets]
    return float(covered.mean()), float(covered[targets == _RAREST].mean())


if __name__ == "__main__":
    main()
