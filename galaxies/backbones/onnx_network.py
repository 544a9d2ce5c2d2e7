"""The frozen part of a network as ONNX Runtime computes it on a CPU: its graph, exported once, and the session that runs it.

ONNX Runtime brings the weights into the order its kernels want once, when it loads the graph; PyTorch does so at every call.
Its error against PyTorch is that of rounding: 1e-6 to 3e-6 of the largest value (measured on seven architectures).

Legend: B images, c channels, s image size of the backbone.
"""

import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim

from galaxies.files import file_sha256, hash_json

_GRAPH = "network.onnx"
_WEIGHTS = "network.onnx.data"
_DIGESTS = "digests.json"
_FOLDER_SUFFIX = ".onnx"

# The graph is traced with two images: with one, the batch would be taken for a constant. It is tried with three.
_NUM_TRACED, _NUM_TRIED = 2, 3
# Of the largest value. Rounding stays below 1e-5 on every architecture that the tests know; a wrong graph is off by more.
_TOLERANCE = 1e-4


class CannotExport(Exception):
    """A network has no graph in ONNX that gives its numbers; the message is the reason."""


class OnnxNetwork:
    """Maps pixels, (B, c, s, s) float32, to the activation of each node; several threads may call it at the same time.

    A call computes on the thread that makes it: parts of a batch in several threads use several cores better than one call
    does (by 1.0 on ResNets to 1.3 on MobileNetV2, measured on two cores), and give the same numbers on any number of them.

    Attributes:
        version: of ONNX Runtime.
    """

    def __init__(self, folder: Path, nodes: Sequence[str]) -> None:
        """Load the graph in ``folder``, whose outputs are ``nodes``. Raises CannotExport where it cannot be run."""
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as errors

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # Errors; what it warns of, such as an odd graph, is not the user's to mend.
        known = (errors.Fail, errors.InvalidArgument, errors.InvalidGraph, errors.NotImplemented, errors.RuntimeException)
        try:
            self._session = onnxruntime.InferenceSession(folder / _GRAPH, options, providers=["CPUExecutionProvider"])
        except known as error:
            raise CannotExport(_say_why(error)) from error
        self._nodes, self.version = tuple(nodes), str(onnxruntime.__version__)

    def __call__(self, pixels: Tensor) -> dict[str, Tensor]:
        """Return the activation of each node."""
        activations = self._session.run(None, {"pixels": pixels.contiguous().numpy()})
        return dict(zip(self._nodes, map(torch.from_numpy, activations), strict=True))


def open_onnx_network(
    network: nn.Module, nodes: Sequence[str], *, image_shape: tuple[int, int, int], folder: Path
) -> OnnxNetwork:
    """Return ``network`` in ONNX Runtime, exported into ``folder`` unless its graph stands there whole.

    Args:
        network: maps pixels to a dict of node -> activation; in evaluation mode, on the CPU.
        nodes: the keys of that.
        image_shape: (c, s, s).
        folder: to keep the graph in. Whoever names it answers for the weights: they are not compared.

    Raises CannotExport where the exporter or ONNX Runtime lacks an operator, or the graph gives other numbers.
    """
    versions = {name: version(name) for name in ("torch", "onnx", "onnxscript", "onnxruntime")}
    key = hash_json({"nodes": list(nodes), "image_shape": list(image_shape), **versions})
    kept = folder / f"{key[:16]}{_FOLDER_SUFFIX}"
    if not _is_whole(kept):
        _export(network, nodes, image_shape, kept)
    return OnnxNetwork(kept, nodes)


def kept_graphs(folder: Path) -> list[str]:
    """Return the names of the graphs in ``folder``."""
    return [path.name for path in folder.glob(f"*{_FOLDER_SUFFIX}")]


def _export(network: nn.Module, nodes: Sequence[str], image_shape: tuple[int, int, int], kept: Path) -> None:
    """Write the folder ``kept``: whole, tried and with the digests of its files, or not at all."""
    pixels = torch.rand(_NUM_TRIED, *image_shape, generator=torch.Generator().manual_seed(0)) * 4 - 2
    kept.parent.mkdir(parents=True, exist_ok=True)
    for leftover in kept.parent.glob(f".{kept.name}.*"):
        shutil.rmtree(leftover, ignore_errors=True)  # Of a run that was killed here.
    temporary = Path(tempfile.mkdtemp(prefix=f".{kept.name}.", dir=kept.parent))
    try:
        _write_graph(_Outputs(network, nodes), pixels[:_NUM_TRACED], temporary / _GRAPH)
        _compare(OnnxNetwork(temporary, nodes)(pixels), network, pixels)
        digests = {name: file_sha256(temporary / name) for name in (_GRAPH, _WEIGHTS)}
        (temporary / _DIGESTS).write_text(json.dumps(digests), encoding="utf-8")
        shutil.rmtree(kept, ignore_errors=True)
        temporary.rename(kept)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class _Outputs(nn.Module):
    """A network whose activations come as a tuple, in the order of its nodes."""

    def __init__(self, network: nn.Module, nodes: Sequence[str]) -> None:
        super().__init__()
        self.network, self._nodes = network, tuple(nodes)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        activations = self.network(pixels)
        return tuple(activations[node] for node in self._nodes)


def _write_graph(network: nn.Module, pixels: Tensor, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of the exporter's own insides.
        previous = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            program = torch.onnx.export(
                network.eval(),
                (pixels,),
                dynamo=True,
                dynamic_shapes=({0: Dim("batch")},),
                input_names=["pixels"],
                verbose=False,
            )
        except RuntimeError as error:  # That of the exporter is one too.
            raise CannotExport(_say_why(error)) from error
        finally:
            logging.disable(previous)
    assert program is not None  # It is None only where torch writes the file itself.
    program.save(path, external_data=True)


@torch.inference_mode()
def _compare(found: dict[str, Tensor], network: nn.Module, pixels: Tensor) -> None:
    for node, expected in network(pixels).items():
        difference = float((found[node] - expected).abs().max() / expected.abs().max().clamp(min=1e-30))
        if found[node].shape != expected.shape or not difference <= _TOLERANCE:
            raise CannotExport(f"{node} differs by {difference:.2g} of its largest value, more than {_TOLERANCE:g}")


def _is_whole(kept: Path) -> bool:
    """Tell whether a graph's files are there and as they were written."""
    try:
        digests: object = json.loads((kept / _DIGESTS).read_text(encoding="utf-8"))
        found: object = {name: file_sha256(kept / name) for name in (_GRAPH, _WEIGHTS)}
        return found == digests
    except (FileNotFoundError, ValueError):
        return False


def _say_why(error: BaseException) -> str:
    """Return the first line of what an error comes from: the exporter's own messages are advice for its authors."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
