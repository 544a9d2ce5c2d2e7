"""The votes, numbers or tags that ``train`` is asked to learn, of all rows of the catalog, and which rows they are known of.

Legend: N rows of the catalog.
"""

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galaxies.data.catalog import Catalog
from galaxies.data.question_files import open_tree
from galaxies.data.splits import Splits
from galaxies.data.target_file import TargetFile
from galaxies.data.target_reading import read_numbers, read_tags, read_votes
from galaxies.data.targets import Targets
from galaxies.errors import InputError
from galaxies.heads.train_params import TrainParams
from galaxies.paths import TARGETS

_logger = logging.getLogger(__name__)


def read_targets(params: TrainParams, catalog: Catalog, *, folder: Path, user_folder: Path) -> Targets | None:
    """Return what a head is to learn of every row; None where it is the class.

    Args:
        params: the section ``train``.
        catalog: whose rows they are.
        folder: the repository's top, with ``data/targets.parquet``.
        user_folder: what the path of a tree of questions is relative to.

    Raises:
        InputError: the table has not what is asked for, or holds what it cannot.
    """
    if params.target == "class":
        return None
    file = TargetFile(folder / TARGETS, len(catalog))
    if params.target == "votes":
        name = params.questions or ""  # TrainParams has seen to it that there is one.
        tree = open_tree(name, user_folder / Path(name).expanduser(), params.questions_sha256)
        return read_votes(file, catalog, tree, kind=params.vote_columns, questions=params.columns)
    if params.target == "tags":
        return read_tags(file, catalog, params.columns)
    return read_numbers(
        file,
        catalog,
        params.columns,
        scales=params.scales,
        units=params.units,
        error_columns=params.error_columns,
    )


def find_known(targets: Targets, splits: Splits) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of train and of val of which something is known that is to be learned, and say how many.

    Raises InputError where there are none.
    """
    known = targets.known
    counts, found = [], []
    for name in ("train", "val"):
        rows = splits.rows(name)
        found.append(rows[known[rows]])
        counts.append(f"{len(found[-1])} of {len(rows)} {name} rows")
    if not all(map(len, found)):
        names = ", ".join(targets.names[:10]) + (", …" if len(targets.names) > 10 else "")
        raise InputError(
            f"train: of {' and '.join(counts)} something is known in {names}; both need some. Name columns that more galaxies "
            "have (train.columns), or divide by one of them (split.stratify_by)."
        )
    _logger.info("train: the targets of %s are known.", " and ".join(counts))
    return found[0], found[1]
