"""What there is to know about the data before anything is trained on it."""

import csv
import io
import itertools

import numpy as np
from numpy.typing import NDArray

from galaxies.data.selection import Selection
from galaxies.data.splits import SPLIT_NAMES, Splits


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
    group_sizes = np.bincount(splits.group)
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
        "smallest_class": int(np.bincount(splits.targets).min()),
        **{split: len(splits.rows(split)) for split in SPLIT_NAMES},
    }


def count_classes(splits: Splits) -> str:
    """Return CSV text with the number of galaxies of each class in each split: class_name, split, count."""
    num_pairs = len(splits.classes) * len(SPLIT_NAMES)
    counts = np.bincount(splits.targets * len(SPLIT_NAMES) + splits.split, minlength=num_pairs).tolist()
    pairs = itertools.product(splits.classes, SPLIT_NAMES)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class_name", "split", "count"])
    writer.writerows([name, split, count] for (name, split), count in zip(pairs, counts, strict=True))
    return text.getvalue()
