"""Labels that are probably wrong, by two witnesses that must agree: held-out predictions and neighbours.

Methods: Northcutt et al. 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels" (JAIR 70), for the first;
Cover & Hart 1967 for the second. Legend: N rows of the catalog, C channels, K classes, J neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from tqdm import trange

from galaxies.data.catalog import Catalog
from galaxies.data.splits import SPLIT_NAMES, Splits, deal_groups
from galaxies.features.neighbours import find_neighbours

NUM_NEIGHBOURS = 10

_NUM_PARTS = 5
# As good as all 1,280 features of 2,488 real galaxies (accuracy 0.54 with 128, 256 or 512 components), and the fits that took
# minutes take half a second each (measured on one core).
_NUM_COMPONENTS = 128
# Strong, for hundreds of features and few galaxies a class; on standardised features it needs no tuning.
_INVERSE_PENALTY = 0.01
_MAX_ITERATIONS = 1000
_DIGITS = 4


@dataclass(frozen=True)
class Suspect:
    """A galaxy whose label is probably wrong. Its suggestion is for people to look at, not to be taken."""

    row: int  # of the features that were looked at
    suggested: int  # class
    confidence: float  # held-out probability of the suggested class
    label_confidence: float  # held-out probability of the label
    num_agreeing: int  # neighbours that bear the suggested class
    num_neighbours: int  # neighbours that were looked at

    @property
    def margin(self) -> float:
        """By how much the suggestion is likelier than the label: what the suspects are sorted by."""
        return self.confidence - self.label_confidence


def predict_held_out(
    features: NDArray[np.float32], targets: NDArray[np.int64], group: NDArray[np.int64], *, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return for each row the probabilities that a logistic regression gives which has not seen it, (N, K).

    The rows are dealt to five parts, sky groups whole and classes evenly; each part is predicted by a fit on the others,
    from the strongest principal components of the features.

    Args:
        features: standardised, (N, C).
        targets: class of each row, (N,).
        group: sky group of each row, (N,).
        generator: deals the groups.

    Returns:
        (N, K); a class that the fit never saw, because all its galaxies are in the part left out, has the probability NaN,
        as has every class where nothing is left to fit.
    """
    num_classes = int(targets.max(initial=-1)) + 1
    part = deal_groups(targets, group, _NUM_PARTS, generator)
    probabilities = np.full((len(targets), num_classes), np.nan)
    # On one thread the numbers do not depend on the machine's cores, and on a busy machine, where threads wait for each other,
    # it takes a fifth of the time (84 s and 16 s, measured).
    with threadpool_limits(1, user_api="blas"):
        components = _project(features)
        for number in trange(_NUM_PARTS, desc="predict held-out galaxies", unit="fit", delay=2):
            held_out, seen = np.flatnonzero(part == number), np.flatnonzero(part != number)
            known = np.unique(targets[seen])
            if len(known) < 2 or not len(held_out):
                continue
            model = LogisticRegression(C=_INVERSE_PENALTY, max_iter=_MAX_ITERATIONS).fit(components[seen], targets[seen])
            probabilities[np.ix_(held_out, known)] = model.predict_proba(components[held_out])
    return probabilities


def _project(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the strongest principal components of features whose mean is 0, (N, at most _NUM_COMPONENTS)."""
    directions = np.linalg.eigh(features.T @ features)[1]  # (C, C), in ascending order of variance
    result: NDArray[np.float32] = features @ directions[:, -_NUM_COMPONENTS:]
    return result


def claim_classes(targets: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the class that each row's probabilities claim with confidence, (N,), or -1 for none.

    A class is claimed where its probability is at least its mean over the galaxies that bear the label; of several, the
    likeliest. The mean, and not one threshold for all, keeps rare and difficult classes from being explained away.

    Args:
        targets: class of each row, (N,).
        probabilities: held out, (N, K); NaN is unknown.
    """
    of_label = np.where(np.arange(probabilities.shape[1]) == targets[:, None], probabilities, np.nan)
    num_known = np.isfinite(of_label).sum(axis=0)
    thresholds = np.where(num_known > 0, np.nansum(of_label, axis=0) / np.maximum(num_known, 1), np.inf)  # (K,)
    reached = np.where(probabilities >= thresholds, probabilities, -1.0)
    claimed: NDArray[np.int64] = np.where(reached.max(axis=1) >= 0, reached.argmax(axis=1), -1)
    return claimed


def find_suspects(
    features: NDArray[np.float32],
    targets: NDArray[np.int64],
    group: NDArray[np.int64],
    probabilities: NDArray[np.float64],
) -> list[Suspect]:
    """Return the galaxies whose label is probably wrong, the most striking first.

    A galaxy is suspected where its held-out probabilities claim another class (`claim_classes`), and at least half of its
    nearest neighbours bear that class. Either witness alone would accuse half the galaxies of a difficult catalogue.

    Args:
        features: standardised, (N, C).
        targets: class of each row, (N,).
        group: sky group of each row, (N,).
        probabilities: held out, (N, K), as `predict_held_out` gives.
    """
    claimed = claim_classes(targets, probabilities)
    # A label that no fit has seen (NaN) cannot be judged.
    judged = np.isfinite(probabilities[np.arange(len(targets)), targets])
    rows = np.flatnonzero((claimed >= 0) & (claimed != targets) & judged)
    neighbours = targets[find_neighbours(features, rows, group=group, num_neighbours=NUM_NEIGHBOURS)]  # (B, J) classes
    agreeing = (neighbours == claimed[rows][:, None]).sum(axis=1)
    suspects = [
        Suspect(
            row=int(row),
            suggested=int(claimed[row]),
            confidence=float(probabilities[row, claimed[row]]),
            label_confidence=float(probabilities[row, targets[row]]),
            num_agreeing=int(agreeing[index]),
            num_neighbours=neighbours.shape[1],
        )
        for index, row in enumerate(rows)
        if 2 * agreeing[index] >= neighbours.shape[1]
    ]
    return sorted(suspects, key=lambda suspect: (-suspect.margin, suspect.row))


def tabulate_suspects(suspects: Sequence[Suspect], catalog: Catalog, splits: Splits) -> pd.DataFrame:
    """Return a row a suspect in the form that ``split.labels`` reads: id, label (the suggestion), and the evidence.

    The other columns are present_label, row, split, confidence, label_confidence, num_agreeing and num_neighbours.
    """
    names, rows = splits.classes, np.array([suspect.row for suspect in suspects], np.int64)
    return pd.DataFrame(
        {
            "id": catalog.take(rows).ids.to_pylist(),
            "label": [names[suspect.suggested] for suspect in suspects],
            "present_label": [names[target] for target in splits.targets[rows]],
            "row": rows,
            "split": [SPLIT_NAMES[number] for number in splits.split[rows]],
            "confidence": [round(suspect.confidence, _DIGITS) for suspect in suspects],
            "label_confidence": [round(suspect.label_confidence, _DIGITS) for suspect in suspects],
            "num_agreeing": [suspect.num_agreeing for suspect in suspects],
            "num_neighbours": [suspect.num_neighbours for suspect in suspects],
        }
    )
