"""A batch in small parts, each computed by one thread on one core: what passes between two operations stays in the cache.

Legend: B images in a batch.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

Compute = Callable[[Tensor], Mapping[str, Tensor]]


def compute_in_parts(compute: Compute, *, part_size: int, num_threads: int) -> Callable[[Tensor], dict[str, Tensor]]:
    """Return a function that gives what ``compute`` gives of a batch, from parts of it that several threads share.

    The parts are the same whatever the number of threads, so the numbers are too.

    Args:
        compute: from images, (B, ...), to named results, (B, ...); called by several threads at the same time.
        part_size: images in a part; the last one may be shorter.
        num_threads: parts at the same time; PyTorch uses one core in each.
    """
    threads = ThreadPoolExecutor(num_threads, "part", initializer=_use_one_core)

    def compute_all(images: Tensor) -> dict[str, Tensor]:
        parts = list(threads.map(compute, torch.split(images, part_size)))
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    return compute_all


def _use_one_core() -> None:
    """Limit PyTorch to one core in the thread that calls this; the process keeps its number."""
    torch.get_num_threads()  # Its first call in a thread takes the process's number over; a limit set before is lost.
    threadpool_limits(1, user_api="openmp")
