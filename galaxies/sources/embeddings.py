"""Other people's embeddings as galaxies: each row of a table checked, then written to a ``galaxies.h5`` without images.

Legend: M rows of the table, N galaxies that are used, C features.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from galaxies.data.embedding_writer import EmbeddingBlock, write_embeddings
from galaxies.data.embeddings_origin import EmbeddingsOrigin
from galaxies.data.labels import judge_labels, order_classes
from galaxies.errors import InputError
from galaxies.files import file_sha256, require_digest, require_free_disk
from galaxies.sources.catalogues import CatalogueLine, read_lines
from galaxies.sources.embedding_table import EmbeddingTable, open_embeddings
from galaxies.sources.image_catalogue import OnError, list_complaints, refuse_complaints
from galaxies.sources.image_import import LeftOut
from galaxies.tables.table import open_table

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckedEmbeddings:
    """A table, and what each of its rows says."""

    table: EmbeddingTable
    lines: Sequence[CatalogueLine]  # (M,) id, label and position
    group: NDArray[np.int64]  # (M,) -1: none
    num_features: int  # C
    class_names: tuple[str, ...]
    wrong: Mapping[int, str]  # why rows cannot be used, by their place

    @property
    def labels(self) -> NDArray[np.int16]:
        """(M,) index into the class names; -1 without a label."""
        codes = {name: code for code, name in enumerate(self.class_names)}
        return np.array([codes.get(line.class_name, -1) for line in self.lines], np.int16)


def import_embeddings(
    out: Path, *, path: Path, columns: str | None, sha256: str | None, on_error: OnError
) -> Sequence[LeftOut]:
    """Turn the embeddings in the table ``path`` into ``out``; return what was left out.

    Args:
        out: the file of galaxies.
        path: a Parquet table.
        columns: of the features, as :func:`galaxies.sources.embedding_table.open_embeddings` takes it.
        sha256: of the table, or ``any``.
        on_error: what becomes of rows that cannot be used.

    Raises:
        InputError: everything that is wrong with the table, and unless they are left out with its rows.
    """
    checked = check_embeddings(path, columns, on_error)
    digest = file_sha256(path)
    require_digest(digest, sha256, key="download.sha256", what=str(path))
    kept = len(checked.lines) - len(checked.wrong)
    require_free_disk(out.parent, 4 * kept * checked.num_features, f"Importing {path}")
    write_embeddings(
        out,
        _blocks(checked),
        num_galaxies=kept,
        num_features=checked.num_features,
        class_names=checked.class_names,
        origin=EmbeddingsOrigin(digest, checked.table.columns),
    )
    return [LeftOut(checked.lines[place].id, "", checked.wrong[place]) for place in sorted(checked.wrong)]


def check_embeddings(path: Path, columns: str | None, on_error: OnError = "refuse") -> CheckedEmbeddings:
    """Look at every row of a table once; features are read and let go again.

    Raises InputError with all that is wrong, with ``refuse`` also with single rows, by their ids.
    """
    table = open_embeddings(path, columns)
    lines = list(read_lines(open_table(path).with_positions()))
    lengths, is_finite = _look_at_features(table, len(lines))
    known = lengths[lengths > 0]
    num_features = int(np.bincount(known).argmax()) if len(known) else 0
    repeated = {name for name, count in Counter(line.id for line in lines).items() if count > 1}
    wrong = {}
    for place, line in enumerate(lines):
        problems = [*_line_problems(line, repeated), *_feature_problems(int(lengths[place]), num_features, is_finite[place])]
        if problems:
            wrong[place] = f"row {line.number} (id {line.id or 'missing'}): {'; '.join(problems)}"
    used = [line.class_name for place, line in enumerate(lines) if place not in wrong and line.label]
    report = judge_labels(Counter(used))
    if report.doubts and used:
        _logger.warning("%s: %s.\n%s", path, report.summary, list_complaints(report.doubts))
    complaints = [report.summary, *report.complaints] if report.complaints else []
    refuse_complaints(path, [*complaints, *(wrong.values() if on_error == "refuse" else ())])
    if len(wrong) == len(lines):
        raise InputError(f"{path}: no galaxy is left:\n{list_complaints(list(wrong.values()) or ['the table has no rows'])}")
    class_names = table.class_names if set(used) <= set(table.class_names or ()) else order_classes(dict.fromkeys(used))
    return CheckedEmbeddings(table, lines, table.read_group(), num_features, class_names or (), wrong)


def _look_at_features(table: EmbeddingTable, num_rows: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return how many features each row has, (M,), and whether all of them are finite."""
    lengths, is_finite, start = np.empty(num_rows, np.int64), np.empty(num_rows, bool), 0
    for batch in tqdm(table.batches(), "check embeddings", unit="batch", delay=2):
        stop = start + len(batch.lengths)
        lengths[start:stop], is_finite[start:stop] = batch.lengths, batch.is_finite
        start = stop
    return lengths, is_finite


def _line_problems(line: CatalogueLine, repeated: set[str]) -> Iterator[str]:
    if not line.id:
        yield "no id"
    elif line.id in repeated:
        yield "another row has this id too"
    yield from (*line.errors, *line.position_errors)
    if np.isnan(line.ra) != np.isnan(line.dec) and not line.position_errors:
        yield "one of ra and dec is known, the other is not"


def _feature_problems(length: int, expected: int, is_finite: bool) -> Iterator[str]:
    if length <= 0:
        yield "no features"
    elif length != expected:
        yield f"{length} features, expected {expected} as in most rows"
    elif not is_finite:
        yield "a feature is missing, NaN, or beyond float32"


def _blocks(checked: CheckedEmbeddings) -> Iterator[EmbeddingBlock]:
    """Yield the rows that are used, batch by batch."""
    labels, group, start = checked.labels, checked.group, 0
    with tqdm(total=len(checked.lines), desc="import", unit="galaxy") as progress:
        for batch in checked.table.batches():
            places = range(start, start + len(batch.lengths))
            kept = [place for place in places if place not in checked.wrong]
            is_kept = np.array([place not in checked.wrong for place in places])
            values = batch.values[np.repeat(is_kept, np.maximum(batch.lengths, 0))]
            lines = [checked.lines[place] for place in kept]
            yield EmbeddingBlock(
                values.reshape(len(kept), checked.num_features),
                labels[kept],
                np.array([line.ra for line in lines], np.float64),
                np.array([line.dec for line in lines], np.float64),
                group[kept],
                tuple(line.id for line in lines),
            )
            start = places.stop
            progress.update(len(places))
