"""The state of a training: the heads of all seeds and settings, the ending, their optimizers and how far they are.

Legend: B rows in a batch, C features, K classes, S seeds, G settings.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galaxies.errors import InputError
from galaxies.heads.batches import Batches
from galaxies.heads.head import Head, HiddenLayers, TrainedHead
from galaxies.heads.head_group import HeadGroup
from galaxies.heads.losses import count_right, sum_losses, weigh_classes
from galaxies.heads.optimisation import Optimizer, Schedule
from galaxies.heads.stack import make_heads
from galaxies.heads.standardisation import Standardiser
from galaxies.heads.sweep import Setting
from galaxies.heads.train_params import TrainParams

if TYPE_CHECKING:
    from galaxies.backbones.ending import Ending


class Record(NamedTuple):
    """What one epoch came to, arrays (S, G)."""

    learning_rate: NDArray[np.float64]
    train_loss: NDArray[np.float64]
    train_accuracy: NDArray[np.float64]
    val_loss: NDArray[np.float64]
    val_accuracy: NDArray[np.float64]


class Ensemble:
    """Heads in training. Every epoch has generators of its own, made from the seed and its number: they need no saving.

    Attributes:
        epoch: the number of epochs done.
        schedule: learning rates and best losses.
        history: a record an epoch.
    """

    def __init__(
        self,
        train: Batches,
        val: Batches,
        num_classes: int,
        params: TrainParams,
        settings: Sequence[Setting],
        *,
        ending: "Ending | None",
        start: TrainedHead | None,
        saved: Mapping[str, Any] | None,
    ) -> None:
        self._train, self._val, self._params, self._ending = train, val, params, ending
        self._device = train.targets.device
        self._seeds = [params.seed + index for index in range(params.num_seeds)]
        self._weight = weigh_classes(train.targets, num_classes, params.class_weight)
        self._base_rate = np.array([setting.learning_rate for setting in settings])
        self._decay = self._tensor([setting.weight_decay for setting in settings]).unsqueeze(0)  # (1, G)
        self._smoothing = self._tensor([setting.label_smoothing for setting in settings])  # (G,)
        if ending:
            ending.prepare_training(freeze_batch_norm=params.ending_batch_norm == "frozen")
        if start and ending and start.ending:
            ending.load_state_dict(start.ending.state_dict())
        known = (saved["mean"], saved["std"]) if saved else (start.head.mean, start.head.std) if start else None
        self._features = Standardiser(train, val, ending, known)
        self._groups = self._make_groups(settings, num_classes, start.head if start else None)
        learning = [parameter for parameter in ending.parameters() if parameter.requires_grad] if ending else []
        self._ending_optimizer = Optimizer(
            params.optimizer,
            [parameter for parameter in learning if parameter.ndim > 1],
            [parameter for parameter in learning if parameter.ndim <= 1],
        )
        self._best_ending = _copy_state(ending)
        self.schedule = Schedule(
            (len(self._seeds), len(settings)),
            params.schedule,
            num_steps=params.num_epochs * train.num_batches,
            num_warmup_steps=params.warmup_epochs * train.num_batches,
            decrease=params.decrease_on_plateau,
            patience=params.patience,
            early_stopping=params.early_stopping,
        )
        self.epoch = 0
        self.history: list[Record] = []
        if saved:
            self._restore(saved)

    def run_epoch(self) -> Record:
        """Train on all batches once, validate, and keep what is best so far."""
        self.epoch += 1
        rate, losses, train_accuracy = self._train_epoch()
        val_loss, val_accuracy = self._validate()
        sizes = np.full(len(losses), self._params.batch_size, float)
        sizes[-1] = len(self._train.targets) - sizes[:-1].sum()
        train_loss = np.average(losses, axis=0, weights=sizes)
        self._require_finite(losses, val_loss)
        val_loss = np.where(np.isfinite(val_loss) & np.isfinite(train_loss), val_loss, np.inf)
        is_best = self.schedule.end_epoch(self.epoch, val_loss)
        for group in self._groups:
            group.keep_best(is_best)
        if self._ending and is_best[0, 0]:
            self._best_ending = _copy_state(self._ending)
        self.history.append(Record(rate, train_loss, train_accuracy, val_loss, val_accuracy))
        return self.history[-1]

    def best_head(self, seed: int, setting: int) -> Head:
        """Return the head of the best epoch of one seed and setting, on the CPU."""
        group = next(group for group in self._groups if group.has(setting))
        head = group.best_head(seed, setting)
        head.mean.copy_(self._features.mean)
        head.std.copy_(self._features.std)
        return head

    def restore_best_ending(self) -> None:
        """Give the ending the tensors of the best epoch."""
        if self._ending:
            self._ending.load_state_dict(self._best_ending)
            self._ending.eval()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs: tensors and plain values."""
        return {
            "epoch": self.epoch,
            "schedule": self.schedule.state(),
            "history": torch.from_numpy(np.array(self.history)),
            "mean": self._features.mean,
            "std": self._features.std,
            "groups": [group.state() for group in self._groups],
            "ending": _copy_state(self._ending),
            "best_ending": self._best_ending,
            "ending_optimizer": self._ending_optimizer.state(),
        }

    def _restore(self, saved: Mapping[str, Any]) -> None:
        self.epoch = saved["epoch"]
        self.schedule.restore(saved["schedule"])
        self.history = [Record(*record) for record in saved["history"].numpy()]
        for group, other in zip(self._groups, saved["groups"], strict=True):
            group.restore(other)
        if self._ending:
            self._ending.load_state_dict(saved["ending"])
            self._best_ending = {name: value.to(self._device) for name, value in saved["best_ending"].items()}
        self._ending_optimizer.restore(saved["ending_optimizer"])

    def _make_groups(self, settings: Sequence[Setting], num_classes: int, start: Head | None) -> list[HeadGroup]:
        by_layers: dict[HiddenLayers, list[int]] = {}
        for column, setting in enumerate(settings):
            by_layers.setdefault(setting.hidden_layers, []).append(column)
        groups = []
        for hidden_layers, columns in by_layers.items():
            fresh = make_heads(len(self._features.mean), num_classes, hidden_layers, self._seeds)
            heads = [head.to(self._device) for head in ([start] * len(fresh) if start else fresh)]
            groups.append(HeadGroup(columns, heads, self._params.optimizer, num_settings=len(settings)))
        return groups

    def _train_epoch(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return the learning rates at the start (S, G), the loss of each batch (batches, S, G) and the accuracy (S, G)."""
        shape = self.schedule.is_active.shape
        first_step = (self.epoch - 1) * self._train.num_batches
        # Kept on the device until the epoch ends: asking for a number in every step would make a GPU wait.
        losses = torch.zeros(self._train.num_batches, *shape, device=self._device)
        num_correct = torch.zeros(shape, device=self._device, dtype=torch.int64)
        dropping = [self._generator(seed, "dropout", self._device) for seed in self._seeds]
        if self._ending:
            self._ending.train()
            torch.manual_seed(self._generator(self._seeds[0], "ending").initial_seed())
        batches = self._train.shuffled([self._generator(seed, "order") for seed in self._seeds])
        for index, (activations, targets) in enumerate(batches):
            rate = self._tensor(self._base_rate * self.schedule.factor(first_step + index))
            with self._autocast():
                features = self._features(activations, self._train)
                objective = torch.zeros((), device=self._device)
                for chosen, logits in self._logits(features, dropping):
                    total, mass = sum_losses(logits, targets, weight=self._weight, smoothing=self._smoothing[chosen])
                    objective = objective + (total / mass).sum()  # Heads share no parameters, so each trains as if alone.
                    losses[index][:, chosen] = (total / mass).detach()
                    num_correct[:, chosen] += count_right(logits.detach(), targets)
            objective.backward()  # type: ignore[no-untyped-call]
            for group in self._groups:
                group.step(rate, self._decay)
            self._ending_optimizer.step(rate[0, 0] * self._params.ending_lr_factor, self._decay[0, 0])
        rates = self._base_rate * self.schedule.factor(first_step)
        return rates, losses.double().cpu().numpy(), num_correct.double().cpu().numpy() / len(self._train.targets)

    @torch.inference_mode()
    def _validate(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return loss and accuracy, (S, G); label smoothing has no part in it, so that settings can be compared."""
        if self._ending:
            self._ending.eval()
        shape = self.schedule.is_active.shape
        total, mass = torch.zeros(shape, device=self._device), torch.zeros(1, 1, device=self._device)
        num_correct = torch.zeros(shape, device=self._device)
        for activations, targets in self._val.in_order():
            with self._autocast():
                features = self._features(activations.unsqueeze(0), self._val)
                one = targets.unsqueeze(0)
                for chosen, logits in self._logits(features, ()):
                    losses, masses = sum_losses(logits, one, weight=self._weight, smoothing=0 * self._smoothing[chosen])
                    total[:, chosen] += losses
                    num_correct[:, chosen] += count_right(logits, one)
                mass += masses
        loss, accuracy = total / mass, num_correct / len(self._val.targets)
        return loss.double().cpu().numpy(), accuracy.double().cpu().numpy()

    def _logits(self, features: Tensor, generators: Sequence[torch.Generator]) -> Iterator[tuple[slice | list[int], Tensor]]:
        for group in self._groups:
            yield group.selection, group.stack.logits(features, generators).float()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._params.precision == "bfloat16")

    def _generator(self, seed: int, purpose: str, device: torch.device | None = None) -> torch.Generator:
        words = [seed, self.epoch, *purpose.encode()]
        mixed = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))
        return torch.Generator(device or "cpu").manual_seed(mixed)

    def _tensor(self, values: Any) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32).to(self._device)

    def _require_finite(self, losses: NDArray[np.float64], val_loss: NDArray[np.float64]) -> None:
        """Raise InputError when no head that still trains has a finite loss."""
        is_finite = np.isfinite(losses).all(axis=0) & np.isfinite(val_loss)
        active = self.schedule.is_active
        if is_finite[active].any():
            return
        broken = np.flatnonzero(~np.isfinite(losses).all(axis=(1, 2)))
        where = f", batch {broken[0] + 1} of {len(losses)}" if len(broken) else ", in validation"
        raise InputError(
            f"train: the loss is not finite in epoch {self.epoch}{where}; lower train.learning_rate, e.g. to a tenth."
        )


def _copy_state(ending: "Ending | None") -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in ending.state_dict().items()} if ending else {}
