"""A model as one file that runs without this project: transform, backbone, pooling and head in one graph.

``.pt2`` is PyTorch's own format (``torch.export``), ``.onnx`` runs in ONNX Runtime and many other programs. The exported graph
takes images (B, S, S, 3) uint8 of one size S, red first, and gives calibrated probabilities (B, K) float32.

Legend: B images, S their size, s image size of the backbone, C features, K classes.
"""

import json
import math
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional
from torchvision.transforms import InterpolationMode

from galaxies.backbones.backbone import Backbone, cut
from galaxies.backbones.pooling import Positions, plan_pooling, pool_nodes
from galaxies.backbones.spec import layer_nodes
from galaxies.backbones.transform import GREY_WEIGHTS, ZOOM_ROUNDING
from galaxies.data.bands import RGB
from galaxies.errors import InputError
from galaxies.files import replacing
from galaxies.heads.head import TrainedHead
from galaxies.prediction.model import Model

EXPORT_SUFFIXES = (".pt2", ".onnx")

_METADATA_NAME = "galaxies.json"
# Both formats are traced with two images: with one, the batch would be taken for a constant.
_NUM_EXAMPLES = 2


def export_model(model: Model, out: Path, *, image_size: int | None = None) -> None:
    """Write ``model`` to ``out`` in the format of its ending.

    What the file is stands in it as JSON, under ``galaxies`` in ONNX's metadata and in the extra file ``galaxies.json`` of a
    ``.pt2``: class names, shape and dtype of the input, the pixel scale it should have, the identity of the features.

    Args:
        model: what to export; float32 whatever the precision of its features was.
        out: a name that ends in ``.pt2`` or ``.onnx``.
        image_size: S in px; None is that of the training images.

    Raises:
        InputError: another ending.
    """
    if out.suffix.lower() not in EXPORT_SUFFIXES:
        raise InputError(
            f"found the ending {out.suffix or 'none'} in {out}, expected {' or '.join(EXPORT_SUFFIXES)}, "
            "or .parquet for the features."
        )
    if model.trained.field.channels.dtype != "uint8":
        raise InputError(
            "the training images are numbers from 0 to 1 in 16 bits, and an exported file takes whole grey levels (uint8); "
            "train on images of those (download.dtype)."
        )
    image_size = image_size or model.trained.field.image_size
    about = describe_export(model, image_size)
    num_bands = len(model.trained.bands)
    images = torch.zeros(_NUM_EXAMPLES, image_size, image_size, num_bands, dtype=torch.uint8)
    program = torch.export.export(
        ExportedModel(model.trained, model.backbone, image_size).eval(), (images,), dynamic_shapes=({0: Dim("batch")},)
    )
    if out.suffix.lower() == ".onnx":
        _save_onnx(program, out, about)
        return
    with replacing(out) as temporary, temporary.open("wb") as file, warnings.catch_warnings():
        # torch warns that tensors which share memory may be saved twice.
        warnings.filterwarnings("ignore", "No complete tensor found in the group", UserWarning)
        torch.export.save(program, file, extra_files={_METADATA_NAME: json.dumps(about, indent=1)})


def describe_export(model: Model, image_size: int) -> dict[str, Any]:
    """Return what stands in an exported file beside the graph, as plain JSON values."""
    calibration = model.trained.calibration
    bands = model.trained.bands
    shape = ["batch", image_size, image_size, len(bands)]
    return {
        "class_names": list(model.class_names),
        "input": {"name": "images", "dtype": "uint8", "shape": shape, "channels": "RGB" if bands == RGB else list(bands)},
        "output": {"name": "probabilities", "dtype": "float32", "shape": ["batch", len(model.class_names)]},
        "field_of_view": model.trained.field.to_json(),
        "temperature": calibration.temperature,
        "set_thresholds": list(calibration.set_thresholds),
        # JSON knows no infinity: null stands for a head that always abstains.
        "confidence_threshold": threshold if math.isfinite(threshold := calibration.confidence_threshold) else None,
        "identity": model.trained.identity.to_json(),
        "head_sha256": model.digest,
    }


class ExportedModel(nn.Module):
    """Images (B, S, S, 3) uint8 -> probabilities (B, K) float32."""

    zoom: Tensor  # (S, S) of each input row in each row of the zoomed image
    weights: Tensor  # (s, S) of each input row in each row that the backbone sees
    mean: Tensor  # (c, 1, 1) on the scale 0 to 255
    std: Tensor

    def __init__(self, trained: TrainedHead, backbone: Backbone, image_size: int) -> None:
        super().__init__()
        layer, self._pool = trained.identity.layer, trained.identity.pool
        self._nodes = layer_nodes([layer])
        self.prefix = cut(backbone.module, self._nodes).cpu() if self._nodes else None
        self.ending, self.head, self._temperature = trained.ending, trained.head, trained.calibration.temperature
        self._positions: dict[str, Positions] = {}
        if self.prefix and not self.ending:
            self._positions = plan_pooling(backbone, self.prefix, self._nodes, self._pool, torch.device("cpu"))
        transform = backbone.transform
        self._is_grey, self._is_zoomed = transform.channels == 1, transform.zoom != 1
        self.register_buffer("zoom", zoom_weights(image_size, transform.zoom))
        self.register_buffer("weights", resize_weights(image_size, transform.image_size, transform.interpolation))
        self.register_buffer("mean", 255 * torch.tensor(transform.mean).view(-1, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(transform.std).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return the calibrated probabilities."""
        pixels = images.permute(0, 3, 1, 2).float()  # (B, C, S, S)
        # Whole numbers after each step: so do the transforms of 8-bit pixels.
        if self._is_grey and pixels.shape[1] == 3:
            weighted = torch.stack([weight * pixels[:, channel] for channel, weight in enumerate(GREY_WEIGHTS)], 1).sum(1, True)
            pixels = ((weighted + (1 << 15)) / (1 << 16)).floor()
        if self._is_zoomed:
            pixels = (self.zoom @ pixels @ self.zoom.T + ZOOM_ROUNDING).floor()
        across = (pixels @ self.weights.T).round().clamp(0, 255)
        resized = (self.weights @ across).round().clamp(0, 255)  # (B, c, s, s)
        logits = self.head(self._features(resized))
        return torch.softmax(logits / self._temperature, dim=1)

    def _features(self, resized: Tensor) -> Tensor:
        """Return the features (B, C) of resized images."""
        if not self.prefix:
            assert self.ending is not None  # Of a cut at `input`; it normalises its images itself.
            return self.ending(resized.to(torch.uint8))  # type: ignore[no-any-return]
        activations = self.prefix((resized - self.mean) / self.std)
        if self.ending:
            return self.ending(activations[self._nodes[0]])  # type: ignore[no-any-return]
        return pool_nodes(activations, self._nodes, pool=self._pool, positions=self._positions)


def zoom_weights(size: int, zoom: float) -> Tensor:
    """Return the matrix (size, size) that zooms one axis about its middle as the transform does, by linear interpolation."""
    middle = (size - 1) / 2
    sampled = (torch.arange(size) - middle) / zoom + middle
    return (1 - (sampled[:, None] - torch.arange(size)).abs()).clamp(min=0)


def resize_weights(size: int, new_size: int, interpolation: str) -> Tensor:
    """Return the matrix (new_size, size) that resizes one axis as the transform does: two products resize an image.

    Not every program that runs ONNX knows an antialiased resize, and those that do differ from PyTorch's.
    """
    mode = {InterpolationMode.BILINEAR.value: "bilinear", InterpolationMode.BICUBIC.value: "bicubic"}.get(interpolation)
    if mode is None:
        raise InputError(f"a backbone whose transform interpolates by {interpolation!r} cannot be exported.")
    if size == new_size:
        return torch.eye(size)
    # A unit vector in each column: resized along the rows alone, it gives the weight of its row in each new one.
    columns = torch.eye(size).view(1, 1, size, size)
    return functional.interpolate(columns, (new_size, size), mode=mode, antialias=True)[0, 0]


def _save_onnx(program: ExportedProgram, out: Path, about: dict[str, Any]) -> None:
    try:
        converted = torch.onnx.export(
            program, dynamo=True, input_names=["images"], output_names=["probabilities"], verbose=False
        )
    except ImportError as error:
        raise InputError(
            f"{out}: ONNX needs the packages onnx and onnxscript ({error}); `pip install onnx onnxscript`."
        ) from error
    assert converted is not None  # It is None only where torch writes the file itself.
    converted.model.metadata_props["galaxies"] = json.dumps(about, indent=1)
    with replacing(out) as temporary:
        converted.save(temporary, external_data=False)
