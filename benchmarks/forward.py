"""Ways to run a frozen network on a CPU, beside each other and beside what the processor can do.

    python -m benchmarks.forward
    python -m benchmarks.forward --network resnet50 --network mobilenet_v2 --rounds 5

Each network has a process of its own, in which the ways take turns on one batch that is ready in memory; figures are medians
over the rounds. PyTorch runs it eagerly, and compiled with frozen weights where there is a C++ compiler; ONNX Runtime on all of
the batch by all cores, and in parts of it on one core each, which is what `extract` does; OpenVINO where it is installed, tuned
for latency and with a stream a core. bfloat16 where a library has it. `limit` is the share of the larger rate that PyTorch and
ONNX Runtime reach in a product of two 2048 x 2048 float32 matrices, counted in the network's own multiplications and additions;
convolutions by fewer operations (Winograd) and products that are far from ideal themselves can bring it above 1. `error` is the
largest difference from the eager float32 pass, of the largest value; `start` takes exporting, compiling and the first call.
"""

import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, files
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.forward_ways import PACKAGES, Call, make_ways
from benchmarks.measuring import describe_machine, interleave, make_parser, run_apart
from galaxies.backbones.backbone import cut, load_backbone
from galaxies.backbones.spec import BackboneSpec

NETWORKS = {
    "resnet18": "layer4",
    "resnet50": "layer4",
    "mobilenet_v2": "features.18",
    "efficientnet_b0": "features.8",
    "timm:convnext_nano": "stages.3",
    "timm:vit_small_patch16_224": "blocks.11",
    "resnet18_half": "layer4",
}
_PRODUCT_SIZE = 2048


def main() -> None:
    """Print a table for each network, or, with ``--apart``, measure one and print its figures as JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("--network", action="append", choices=NETWORKS, help="default: all")
    parser.add_argument("--image-size", type=int, help="px; default: the weights' own")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn")
    parser.add_argument("--apart", action="store_true", help="used by the benchmark itself")
    options = parser.parse_args()
    names = options.network or list(NETWORKS)
    if options.apart:
        (name,) = names
        print(json.dumps(measure(name, options.image_size, options.batch_size, options.rounds, options.seconds)))
        return
    print(describe_machine(torch.device("cpu")))
    for name in names:
        passed = ["--network", name, "--apart", "--batch-size", options.batch_size, "--rounds", options.rounds]
        passed += ["--seconds", options.seconds, *(["--image-size", options.image_size] if options.image_size else [])]
        for line in format_figures(name, run_apart("benchmarks.forward", *passed)):
            print(line, flush=True)


def measure(name: str, image_size: int | None, batch_size: int, num_rounds: int, seconds: float) -> dict[str, Any]:
    """Return the figures of one network: of each way images/s, error and seconds to start, and what the processor can do."""
    layer = NETWORKS[name]
    backbone = load_backbone(BackboneSpec(name, image_size=image_size), layers=[layer])
    size = backbone.transform.image_size
    pixels = torch.randn(batch_size, 3, size, size, generator=torch.Generator().manual_seed(0))
    ways: dict[str, Call] = {}
    starts: dict[str, float] = {}
    found: dict[str, Tensor] = {}
    for way, make in make_ways(backbone, layer, pixels):
        begin = time.perf_counter()
        ways[way] = make()
        found[way] = ways[way]().float()
        starts[way] = time.perf_counter() - begin
    products = {f"product {library}": call for library, call in make_products()}
    turns = {way: partial(rate, call, seconds) for way, call in (ways | products).items()}
    rates = {way: statistics.median(given) for way, given in interleave(turns, num_rounds).items()}
    largest = found["torch"].abs().max()
    return {
        "image_size": size,
        "flops": count_flops(backbone.module, pixels[:1], [layer]),
        "limit_flops": max(rates[way] for way in products) * product_flops(),  # a second
        "ways": {
            way: {
                "rate": rates[way] * batch_size,
                "error": float((found[way] - found["torch"]).abs().max() / largest),
                "start": starts[way],
            }
            for way in ways
        },
    }


def rate(call: Callable[[], object], seconds: float) -> float:
    """Return calls a second, of as many as fit into ``seconds``."""
    started, number = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < seconds or not number:
        call()
        number += 1
    return number / elapsed


def make_products() -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield a product of two large matrices by each library."""
    import onnx
    import onnxruntime

    size = (_PRODUCT_SIZE, _PRODUCT_SIZE)
    left, right = torch.rand(size), torch.rand(size)
    yield "torch", lambda: left @ right
    declared = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, size) for name in ("a", "c")]
    node, weights = onnx.helper.make_node("MatMul", ["a", "b"], ["c"]), onnx.numpy_helper.from_array(right.numpy(), "b")
    graph = onnx.helper.make_graph([node], "product", declared[:1], declared[1:], [weights])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    yield "onnxruntime", lambda: session.run(None, {"a": left.numpy()})


def product_flops() -> int:
    """Return the multiplications and additions of one product."""
    return 2 * _PRODUCT_SIZE**3


@torch.inference_mode()
def count_flops(module: torch.nn.Module, pixels: Tensor, layers: Sequence[str]) -> int:
    """Return the multiplications and additions of one image on its way to the layers."""
    network = cut(module, list(layers))
    with FlopCounterMode(display=False) as counter:
        network(pixels)
    return int(counter.get_total_flops())


def format_figures(name: str, figures: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of one network."""
    flops, limit = figures["flops"], figures["limit_flops"]
    yield (
        f"\n{name} {NETWORKS[name]}, {figures['image_size']} px: {flops / 1e9:.2f} GFLOP an image, products at "
        f"{limit / 1e9:.0f} GFLOP/s"
    )
    yield f"{'':<24}{'images/s':>10}{'/ torch':>9}{'limit':>8}{'error':>10}{'start':>9}{'MB':>7}"
    for way, one in figures["ways"].items():
        ratio = one["rate"] / figures["ways"]["torch"]["rate"]
        share = one["rate"] * flops / limit
        size = sum(map(package_bytes, PACKAGES.get(way.split(",")[0], ()))) / 1e6
        start = f"{one['start']:.1f} s"
        yield f"{way:<24}{one['rate']:>10.1f}{ratio:>9.2f}{share:>8.2f}{one['error']:>10.1e}{start:>9}{size:>7.0f}"


def package_bytes(name: str) -> int:
    """Return the bytes of an installed package, 0 where it is not there."""
    with suppress(PackageNotFoundError):
        return sum(path.stat().st_size for file in files(name) or [] if (path := file.locate()).is_file())  # type: ignore[attr-defined]
    return 0


if __name__ == "__main__":
    main()
