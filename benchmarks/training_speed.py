"""Training heads on cached features: this trainer, the textbook's loop, 32 candidates at once, and scikit-learn, in turns.

    python -m benchmarks.training_speed                 # of Galaxy10's size: 17,736 x 2,048, 30 epochs
    python -m benchmarks.training_speed --device cuda

Each way trains a linear head with the same batch size, epochs, optimizer, learning rate and weight decay on the same
standardised features, measures validation after every epoch, and shows its accuracy there. The textbook's loop is a
DataLoader over a TensorDataset. scikit-learn's logistic regression runs on the CPU with its own settings, and with the penalty
that is best here; beside it stands the time until this trainer has validated as well, but for half a point (the standard
error is 0.8). Features are noise after a ReLU in which ten classes, as frequent as Galaxy10's, overlap.
"""

import statistics
import time
import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.measuring import describe_machine, interleave, make_parser, median_ratio
from galaxies.heads.batches import BatchOptions, ResidentBatches
from galaxies.heads.objectives import ClassObjective
from galaxies.heads.train_params import SweepParams, TrainParams
from galaxies.heads.trainer import Trainer

CLASS_COUNTS = (1081, 1853, 2645, 2027, 334, 2043, 1829, 2628, 1423, 1873)  # of Galaxy10 DECaLS
_RATES, _DECAYS = tuple(np.geomspace(1e-4, 1e-2, 8)), (0.01, 0.1, 1.0, 10.0)
_PENALTIES = (1.0, 1e-4)  # scikit-learn's C: its default, and the best here
_TOLERANCE = 0.005
_NUM_RANK = 40
_NAMES = [str(target) for target in range(len(CLASS_COUNTS))]

Part = tuple[Tensor, Tensor]
"""Features (N, C) and targets (N,)."""


def main() -> None:
    """Print a row for each way, and the ratios."""
    parser = make_parser(__doc__)
    parser.add_argument("--num-rows", type=int, default=sum(CLASS_COUNTS))
    parser.add_argument("--num-features", type=int, default=2048)
    parser.add_argument("--num-epochs", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    ways = Ways(*make_parts(options.num_rows, options.num_features, device), TrainParams(num_epochs=options.num_epochs))
    turns = {"one head": ways.train_one, "textbook": ways.train_textbook, "32 heads": ways.train_many}
    pairs = [("one head", "textbook"), ("32 heads", "one head")]
    for penalty in _PENALTIES:
        name = f"scikit-learn C={penalty:g}"
        turns |= {name: partial(ways.fit_scikit_learn, name, penalty), f"until {name}": partial(ways.train_until, name)}
        pairs.append((f"until {name}", name))
    print(f"{describe_machine(device)}\n{options.num_rows} x {options.num_features}, {options.num_epochs} epochs")
    seconds = interleave(turns, options.rounds)
    for name, values in seconds.items():
        print(f"{name:<30}{statistics.median(values):>8.2f} s   validation accuracy {ways.accuracies[name]:.4f}")
    for name, reference in pairs:
        print(f"{name} / {reference}: {median_ratio(seconds[name], seconds[reference]):.2f}")


class Ways:
    """The ways to train; each call returns its seconds and leaves its validation accuracy in ``accuracies``."""

    def __init__(self, train: Part, val: Part, params: TrainParams) -> None:
        self._train, self._val, self._params = train, val, params
        self.accuracies: dict[str, float] = {}

    def train_one(self) -> float:
        """Train one head."""
        return self._fit("one head", self._params)

    def train_many(self) -> float:
        """Train 32 heads together."""
        return self._fit("32 heads", replace(self._params, sweep=SweepParams(_RATES, _DECAYS)))

    def train_textbook(self) -> float:
        """Train one head by the loop that every tutorial shows."""
        started = time.perf_counter()
        self.accuracies["textbook"] = fit_textbook(self._train, self._val, self._params)
        return time.perf_counter() - started

    def fit_scikit_learn(self, name: str, penalty: float) -> float:
        """Fit scikit-learn's logistic regression."""
        seconds, self.accuracies[name] = fit_scikit_learn(self._train, self._val, penalty)
        return seconds

    def train_until(self, name: str) -> float:
        """Train, as strongly as is best here, until validation is nearly as right as that of another way, or the epochs end."""
        train, val = self._copy_parts()
        params = replace(self._params, learning_rate=3e-4, weight_decay=10.0)
        reached, started = 0.0, time.perf_counter()
        trainer = Trainer(train, val, ClassObjective(train.targets, _NAMES, params), params)
        while reached < self.accuracies[name] - _TOLERANCE and trainer.epoch < params.num_epochs:
            reached = max(reached, float(trainer.run_epoch().val_accuracy[0, 0]))
        self.accuracies[f"until {name}"] = reached
        return time.perf_counter() - started

    def _fit(self, name: str, params: TrainParams) -> float:
        train, val = self._copy_parts()
        started = time.perf_counter()
        fits = Trainer(train, val, ClassObjective(train.targets, _NAMES, params), params).fit()
        self.accuracies[name] = float(fits.settings["val_accuracy"].iloc[0])
        return time.perf_counter() - started

    def _copy_parts(self) -> tuple[ResidentBatches, ResidentBatches]:
        # Standardised in place by the trainer, so that each turn needs its own; in a run they come from the store.
        options = BatchOptions(self._params.batch_size)
        train, val = (
            ResidentBatches(features.unsqueeze(1).clone(), targets, options) for features, targets in (self._train, self._val)
        )
        return train, val


def make_parts(num_rows: int, num_features: int, device: torch.device) -> tuple[Part, Part]:
    """Return 82 % of the rows to train on and the others to validate with, as the pipeline's 70 and 15 % are."""
    generator = np.random.default_rng(0)
    num_classes = len(CLASS_COUNTS)
    targets = generator.choice(num_classes, num_rows, p=np.array(CLASS_COUNTS) / sum(CLASS_COUNTS))
    hidden = 1.2 * generator.normal(size=(num_rows, _NUM_RANK)) + 2.6 * np.eye(num_classes, _NUM_RANK)[targets]
    mixing = 0.3 * generator.normal(size=(_NUM_RANK, num_features))
    features = np.maximum(hidden @ mixing + generator.normal(size=(num_rows, num_features)), 0).astype(np.float32)
    num_train = num_rows * 82 // 100

    def part(rows: slice) -> Part:
        chosen: tuple[NDArray[np.float32], NDArray[np.int64]] = (features[rows], targets[rows])
        return torch.from_numpy(chosen[0]).to(device), torch.from_numpy(chosen[1]).to(device)

    return part(slice(num_train)), part(slice(num_train, None))


def standardise(train: Part, val: Part) -> tuple[Part, Part]:
    """Return both with the mean and deviation of the first taken out."""
    mean, std = train[0].mean(0), train[0].std(0)
    return ((train[0] - mean) / std, train[1]), ((val[0] - mean) / std, val[1])


def fit_textbook(train: Part, val: Part, params: TrainParams) -> float:
    """Return the validation accuracy at the lowest validation loss, of the loop that every tutorial shows."""
    train, val = standardise(train, val)
    device = train[0].device
    torch.manual_seed(params.seed)
    head = nn.Linear(train[0].shape[1], len(CLASS_COUNTS)).to(device)
    optimizer = torch.optim.AdamW(head.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay)
    # The DataLoader of a tutorial takes rows from the CPU and sends batches to the device.
    loaders = [
        DataLoader(TensorDataset(part[0].cpu(), part[1].cpu()), batch_size=params.batch_size, shuffle=part is train)
        for part in (train, val)
    ]
    best, accuracy = float("inf"), 0.0
    for _ in range(params.num_epochs):
        head.train()
        for features, targets in loaders[0]:
            loss = nn.functional.cross_entropy(head(features.to(device)), targets.to(device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        head.eval()
        total, right = 0.0, 0
        with torch.no_grad():
            for features, targets in loaders[1]:
                logits, wanted = head(features.to(device)), targets.to(device)
                total += float(nn.functional.cross_entropy(logits, wanted, reduction="sum"))
                right += int((logits.argmax(1) == wanted).sum())
        if total < best:
            best, accuracy = total, right / len(val[1])
    return accuracy


def fit_scikit_learn(train: Part, val: Part, penalty: float) -> tuple[float, float]:
    """Return seconds and validation accuracy of one fit."""
    (x, y), (x_val, y_val) = ([tensor.cpu().numpy() for tensor in part] for part in standardise(train, val))
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=penalty).fit(x, y)
    return time.perf_counter() - started, float(model.score(x_val, y_val))


if __name__ == "__main__":
    main()
