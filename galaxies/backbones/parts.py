"""A batch in small parts, each computed by one thread on one core: what passes between two operations stays in the cache.

Legend: B images in a batch.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

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
        results: dict[str, Tensor] = {}
        allocating = Lock()

        def fill(start: int) -> None:
            part = compute(images[start : start + part_size])
            with allocating:  # The first part that is done tells the shapes.
                for name, rows in part.items():
                    if name not in results:
                        results[name] = torch.empty(len(images), *rows.shape[1:], dtype=rows.dtype)
            # Not all parts and then their whole: of large maps that would be twice the memory.
            for name, rows in part.items():
                results[name][start : start + part_size] = rows

        list(threads.map(fill, range(0, len(images), part_size)))  # Exceptions arrive here.
        return results

    return compute_all


def _use_one_core() -> None:
    """Limit PyTorch to one core in the thread that calls this; the process keeps its number."""
    torch.get_num_threads()  # Its first call in a thread takes the process's number over; a limit set before is lost.
    threadpool_limits(1, user_api="openmp")
