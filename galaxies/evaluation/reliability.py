"""How honest probabilities are: what they promise against what they keep.

Method: Guo et al. 2017, "On Calibration of Modern Neural Networks". Legend: B rows, K classes.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from galaxies.evaluation.intervals import share_interval

# Of equal width, as in the paper.
_NUM_BINS = 15


def change_temperature(probabilities: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """Return the probabilities, (B, K), that logits divided by ``factor`` times their temperature would give.

    With the factor 1 / temperature: the probabilities before calibration.
    """
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities) / factor
    scaled: NDArray[np.float64] = softmax(logits, axis=1)
    return scaled


def tabulate_reliability(targets: NDArray[np.int64], probabilities: NDArray[np.float64]) -> pd.DataFrame:
    """Return a row for each bin of confidence with galaxies in it: count, confidence, accuracy, accuracy_low, accuracy_high.

    The confidence of a galaxy is its highest probability, that of a bin their mean; the interval of the accuracy is 95 %.

    Args:
        targets: true classes, (B,).
        probabilities: (B, K).
    """
    confidence = probabilities.max(axis=1)
    # A bin holds its upper edge, as in the paper.
    bins = np.clip(np.ceil(confidence * _NUM_BINS).astype(np.int64) - 1, 0, _NUM_BINS - 1)
    right = probabilities.argmax(axis=1) == targets
    count = np.bincount(bins, minlength=_NUM_BINS)
    used = np.flatnonzero(count)
    num_right = np.bincount(bins, right, _NUM_BINS)[used]
    low, high = share_interval(num_right, count[used])
    return pd.DataFrame(
        {
            "count": count[used],
            "confidence": np.bincount(bins, confidence, _NUM_BINS)[used] / count[used],
            "accuracy": num_right / count[used],
            "accuracy_low": low,
            "accuracy_high": high,
        }
    )


def expected_calibration_error(targets: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    """Return the mean distance of accuracy and confidence over the bins of ``tabulate_reliability``, weighted by galaxies."""
    table = tabulate_reliability(targets, probabilities)
    return float(np.average((table["accuracy"] - table["confidence"]).abs(), weights=table["count"]))
