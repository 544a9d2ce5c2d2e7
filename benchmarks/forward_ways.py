"""The ways of `benchmarks.forward`: each a function that makes a call on a batch that is ready, (B, 3, s, s)."""

import copy
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from galaxies.backbones.backbone import Backbone, cut
from galaxies.backbones.folding import fold_batch_norms
from galaxies.backbones.forward import choose_part_size
from galaxies.backbones.onnx_network import open_onnx_network
from galaxies.backbones.parts import compute_in_parts

Call = Callable[[], Tensor]
"""Give the activation of the layer, (B, ...)."""

PACKAGES = {"onnxruntime": ("onnxruntime", "onnx", "onnxscript", "onnx-ir"), "openvino": ("openvino",)}
"""What a way needs beside PyTorch, by the first word of its name."""


def make_ways(backbone: Backbone, layer: str, pixels: Tensor) -> Iterator[tuple[str, Callable[[], Call]]]:
    """Yield each way that works here, the eager one first, with what makes its call; making it is timed."""
    network = fold_batch_norms(cut(backbone.module, [layer]))
    arguments = (network, layer, pixels)
    yield "torch", partial(_eager, *arguments)
    if shutil.which("g++") or shutil.which("clang++"):
        yield "compiled, frozen", partial(_compiled, *arguments)
    yield "onnxruntime", partial(_onnxruntime, *arguments)
    yield "onnxruntime, parts", partial(_onnxruntime_parts, *arguments)
    if find_spec("openvino"):
        yield "openvino", partial(_openvino, *arguments)
        yield "openvino, streams", partial(_openvino_streams, *arguments)
    yield "torch, bfloat16", partial(_eager, *arguments, bfloat16=True)
    if shutil.which("g++") or shutil.which("clang++"):
        yield "compiled, bfloat16", partial(_compiled, *arguments, bfloat16=True)
    if find_spec("openvino"):
        yield "openvino, bfloat16", partial(_openvino_streams, *arguments, precision="bf16")


def _eager(network: fx.GraphModule, layer: str, pixels: Tensor, *, bfloat16: bool = False) -> Call:
    return _in_torch(copy.deepcopy(network).to(memory_format=torch.channels_last), layer, pixels, bfloat16=bfloat16)


def _compiled(network: fx.GraphModule, layer: str, pixels: Tensor, *, bfloat16: bool = False) -> Call:
    import torch._inductor.config

    torch._inductor.config.freezing = True  # Weights become constants, packed for the kernels once.
    own = copy.deepcopy(network).to(memory_format=torch.channels_last)
    return _in_torch(torch.compile(own), layer, pixels, bfloat16=bfloat16)


def _in_torch(network: Any, layer: str, pixels: Tensor, *, bfloat16: bool) -> Call:
    ready = pixels.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def call() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            activation: Tensor = network(ready)[layer]
        return activation

    return call


def _onnxruntime(network: fx.GraphModule, layer: str, pixels: Tensor) -> Call:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        graph = _export(network, layer, pixels, Path(folder))
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda: torch.from_numpy(session.run(None, {"pixels": pixels.numpy()})[0])


def _onnxruntime_parts(network: fx.GraphModule, layer: str, pixels: Tensor) -> Call:
    with tempfile.TemporaryDirectory() as folder:
        onnx = open_onnx_network(network, [layer], image_shape=_image_shape(pixels), folder=Path(folder))
    in_parts = compute_in_parts(onnx, part_size=choose_part_size(pixels.shape[-1]), num_threads=torch.get_num_threads())
    return lambda: in_parts(pixels)[layer]


def _openvino(network: fx.GraphModule, layer: str, pixels: Tensor) -> Call:
    compiled = _compile_openvino(network, layer, pixels, {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"})
    return lambda: torch.from_numpy(compiled(pixels.numpy())[0])


def _openvino_streams(network: fx.GraphModule, layer: str, pixels: Tensor, *, precision: str = "f32") -> Call:
    num_streams = torch.get_num_threads()
    hints = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": num_streams, "INFERENCE_PRECISION_HINT": precision}
    compiled = _compile_openvino(network, layer, pixels, hints)
    parts = torch.split(pixels, choose_part_size(pixels.shape[-1]))
    threads = ThreadPoolExecutor(num_streams)
    requests = [compiled.create_infer_request() for _ in range(num_streams)]

    def infer(number: int) -> list[Tensor]:
        """Return what one stream makes of its share of the parts; copies, since a request gives its own memory."""
        return [torch.from_numpy(requests[number].infer({0: part.numpy()})[0].copy()) for part in parts[number::num_streams]]

    def call() -> Tensor:
        shares = list(threads.map(infer, range(num_streams)))
        return torch.cat([shares[number % num_streams][number // num_streams] for number in range(len(parts))])

    return call


def _compile_openvino(network: fx.GraphModule, layer: str, pixels: Tensor, hints: dict[str, Any]) -> Any:
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        graph = _export(network, layer, pixels, Path(folder))
        return openvino.Core().compile_model(graph, "CPU", {"INFERENCE_NUM_THREADS": torch.get_num_threads(), **hints})


def _export(network: fx.GraphModule, layer: str, pixels: Tensor, folder: Path) -> Path:
    """Return the graph that `extract` makes."""
    open_onnx_network(network, [layer], image_shape=_image_shape(pixels), folder=folder)
    return next(folder.glob("*/network.onnx"))


def _image_shape(pixels: Tensor) -> tuple[int, int, int]:
    channels, height, width = pixels.shape[1:]
    return channels, height, width
