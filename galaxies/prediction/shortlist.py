"""Which galaxies of the pool a person should see first: those that a head is least sure of, the newest, the surest.

Legend: B galaxies of a batch, K classes.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from galaxies.prediction.predictions import Predictions

_NUM_UNSURE, _NUM_NOVEL = 60, 60
# Of all classes together; each class has at least one.
_NUM_CONFIDENT, _MOST_OF_A_CLASS = 240, 24


class Best:
    """The rows with the greatest scores of all that were shown; of equal scores the earlier row."""

    def __init__(self, number: int) -> None:
        """Keep at most ``number`` rows."""
        self._number = number
        self._rows, self._scores = np.zeros(0, np.int64), np.zeros(0)

    def add(self, rows: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
        """Look at rows, (B,), beyond all earlier ones; what has no finite score counts as the least."""
        scores = np.where(np.isfinite(scores), scores, -np.inf)
        if len(scores) > self._number:
            least = np.partition(scores, len(scores) - self._number)[len(scores) - self._number]
            rows, scores = rows[scores >= least], scores[scores >= least]
        rows, scores = np.append(self._rows, rows), np.append(self._scores, scores)
        best = np.argsort(-scores, kind="stable")[: self._number]
        self._rows, self._scores = rows[best], scores[best]

    @property
    def rows(self) -> NDArray[np.int64]:
        """The best first."""
        return self._rows


class Shortlist:
    """The galaxies of the pool that the gallery shows."""

    def __init__(self, num_classes: int) -> None:
        """Look out for ``num_classes`` classes."""
        self._least_sure, self._most_novel = Best(_NUM_UNSURE), Best(_NUM_NOVEL)
        each = min(max(_NUM_CONFIDENT // max(num_classes, 1), 1), _MOST_OF_A_CLASS)
        self._most_confident = [Best(each) for _ in range(num_classes)]

    def add(self, rows: NDArray[np.int64], predictions: Predictions) -> None:
        """Look at the answers for some rows, (B,)."""
        confidence, targets = predictions.confidence, predictions.targets
        self._least_sure.add(rows, -confidence)
        self._most_novel.add(rows, predictions.novelty)
        for target in np.unique(targets).tolist():
            of_class = targets == target
            self._most_confident[target].add(rows[of_class], confidence[of_class])

    @property
    def rows(self) -> NDArray[np.int64]:
        """Of all lists, ascending."""
        return np.unique(np.array([row for rows in self.lists.values() for row in rows], np.int64))

    @property
    def lists(self) -> dict[str, list[int]]:
        """Rows by the name of the list, in the order in which they should be seen."""
        confident: Iterator[list[int]] = (best.rows.tolist() for best in self._most_confident)
        return {
            "unsure": self._least_sure.rows.tolist(),
            "novel": self._most_novel.rows.tolist(),
            "confident": [row for rows in confident for row in rows],
        }
