"""What changes speed alone: the GPU is used when there is one, and every core."""

import os

import pytest
import torch

from galaxies.errors import InputError
from galaxies.runtime import RuntimeParams


@pytest.mark.parametrize(("device", "expected"), [("auto", "cuda"), ("cuda", "cuda"), ("cpu", "cpu")])
def test_the_gpu_is_used_when_there_is_one(device: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The older project threw the result of .to(device) away and stayed on the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    params = RuntimeParams(device=device, batch_size=1, num_workers=0)  # type: ignore[arg-type]
    assert params.pick_device().type == expected


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_without_a_gpu_the_cpu_computes(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert RuntimeParams(device, 1, 0).pick_device().type == "cpu"  # type: ignore[arg-type]


def test_a_gpu_that_is_asked_for_and_absent_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"runtime\.device: found cuda, but torch sees no CUDA device.*runtime\.device=auto"):
        RuntimeParams("cuda", 1, 0).pick_device()


def test_auto_is_every_core_that_this_process_may_use() -> None:
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cores)})
        assert RuntimeParams("auto", 1, "auto").count_workers() == 1
    finally:
        os.sched_setaffinity(0, cores)
    assert RuntimeParams("auto", 1, "auto").count_workers() == len(cores)
    assert RuntimeParams("auto", 1, 3).count_workers() == 3
