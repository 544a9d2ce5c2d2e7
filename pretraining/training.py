"""Training of the backbone on the rendered stream: it learns what a galaxy is (class and physical parameters).

A run is a list of phases, and a checkpoint says at which step of them it is; more phases can be added to a finished run. What
step t sees follows from the seed and t alone, so a continued run is the uninterrupted one, bit for bit on one machine with as
many threads. B batch, K classes, T targets, G galaxies.
"""

import bisect
import copy
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import get_model

from galaxies.backbones.shipped import resnet18_half
from galaxies.errors import InputError
from galaxies.files import replacing
from pretraining.augmentation import augment
from pretraining.objectives import (
    EXPANDED,
    NUM_ANSWERS,
    class_loss,
    invariance_loss,
    make_expander,
    parameter_loss,
    sum_weighted,
)
from pretraining.shards import read_shard, shard_path

_CLIP_NORM = 5.0
_WARMUP_STEPS = 100

MEAN, STD = (0.15, 0.15, 0.15), (0.20, 0.20, 0.20)
"""Of the transform: about those of the stream's channels."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Phase:
    """Steps under the same settings; the learning rate goes from one value to the other in a straight line."""

    num_steps: int
    num_shards: int  # the first so many of the stream
    image_size: int  # px
    learning_rates: tuple[float, float]
    average_decay: float = 0.998  # of the moving average of the weights, which is what is shipped


@dataclass(frozen=True)
class Settings:
    """What determines the weights, beside the phases and the machine."""

    network: str = "resnet18_half"
    seed: int = 0
    class_weight: float = 1.0  # of the losses; one of weight 0 is not computed
    parameter_weight: float = 2.0
    invariance_weight: float = 0.0
    batch_size: int = 64
    rendered_size: int = 128  # px
    weight_decay: float = 0.02


class Stream:
    """The rendered galaxies; targets are standardised by the first shard's, so that adding shards changes nothing."""

    def __init__(self, folder: Path, *, seed: int, num_shards: int, image_size: int) -> None:
        missing = [path for shard in range(num_shards) if not (path := shard_path(folder, seed, shard)).exists()]
        if missing:
            raise InputError(f"{len(missing)} of {num_shards} shards are missing, such as {missing[0]}; render them first.")
        shards = [read_shard(shard_path(folder, seed, shard), image_size) for shard in range(num_shards)]
        self.shard_galaxies = len(shards[0][1])
        self._images = [images for images, _, _ in shards]  # each (G of a shard, S, S, 3)
        self._labels = torch.cat([labels for _, labels, _ in shards]).long()  # (G,)
        first = shards[0][2].numpy()
        self.target_mean, self.target_std = (torch.from_numpy(f(first, axis=0)) for f in (np.nanmean, np.nanstd))
        self._targets = (torch.cat([targets for _, _, targets in shards]) - self.target_mean) / self.target_std  # (G, T)

    def batch(self, rows: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Return images (B, 3, S, S) uint8, labels (B,) int64 and standardised targets (B, T) float32 of some rows."""
        images = torch.stack([self._images[row // self.shard_galaxies][row % self.shard_galaxies] for row in rows])
        return images.permute(0, 3, 1, 2), self._labels[list(rows)], self._targets[list(rows)]


class Training:
    """The whole state of a run: weights, their average, the optimizer, the step."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            is_compared = settings.invariance_weight > 0
            self.model = build_network(settings.network, NUM_ANSWERS + (EXPANDED if is_compared else 0))
            # Beside the network, not in it: it is thrown away after the training.
            self.expander = make_expander() if is_compared else nn.Identity()
        self.model.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self._learning = [*self.model.parameters(), *self.expander.parameters()]
        decayed = [parameter for parameter in self._learning if parameter.ndim > 1]
        free = [parameter for parameter in self._learning if parameter.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": free, "weight_decay": 0.0}], lr=0.0
        )
        self.step = 0
        self.losses: dict[str, float] = {}  # running averages for the log

    def advance(self, stream: Stream, phase: Phase, first_step: int) -> None:
        """Take one step of a phase that began at ``first_step``."""
        share = (self.step - first_step) / phase.num_steps
        begin, end = phase.learning_rates
        rate = (begin + (end - begin) * share) * min((self.step + 1) / _WARMUP_STEPS, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        losses = self.compute_gradients(stream, phase)
        nn.utils.clip_grad_norm_(self._learning, _CLIP_NORM)
        self.optimizer.step()
        self.step += 1
        self._follow(phase.average_decay)
        self.losses = {name: 0.98 * self.losses.get(name, loss) + 0.02 * loss for name, loss in losses.items()}

    def compute_gradients(self, stream: Stream, phase: Phase) -> dict[str, float]:
        """Leave the gradients in the model; return the losses by name."""
        # One seed for each step: nothing but the step's number has to be remembered to continue.
        choice = np.random.default_rng([self.settings.seed, self.step])
        rows = choice.integers(0, phase.num_shards * stream.shard_galaxies, self.settings.batch_size)
        images, labels, targets = stream.batch(rows.tolist())
        generator = torch.Generator().manual_seed(int(choice.integers(2**62)))
        num_views = 1 if self.settings.invariance_weight == 0 else 2
        images, labels, targets = (part.repeat(num_views, *[1] * (part.ndim - 1)) for part in (images, labels, targets))
        pixels, magnification = augment(images, phase.image_size, generator)
        targets[:, 0] += magnification.log() / stream.target_std[0]
        outputs = self.model(normalize(pixels).contiguous(memory_format=torch.channels_last))
        losses = self._losses(outputs, labels, targets)
        self.optimizer.zero_grad()
        sum_weighted(losses, self._weights).backward()  # type: ignore[no-untyped-call]
        return {name: loss.item() for name, loss in losses.items()}

    @property
    def _weights(self) -> dict[str, float]:
        settings = self.settings
        weights = {
            "class": settings.class_weight,
            "parameters": settings.parameter_weight,
            "invariance": settings.invariance_weight,
        }
        return {name: weight for name, weight in weights.items() if weight > 0}

    def _losses(self, outputs: Tensor, labels: Tensor, targets: Tensor) -> dict[str, Tensor]:
        compute = {
            "class": lambda: class_loss(outputs, labels),
            "parameters": lambda: parameter_loss(outputs, targets),
            "invariance": lambda: invariance_loss(*self.expander(outputs[:, NUM_ANSWERS:]).chunk(2)),
        }
        return {name: compute[name]() for name in self._weights}

    @torch.no_grad()
    def _follow(self, average_decay: float) -> None:
        """Move the average towards the weights; in the beginning faster, so that it forgets the random ones."""
        decay = min(average_decay, (1 + self.step) / (10 + self.step))
        pairs = zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True)
        for mean, value in pairs:
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)

    def save(self, path: Path) -> None:
        """Write a checkpoint, from which ``load`` continues."""
        with replacing(path) as temporary:
            torch.save(
                {
                    "settings": asdict(self.settings),
                    "step": self.step,
                    "model": self.model.state_dict(),
                    "average": self.average.state_dict(),
                    "expander": self.expander.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                },
                temporary,
            )

    def load(self, path: Path) -> None:
        """Continue from a checkpoint; raises InputError where it is of other settings."""
        state = torch.load(path, weights_only=True)
        if state["settings"] != asdict(self.settings):
            raise InputError(
                f"{path} was trained with {state['settings']}, expected {asdict(self.settings)}; remove it to start anew."
            )
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.expander.load_state_dict(state["expander"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


def train(
    folder: Path,
    checkpoint: Path,
    *,
    settings: Settings,
    phases: Sequence[Phase],
    save_every: int = 100,
    last_step: int | None = None,
) -> None:
    """Train through all phases, from the checkpoint where there is one; it is replaced every ``save_every`` steps.

    Stops early after ``last_step``; a later call continues.
    """
    training = Training(settings)
    if checkpoint.exists():
        training.load(checkpoint)
    num_shards = max(phase.num_shards for phase in phases)
    stream = Stream(folder, seed=settings.seed, num_shards=num_shards, image_size=settings.rendered_size)
    ends = [sum(phase.num_steps for phase in phases[: number + 1]) for number in range(len(phases))]
    stop = ends[-1] if last_step is None else min(last_step, ends[-1])
    while training.step < stop:
        number = bisect.bisect_right(ends, training.step)
        training.advance(stream, phases[number], ends[number] - phases[number].num_steps)
        if training.step % save_every == 0 or training.step == stop:
            _logger.info("step %d: %s", training.step, {name: round(loss, 4) for name, loss in training.losses.items()})
            training.save(checkpoint)


def normalize(pixels: Tensor) -> Tensor:
    """Return images as the backbone wants them."""
    return (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def build_network(name: str, num_outputs: int) -> nn.Module:
    """Return a network with random weights by the name that ``extract.backbone`` knows it by."""
    if name == "resnet18_half":
        own: nn.Module = resnet18_half(num_classes=num_outputs)
        return own
    network: nn.Module = get_model(name, weights=None, num_classes=num_outputs)
    return network
