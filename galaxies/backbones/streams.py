"""Batches on their way through a device: on an accelerator with streams, copies to it and from it overlap with its work."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain

import torch
from torch import Tensor

from galaxies.stations import in_order

Results = Mapping[str, tuple[Tensor, ...]]

_WITH_STREAMS = ("cuda", "xpu")  # mps has one queue and shares its memory with the CPU.


def has_streams(device: torch.device) -> bool:
    """Tell whether copies overlap with computing on ``device``, and images should be in pinned memory."""
    return device.type in _WITH_STREAMS


def forward_batches(
    compute: Callable[[Tensor], Results], batches: Iterable[Tensor], device: torch.device, *, num_at_once: int = 1
) -> Iterator[Results]:
    """Yield what ``compute`` makes of each batch of images, on the CPU, in order.

    Without streams, threads call ``compute`` with ``num_at_once`` batches at the same time. On a device with streams the images
    should be in pinned memory: three streams copy the next batch there, compute this one and copy the last one back at the same
    time, and results come one batch late.
    """
    if not has_streams(device):
        for results in in_order(compute, batches, num_threads=num_at_once) if num_at_once > 1 else map(compute, batches):
            yield {name: tuple(tensor.cpu() for tensor in tensors) for name, tensors in results.items()}
        return
    main = torch.accelerator.current_stream(device)
    upload, download = torch.Stream(device), torch.Stream(device)
    last: tuple[Results, torch.Event] | None = None
    for images in batches:
        with upload:
            on_device = images.to(device, non_blocking=True)
        main.wait_stream(upload)
        on_device.record_stream(main)
        results = compute(on_device)
        download.wait_stream(main)
        with download:
            copies = {name: tuple(map(_copy_to_pinned, tensors)) for name, tensors in results.items()}
            done = download.record_event()
        for tensor in chain.from_iterable(results.values()):
            # The allocator must not hand this memory out before the copy on the other stream has read it.
            tensor.record_stream(download)
        if last:
            last[1].synchronize()
            yield last[0]
        last = copies, done
    if last:
        last[1].synchronize()
        yield last[0]


def _copy_to_pinned(activation: Tensor) -> Tensor:
    """Start a copy to page-locked memory, which alone is copied without making the CPU wait."""
    copy = torch.empty(activation.shape, dtype=activation.dtype, pin_memory=True)
    return copy.copy_(activation, non_blocking=True)
