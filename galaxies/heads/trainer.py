"""Train heads, and the ending before them where it is kept: one pass over the data serves every seed and every setting.

Legend: S seeds, G settings.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import trange

from galaxies.backbones.ending import Ending
from galaxies.errors import InputError
from galaxies.heads.batches import Batches
from galaxies.heads.checkpoint import Checkpoint
from galaxies.heads.head import TrainedHead
from galaxies.heads.learner import Learner
from galaxies.heads.objectives import Objective
from galaxies.heads.optimisation import Schedule
from galaxies.heads.report import Epoch, Fit, Fits, tabulate_settings
from galaxies.heads.train_params import TrainParams


class Trainer:
    """A training. The same seed gives the same heads, bit for bit on one CPU, with and without an interruption.

    Every epoch has generators of its own, made from the seed and its number: they need no saving.

    Attributes:
        epoch: the number of epochs done.
        schedule: learning rates and best losses.
    """

    def __init__(
        self,
        train: Batches,
        val: Batches,
        objective: Objective,
        params: TrainParams,
        *,
        ending: Ending | None = None,
        start: TrainedHead | None = None,
    ) -> None:
        """Begin.

        Args:
            train: everything is fitted on these rows, standardisation included. Features that are resident are standardised in
                place.
            val: choose the epoch and the setting, and lower the learning rate. Changed as ``train`` is.
            objective: what the outputs are to say of the targets.
            params: how to train.
            ending: from activations to features, on the device of the batches; it is trained in place, for one seed and
                setting.
            start: a head to start from, with its standardisation and its ending.

        Raises:
            InputError: there are no val rows.
        """
        if not len(val.targets):
            raise InputError("train: no galaxy to validate with; raise split.val_fraction.")
        self._train, self._val, self._params = train, val, params
        self._device = train.targets.device
        self._base_rate = np.array([setting.learning_rate for setting in params.settings])
        self._decay = self._tensor([setting.weight_decay for setting in params.settings]).unsqueeze(0)  # (1, G)
        self._objective = objective
        self._learner = Learner(train, objective, params, ending, start)
        self._learner.standardise(train)
        self._learner.standardise(val)
        self.schedule = Schedule((params.num_seeds, len(params.settings)), params, train.num_batches)
        self.epoch = 0
        self._history: list[Epoch] = []

    def fit(self, checkpoint: Checkpoint | None = None) -> Fits:
        """Train to the end, and keep of each head the epoch with the lowest validation loss.

        The loss chooses, not the accuracy: it moves with every galaxy, where the accuracy moves with the few that cross the
        line, and it asks for honest probabilities too.

        Args:
            checkpoint: where to continue from, and to keep the state.

        Raises:
            InputError: the loss is not finite.
        """
        if checkpoint and (saved := checkpoint.load()):
            self._restore(saved)
        num_epochs = self._params.num_epochs
        with trange(1, num_epochs + 1, desc="train", unit="epoch", initial=self.epoch) as progress:
            while self.epoch < num_epochs and self.schedule.is_active.any():
                record = self.run_epoch()
                # Without a refresh of its own: a line an epoch would cost time and fill logs.
                progress.set_postfix({"val_loss": f"{record.val_loss.min():.3f}"}, refresh=False)
                progress.update()
                if checkpoint:
                    checkpoint.save(self._state(), is_last=self.epoch == num_epochs)
        return self._collect()

    def run_epoch(self) -> Epoch:
        """Train on all batches once, validate, and keep what is best so far."""
        self.epoch += 1
        # Dropout in an ending draws from the global generators, which are left alone.
        with torch.random.fork_rng(devices=[self._device] if self._device.type == "cuda" else []):
            rate, losses, train_accuracy = self._train_epoch()
        val_loss, val_accuracy = self._validate()
        self._require_finite(losses, val_loss)
        sizes = np.full(len(losses), self._params.batch_size, float)
        sizes[-1] = len(self._train.targets) - sizes[:-1].sum()
        train_loss = np.average(losses, axis=0, weights=sizes)
        val_loss = np.where(np.isfinite(val_loss) & np.isfinite(train_loss), val_loss, np.inf)
        self._learner.keep_best(self.schedule.end_epoch(self.epoch, val_loss))
        self._history.append(Epoch(rate, train_loss, train_accuracy, val_loss, val_accuracy))
        return self._history[-1]

    def _train_epoch(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return the learning rates at the start (S, G), the loss of each batch (batches, S, G) and the accuracy (S, G)."""
        if self._params.optimizer == "lbfgs":
            return self._descend()
        seeds, shape = self._params.seeds, self.schedule.is_active.shape
        steps = np.arange(self._train.num_batches) + (self.epoch - 1) * self._train.num_batches
        rates = self._base_rate * self.schedule.factors(steps)  # (batches, S, G)
        on_device = self._tensor(rates)
        # Kept on the device until the epoch ends: asking for a number in every step would make a GPU wait.
        losses = torch.zeros(self._train.num_batches, *shape, device=self._device)
        num_right = torch.zeros(shape, device=self._device, dtype=torch.float64)
        dropping = [self._generator(seed, "dropout", self._device) for seed in seeds]
        torch.manual_seed(self._generator(self._params.seed, "ending").initial_seed())
        self._learner.train()
        batches = self._train.shuffled([self._generator(seed, "order") for seed in seeds])
        for index, (activations, targets) in enumerate(batches):
            outputs = self._learner.outputs(activations, dropping)
            # Heads share no parameters, so each trains as if alone.
            losses[index], gradient = self._objective.differentiate(outputs, targets)
            num_right += self._objective.count_right(outputs, targets)
            outputs.backward(gradient)  # type: ignore[no-untyped-call]
            self._learner.step(on_device[index], self._decay)
        accuracy = num_right.cpu().numpy() / len(self._train.targets)
        return rates[0], losses.double().cpu().numpy(), accuracy

    def _descend(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Go one iteration of L-BFGS on all train rows, and return as :meth:`_train_epoch`; the learning rate counts as 1."""
        activations, targets = self._train.whole()

        def evaluate() -> Tensor:
            outputs = self._learner.outputs(activations)
            losses, gradient = self._objective.differentiate(outputs, targets)
            outputs.backward(gradient)  # type: ignore[no-untyped-call]
            return losses

        losses = self._learner.descend(evaluate, self._decay)
        with torch.no_grad():
            num_right = self._objective.count_right(self._learner.outputs(activations), targets)
        shape = self.schedule.is_active.shape
        accuracy = num_right.double().cpu().numpy() / targets.shape[1]
        return np.ones(shape), losses.double().cpu().numpy()[None], accuracy

    @torch.inference_mode()
    def _validate(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return loss and accuracy, (S, G)."""
        self._learner.train(False)
        total, mass, num_right = (torch.zeros((), device=self._device) for _ in range(3))
        for activations, targets in self._val.in_order():
            outputs = self._learner.outputs(activations.unsqueeze(0))
            batch_total, batch_mass = self._objective.sum_losses(outputs, targets.unsqueeze(0))
            total, mass = total + batch_total, mass + batch_mass
            num_right = num_right + self._objective.count_right(outputs, targets.unsqueeze(0))
        return (total / mass).double().cpu().numpy(), num_right.double().cpu().numpy() / len(self._val.targets)

    def _collect(self) -> Fits:
        """Return the heads of the best setting, and how all did; the ending becomes that of the best epoch."""
        schedule, history = self.schedule, np.array(self._history)  # (epochs, fields, S, G)
        # The mean over seeds chooses; the first of equals.
        chosen = int(np.argmin(schedule.best_loss.mean(axis=0)))
        fits = []
        for seed, head in enumerate(self._learner.best_heads(chosen)):
            last = schedule.last_epoch[seed, chosen]
            epochs = pd.DataFrame(history[:last, :, seed, chosen], range(1, last + 1), Epoch._fields)
            fits.append(Fit(head, int(schedule.best_epoch[seed, chosen]), epochs))
        accuracy = history[:, Epoch._fields.index("val_accuracy")]
        table = tabulate_settings(
            self._params.settings,
            val_loss=schedule.best_loss,
            val_accuracy=np.take_along_axis(accuracy, np.maximum(schedule.best_epoch - 1, 0)[None], 0)[0],
            best_epoch=schedule.best_epoch,
        )
        return Fits(tuple(fits), table)

    def _state(self) -> dict[str, Any]:
        """Return what a checkpoint needs: tensors and plain values."""
        return {
            "epoch": self.epoch,
            "schedule": self.schedule.state(),
            "history": torch.from_numpy(np.array(self._history)),
            "learner": self._learner.state(),
        }

    def _restore(self, saved: Mapping[str, Any]) -> None:
        self.epoch = saved["epoch"]
        self.schedule.restore(saved["schedule"])
        self._history = [Epoch(*record) for record in saved["history"].numpy()]
        self._learner.restore(saved["learner"])

    def _generator(self, seed: int, purpose: str, device: torch.device | None = None) -> torch.Generator:
        words = [seed, self.epoch, *purpose.encode()]
        mixed = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))
        return torch.Generator(device or "cpu").manual_seed(mixed)

    def _tensor(self, values: Any) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32).to(self._device)

    def _require_finite(self, losses: NDArray[np.float64], val_loss: NDArray[np.float64]) -> None:
        """Raise InputError when no head that still trains has a finite loss."""
        is_finite = np.isfinite(losses).all(axis=0) & np.isfinite(val_loss)
        if is_finite[self.schedule.is_active].any():
            return
        broken = np.flatnonzero(~np.isfinite(losses).all(axis=(1, 2)))
        where = f", batch {broken[0] + 1} of {len(losses)}" if len(broken) else ", in validation"
        raise InputError(
            f"train: the loss is not finite in epoch {self.epoch}{where}; lower train.learning_rate, e.g. to a tenth."
        )
