"""What there is to know about the data before anything is trained on it."""

import csv
import io
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from galaxies.data.selection import Selection
from galaxies.data.splits import DIVIDED, REASONS, SPLIT_NAMES, Splits

NO_LABEL = "no label"
"""What stands for the class of a galaxy of the pool in ``metrics/data_classes.csv``."""


def describe_data(
    selection: Selection, splits: Splits, *, redshift: NDArray[np.float64], ra: NDArray[np.float64]
) -> dict[str, int]:
    """Return counts, by name: of the file, of what was found in it, and of the galaxies in use.

    Args:
        selection: what the policies decided.
        splits: the rows in use.
        redshift: of all galaxies of the file, NaN where unknown.
        ra: of all galaxies of the file, NaN where unknown.
    """
    group_sizes, targets = np.bincount(splits.group), splits.targets[splits.labelled]
    return {
        "galaxies": len(selection.group),
        "used": len(splits),
        "conflicting": len(selection.conflicting),
        "blank": len(selection.blank),
        "no_position": int(np.isnan(ra).sum()),
        "no_redshift": int(np.isnan(redshift).sum()),
        "groups_of_several": int((group_sizes > 1).sum()),
        "galaxies_in_them": int(group_sizes[group_sizes > 1].sum()),
        "largest_group": int(group_sizes.max()),
        "classes": len(splits.classes),
        "smallest_class": int(np.bincount(targets[targets >= 0]).min()) if splits.classes else 0,
        **{split: len(splits.rows(split)) for split in SPLIT_NAMES},
    }


def describe_division(splits: Splits, fractions: Sequence[float], *, uses_cells: bool) -> dict[str, float]:
    """Return how near splits come to the shares asked for, by name; where cells go whole to a split that is a matter of luck.

    Args:
        splits: the rows in use.
        fractions: the share of train, val and test that was asked for.
        uses_cells: whether cells of the sky are the groups.
    """
    split, target = splits.split[splits.labelled], splits.targets[splits.labelled]
    kinds = [np.zeros_like(target), *([target] if len(splits.classes) else [])]
    errors = [0.0, 0.0]
    for place, kind in enumerate(kinds if len(split) else []):
        known = kind >= 0
        counts = np.bincount(kind[known] * len(DIVIDED) + split[known], minlength=(kind.max() + 1) * len(DIVIDED))
        counts = counts.reshape(-1, len(DIVIDED))
        errors[place] = round(float(np.abs(counts / counts.sum(axis=1, keepdims=True) - fractions).max()), 4)
    return {
        "cells": int(splits.group.max()) + 1 if uses_cells else 0,
        "near_borders": int((splits.reason == REASONS.index("near a border of cells")).sum()),
        "largest_share_error": errors[0],
        "largest_class_share_error": errors[1],
    }


def count_classes(splits: Splits) -> str:
    """Return CSV text with the number of galaxies of each class in each split: class_name, split, count.

    Train, val and test are always listed; of pool and unused, and of galaxies without a class, what there is.
    """
    kinds = [*splits.classes, NO_LABEL]
    counts = np.zeros((len(kinds), len(SPLIT_NAMES)), np.int64)
    np.add.at(counts, (splits.targets, splits.split), 1)  # The target -1 is the last kind.
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class_name", "split", "count"])
    for (kind, name), (number, split) in itertools.product(enumerate(kinds), enumerate(SPLIT_NAMES)):
        if counts[kind, number] or (split in DIVIDED and kind < len(splits.classes)):
            writer.writerow([name, split, counts[kind, number]])
    return text.getvalue()
