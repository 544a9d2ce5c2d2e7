"""What changes speed alone: the GPU is used when there is one, and every core."""

import os

import pytest
import torch

from galaxies.errors import InputError
from galaxies.runtime import Device, RuntimeParams


def pretend(accelerator: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch see one accelerator, or none."""
    device = torch.device(accelerator) if accelerator else None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: accelerator == "cuda")
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: device)


@pytest.mark.parametrize(
    ("accelerator", "device", "expected"),
    [
        ("cuda", "auto", "cuda"),
        ("cuda", "cuda", "cuda"),
        ("cuda", "cpu", "cpu"),
        ("mps", "mps", "mps"),
        ("xpu", "xpu", "xpu"),
        # By name only: nobody has tried these.
        ("mps", "auto", "cpu"),
        ("xpu", "auto", "cpu"),
        (None, "auto", "cpu"),
        (None, "cpu", "cpu"),
    ],
)
def test_the_gpu_is_used_when_there_is_one(
    accelerator: str | None, device: Device, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older project threw the result of .to(device) away and stayed on the CPU."""
    pretend(accelerator, monkeypatch)
    assert RuntimeParams(device).pick_device().type == expected


@pytest.mark.parametrize("device", ["cuda", "mps", "xpu"])
def test_a_device_that_is_asked_for_and_absent_is_an_error(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(None, monkeypatch)
    with pytest.raises(
        InputError, match=rf"runtime\.device: found {device}, .* no such device here, only cpu; .*=auto` or `--device auto`"
    ):
        RuntimeParams(device).pick_device()
    pretend("mps" if device != "mps" else "cuda", monkeypatch)
    with pytest.raises(InputError, match=rf"found {device}, .* only (mps|cuda) and cpu;"):
        RuntimeParams(device).pick_device()


@pytest.mark.parametrize("device", ["mps", "xpu"])
def test_another_accelerator_gives_what_the_cpu_gives(device: Device) -> None:
    present = torch.accelerator.current_accelerator(check_available=True)
    if present is None or present.type != device:
        pytest.skip(f"needs an {device} device")
    # Imported here, because these few lines need all of the backbones.
    from galaxies.backbones.backbone import load_backbone
    from galaxies.backbones.forward import ForwardPass, make_forward
    from galaxies.backbones.spec import BackboneSpec
    from galaxies.backbones.streams import forward_batches
    from tests.toys import toy_images

    backbone = load_backbone(BackboneSpec("resnet18", image_size=32), layers=[])
    asked, batch = ForwardPass(("input", "layer2"), "map"), torch.from_numpy(toy_images(4))
    expected = make_forward(backbone, asked, device=torch.device("cpu"))(batch)["layer2"]
    forward = make_forward(backbone, asked, device=present)
    (found,) = forward_batches(lambda images: {"layer2": (forward(images)["layer2"],)}, [batch], present)
    torch.testing.assert_close(found["layer2"][0], expected, atol=1e-3, rtol=1e-2)


def test_auto_is_every_core_that_this_process_may_use() -> None:
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cores)})
        assert RuntimeParams(num_workers="auto").count_workers() == 1
    finally:
        os.sched_setaffinity(0, cores)
    assert RuntimeParams(num_workers="auto").count_workers() == len(cores)
    assert RuntimeParams(num_workers=3).count_workers() == 3
