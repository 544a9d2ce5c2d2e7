"""A trained head with its backbone: from images to classes, in a notebook or for a million files.

Images go the way that they went in training: through the backbone up to the cut, through the ending where that was kept, and
into the head. Legend: B images, H x W and S pixels, C features, K classes.
"""

import copy
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from galaxies.backbones.backbone import Backbone, load_backbone, weights_file
from galaxies.backbones.choice import choose_library
from galaxies.backbones.forward import Forward, ForwardPass, make_forward
from galaxies.backbones.spec import EMBEDDINGS, INPUT, Transform
from galaxies.backbones.transform import resize
from galaxies.errors import InputError
from galaxies.files import file_sha256
from galaxies.heads.class_meaning import ClassMeaning
from galaxies.heads.head import TrainedHead, load_head
from galaxies.paths import HEAD
from galaxies.prediction.adaptation import measure_survey
from galaxies.prediction.predictions import Predictions, join_predictions, predict_features
from galaxies.runtime import Device, Library, RuntimeParams


class Model:
    """A backbone and a head, ready to predict. Made by :func:`load`.

    Attributes:
        class_names: of the K classes; none of a head that tells votes, numbers or tags.
        trained: the head, and what its numbers mean.
        backbone: the frozen network with its transform; of a head cut at ``input``, which holds all of it, the transform.
        device: that it computes on.
        digest: sha256 of the head's file.
        wanted_library: what was asked to run the backbone, as in ``runtime.forward``.
    """

    def __init__(
        self, trained: TrainedHead, backbone: Backbone, *, device: torch.device, digest: str, forward: Library = "auto"
    ) -> None:
        self.trained, self.backbone, self.device, self.digest = trained.to(device), backbone, device, digest
        self.class_names = trained.class_names if isinstance(trained.meaning, ClassMeaning) else ()
        identity = trained.identity
        self._layer = identity.layer
        self._asked = ForwardPass((self._layer,), identity.pool, precision=identity.precision)
        self.wanted_library: Library = forward
        self._forwards: dict[str, Forward] = {}
        self._forward = self.make_forward(self.choose_library(num_images=0))

    def choose_library(self, num_images: int) -> Library:
        """Return what should run the backbone for so many images: exporting it for ONNX Runtime pays only for many."""
        return choose_library(self.wanted_library, self.backbone, self._asked, device=self.device, num_images=num_images)

    def for_images(self, num_images: int) -> "Model":
        """Return a model of the same networks that is quick for so many images."""
        other = copy.copy(self)
        other._forward = self.make_forward(self.choose_library(num_images))
        return other

    def make_forward(self, library: Library, folder: Path | None = None) -> Forward:
        """Return the forward pass of resized images by a library, made once for all models of the same networks.

        An exported network is kept in ``folder``, where one is given.
        """
        if library not in self._forwards:
            # It is given images that are zoomed and resized already, and zooms no second time.
            resized = replace(self.backbone, transform=replace(self.backbone.transform, zoom=1.0))
            self._forwards[library] = make_forward(resized, self._asked, device=self.device, library=library, folder=folder)
        return self._forwards[library]

    def predict(self, images: NDArray[Any], *, batch_size: int = 64) -> Predictions:
        """Predict the classes of images.

        Each image is resized as a whole, as the training images were, so it should show as much of the sky as they did:
        ``trained.field.arcsec`` where that is known (``galaxies.sources.framing.frame_image`` crops and resamples).

        Args:
            images: (B, H, W, 3) uint8, red first, or the bands that the head was trained on, in their order; H and W may be
                any. Those of other bands may be float16 from 0 to 1.
            batch_size: images in one forward pass.

        Raises:
            InputError: another shape or dtype.
        """
        images = np.asarray(images)
        bands = self.trained.bands
        if (
            images.ndim != 4
            or images.shape[-1] != len(bands)
            or images.dtype not in (np.uint8, np.float16)
            or 0 in images.shape[1:]
        ):
            raise InputError(
                f"images: found {images.dtype} of shape {images.shape}, expected uint8 of shape (B, H, W, {len(bands)}), or "
                f"float16 from 0 to 1; the channels are {', '.join(bands)}."
            )
        model = self.for_images(len(images))
        batches = [model.predict_list(list(images[start : start + batch_size])) for start in range(0, len(images), batch_size)]
        return join_predictions(batches or [self.predict_list([])])

    def adapt(self, images: NDArray[np.uint8]) -> "Model":
        """Return a model for the survey that images (B, H, W, 3) uint8 are of, at least 20; see ``adaptation``."""
        return self.adapt_to(list(images[start : start + 64]) for start in range(0, len(images), 64))

    def adapt_to(self, batches: Iterable[Sequence[NDArray[np.uint8]]]) -> "Model":
        """Return a model for the survey that batches of images (H, W, 3) are of, as ``adaptation.measure_survey`` finds it."""
        adapted = copy.copy(self)
        features = (self.compute_features(batch) for batch in batches if len(batch))
        adapted.trained = self.trained.standardised_by(*measure_survey(features))
        return adapted

    def predict_list(self, images: Sequence[NDArray[Any]]) -> Predictions:
        """Predict images (H, W, 3) of any sizes in one forward pass."""
        features = self.compute_features(images) if len(images) else torch.empty(0, len(self.trained.head.mean))
        return predict_features(self.trained, features.to(self.device))

    @torch.inference_mode()
    def compute_features(self, images: Sequence[NDArray[Any]]) -> Tensor:
        """Return the features (B, C) of images that the head sees, on the device.

        They are made exactly as ``extract`` makes those of the first view, and, where the ending was kept, by that.
        """
        return self.trained.features(self._forward(self.resize(images))[self._layer][:, 0])

    @torch.inference_mode()
    def resize(self, images: Sequence[NDArray[Any]]) -> Tensor:
        """Return images (H, W, 3) of any sizes, at least one, as one batch (B, s, s, 3) on the device."""
        runs = (np.stack(list(run)) for _, run in itertools.groupby(images, key=np.shape))
        # Resized before they are one batch: files have many sizes.
        transform = self.backbone.transform
        resized = [resize(torch.from_numpy(run).to(self.device).permute(0, 3, 1, 2), transform) for run in runs]
        return torch.cat(resized).permute(0, 2, 3, 1)


def load_answering(path: str | Path, *, device: torch.device | None = None) -> tuple[TrainedHead, str]:
    """Load a head alone, to answer from a store, and return it with the digest of its file.

    Args:
        path: the head's file, or the folder in which it is ``head.pt``.
        device: to compute on; None is the CPU.

    Raises InputError: no head of this project.
    """
    path = find_head(path)
    return load_head(path).to(device or torch.device("cpu")), file_sha256(path)


def load(
    path: str | Path = "models",
    *,
    weights: str | Path | None = None,
    device: Device = "auto",
    forward: Library = "auto",
) -> Model:
    """Load a head and the backbone it was trained on.

    Args:
        path: the head's file, or the folder in which it is ``head.pt``.
        weights: a file with the backbone's weights; None takes them from where training took them: published weights are
            downloaded once. A head cut at ``input`` holds all weights and needs none.
        device: to compute on; auto takes CUDA where there is one.
        forward: what runs the backbone, as in ``runtime.forward``.

    Raises:
        InputError: no head of this project, no weights, or other weights than those of training.
    """
    path = find_head(path)
    trained = load_head(path)
    if trained.identity.layer == EMBEDDINGS:
        raise InputError(
            f"{path} was trained on other people's embeddings, and no network here makes those of an image. It answers for the "
            "galaxies whose embeddings are in features/embeddings.zarr: put the new ones into the table that download.path "
            "names, without a label."
        )
    backbone = _load_beginning(path, trained, weights) if trained.identity.layer != INPUT else _only_resize(trained)
    runtime, digest = RuntimeParams(device, forward), file_sha256(path)
    return Model(trained, backbone, device=runtime.pick_device(), digest=digest, forward=forward)


def find_head(path: str | Path) -> Path:
    """Return the file of a head, which is ``head.pt`` in a folder."""
    path = Path(path)
    return path / HEAD.name if path.is_dir() else path


def _only_resize(trained: TrainedHead) -> Backbone:
    """Return what comes before a cut at ``input``."""
    assert trained.ending is not None  # Without one, train refuses that layer.
    return Backbone(trained.ending.spec.name, nn.Identity(), _transform_of(trained), "")


def _load_beginning(path: Path, trained: TrainedHead, weights: str | Path | None) -> Backbone:
    """Return the backbone, whole up to the cut, of a head that was read from ``path``."""
    identity, transform = trained.identity, _transform_of(trained)
    chosen = str(identity.backbone.weights if weights is None else Path(weights).resolve())
    # What stands before the head in its repository, where a relative path of weights begins.
    folder = path.resolve().parent.parent
    used = {name: getattr(transform, name) for name in ("image_size", "mean", "std")}
    try:
        spec = replace(identity.backbone, weights=chosen, **used)
        file = weights_file(spec, folder)
        # The digest of the tensors, which the head knows, is compared below.
        spec = replace(spec, weights_sha256=file_sha256(file) if file and file.is_file() else None)
        backbone = load_backbone(spec, layers=[identity.layer], folder=folder)
    except InputError as error:
        raise InputError(f"{path}: the backbone of this head cannot be made. {error}\n{_GIVE_WEIGHTS}") from error
    if backbone.weights_digest != identity.weights_digest:
        raise InputError(
            f"{path} was trained on weights whose tensors have the digest {identity.weights_digest}, but {chosen} has "
            f"{backbone.weights_digest}: its features would mean something else. {_GIVE_WEIGHTS}"
        )
    return replace(backbone, transform=transform)


def _transform_of(trained: TrainedHead) -> Transform:
    """Return the transform that the head's features were made with."""
    assert trained.identity.transform is not None  # A store that was written has the whole identity.
    return trained.identity.transform


_GIVE_WEIGHTS = "Give the file of the weights it was trained on: `--weights PATH`, or `galaxies.load(..., weights=PATH)`."
