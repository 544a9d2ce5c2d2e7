"""Fine-tuning the end of a network: from cached maps, against end to end with the front frozen; by FLOPs and by the clock.

    python -m benchmarks.finetuning                          # layer4 of a ResNet-50, from layer3
    python -m benchmarks.finetuning resnet18 layer3 --image-size 64 --batch-size 8

Both train the same blocks and the same head by AdamW on the same batches. End to end, the front runs without gradients in every
step, as quickly as `extract` runs it; from cached maps it does not run at all, and the maps stand in memory, as resident
batches do. FLOPs are torch's count of one step of each, backward pass included.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measuring import describe_machine, extract_params, interleave, make_parser, median_ratio
from galaxies.backbones.backbone import cut, load_backbone, make_ending
from galaxies.backbones.folding import fold_batch_norms
from galaxies.backbones.spec import INPUT

_NUM_CLASSES = 10


def main() -> None:
    """Print FLOPs and time of a step, and their ratios."""
    parser = make_parser(__doc__)
    parser.add_argument("backbone", nargs="?", default="resnet50")
    parser.add_argument("layer", nargs="?", default="layer3")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    steps = make_steps(options.backbone, options.layer, options.image_size, options.batch_size, device)
    print(
        f"{describe_machine(device)}\n{options.backbone} after {options.layer}, {options.batch_size} x {options.image_size} px"
    )
    flops = {name: count_flops(step) for name, step in steps.items()}
    seconds = interleave({name: lambda step=step: measure(step, device) for name, step in steps.items()}, options.rounds)
    for name in steps:
        print(f"{name:<12}{flops[name] / 1e9:>10.1f} GFLOP{1e3 * statistics.median(seconds[name]):>10.0f} ms a step")
    predicted, measured = flops["cached"] / flops["end to end"], median_ratio(seconds["cached"], seconds["end to end"])
    print(f"cached / end to end: {predicted:.2f} predicted by FLOPs, {measured:.2f} measured")


def make_steps(name: str, layer: str, image_size: int, batch_size: int, device: torch.device) -> dict[str, Callable[[], None]]:
    """Return a training step from cached maps, and one end to end; they share the blocks that train."""
    params = extract_params(backbone=name, layers=(INPUT,), image_size=image_size, pool="map")
    front = fold_batch_norms(cut(load_backbone(params.spec, layers=params.layers).module, [layer])).to(
        device, memory_format=torch.channels_last
    )
    ending = make_ending(params.spec, layer).to(device)
    ending.prepare_training(freeze_batch_norm=True)
    ending.train()
    images = torch.rand(batch_size, 3, image_size, image_size, device=device).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        maps = front(images)[layer].contiguous()  # As they come from a store.
        head = nn.Linear(ending(maps).shape[1], _NUM_CLASSES).to(device)
    targets = torch.arange(batch_size, device=device) % _NUM_CLASSES
    learning = [parameter for parameter in (*ending.parameters(), *head.parameters()) if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, 1e-4)

    def train(activations: Tensor) -> None:
        loss = nn.functional.cross_entropy(head(ending(activations)), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def end_to_end() -> None:
        with torch.no_grad():
            activations = front(images)[layer]
        train(activations)

    return {"cached": lambda: train(maps), "end to end": end_to_end}


def count_flops(step: Callable[[], None]) -> int:
    """Return the FLOPs of a step, which also warms it up."""
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def measure(step: Callable[[], None], device: torch.device) -> float:
    """Return the seconds of a step."""
    started = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
