"""A survey in the making, and which of its blocks need not be computed: those on record, and those of a survey that is kept.

Legend: N rows, V views.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from galaxies.backbones.forward import Forward
from galaxies.features.identity import Identity
from galaxies.features.store import Layout, Store, shard_name, shard_path
from galaxies.features.unfinished import UnfinishedStore
from galaxies.files import link_or_copy
from galaxies.prediction.kept_table import CONDITIONS_NAME, part_name, read_record, table_path
from galaxies.sources.listing import Listing

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Network:
    """What makes a survey's numbers of images."""

    identity: Identity
    forward: Forward
    layout: Layout
    example: Tensor  # (1, V, ...) what it gives of noise
    head: str | None  # the digest of the head whose features are stored instead of activations


@dataclass(frozen=True)
class Survey:
    """A survey in the making."""

    store: UnfinishedStore
    num_rows: int
    network: Network

    @property
    def table(self) -> Path:
        """The folder of the parts."""
        return self.store.folder / f"{self.store.layer}.table"

    def shard_name(self, number: int) -> str:
        """Return the name of the file of a block's shard."""
        return shard_name(number, 1 + len(self.network.layout.row_shape))

    def blocks(self) -> list[range]:
        """Return the rows of each block."""
        rows = self.network.layout.shard_rows
        return [range(start, min(start + rows, self.num_rows)) for start in range(0, self.num_rows, rows)]


def forget_changed(survey: Survey, listing: Listing) -> None:
    """Take blocks off the record that hold other inputs than the listed ones, or whose part is gone."""
    wanted = {survey.shard_name(number): (number, block) for number, block in enumerate(survey.blocks())}
    num_changed = 0
    for name, digest in survey.store.list_shards().items():
        number, block = wanted.get(name, (0, range(0)))
        record = read_record(survey.table / part_name(number)) if block else None
        if record is None or record.shard_sha256 != digest or record.inputs_sha256 != listing.digest(block.start, block.stop):
            survey.store.forget_shard(name)
            num_changed += 1
    if num_changed:
        _logger.warning("%d blocks are computed again: their inputs have changed since, or more have come", num_changed)
    known = {part_name(number) for number in range(len(wanted))} | {CONDITIONS_NAME}
    for part in survey.table.iterdir():
        if part.name not in known:
            part.unlink()


def take_over(survey: Survey, listing: Listing, kept: Path, conditions: Mapping[str, object]) -> None:
    """Take over the blocks of a finished survey that hold what is listed; a file each is linked, nothing is copied."""
    found, num_axes = Store(kept), 1 + len(survey.network.layout.row_shape)
    num_taken, num_changed = 0, 0
    for number, block in enumerate(survey.blocks()):
        name, part = survey.shard_name(number), table_path(kept) / part_name(number)
        record = read_record(part)
        if survey.store.has_shard(name) or record is None or record.key != found.key:
            continue
        if record.inputs_sha256 != listing.digest(block.start, block.stop):
            num_changed += 1
            continue
        (survey.table / part.name).unlink(missing_ok=True)
        link_or_copy(part, survey.table / part.name)
        num_taken += survey.store.adopt_shard(name, shard_path(kept, number, num_axes), record.shard_sha256)
    if num_changed:
        _logger.warning(
            "%s: %d blocks are computed again: their inputs have changed since, or more have come", kept, num_changed
        )
    earlier = read_conditions(kept)
    changed = [name for name, value in conditions.items() if earlier.get(name, value) != value]
    if num_taken and changed:
        said = "; ".join(f"{name} was {earlier[name]!r}, is {conditions[name]!r}" for name in changed)
        _logger.warning("%s: its %d blocks stay, new ones may differ from them in the last bits: %s", kept, num_taken, said)


def read_conditions(survey: Path) -> dict[str, object]:
    """Return under which conditions a finished survey was made; nothing where that is not on record."""
    try:
        conditions: dict[str, object] = json.loads((table_path(survey) / CONDITIONS_NAME).read_text(encoding="utf-8"))[
            "conditions"
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return conditions
