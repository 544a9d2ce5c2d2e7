"""Parts of a plan: which of its blocks one process fills, where several share the work without an engine between them."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from galaxies.errors import InputError
from galaxies.features.blocks import BlockPlan

# A worker that takes whatever is left looks this often what others have finished. Two may fill a block at once: it costs the
# time of one, and the bytes are the same.
_BLOCKS_AT_ONCE = 4


@dataclass(frozen=True)
class Part:
    """The blocks b with b mod ``count`` = ``index`` - 1, or any that are left where ``count`` is 0."""

    index: int
    count: int

    def has(self, number: int) -> bool:
        """Tell whether block ``number`` is of this part."""
        return self.count == 0 or number % self.count == self.index - 1

    def deal(self, plan_rest: Callable[[], BlockPlan]) -> Iterator[BlockPlan]:
        """Yield what to fill next, until nothing is left; ``plan_rest`` returns which blocks of the part are missing now."""
        rest = plan_rest()
        if self.count:
            yield rest
            return
        generator = np.random.default_rng(int.from_bytes(os.urandom(8), "little"))  # Another order for each worker.
        while rest.blocks:
            chosen = generator.permutation(len(rest.blocks))[:_BLOCKS_AT_ONCE]
            yield BlockPlan(tuple(rest.blocks[index] for index in np.sort(chosen).tolist()), rest.batch_rows)
            rest = plan_rest()


WHOLE = Part(1, 1)


def parse_part(text: str) -> Part:
    """Return the part that ``I/N`` or ``any`` names. Raises InputError for anything else."""
    if text == "any":
        return Part(0, 0)
    found = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    part = Part(int(found[1]), int(found[2])) if found else None
    if part is None or not 1 <= part.index <= part.count:
        raise InputError(
            f"--part: found {text!r}, expected I/N with I from 1 to N, as 1/8 to 8/8, or `any`. In a Slurm array of 1-8 that "
            "is $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT."
        )
    return part
