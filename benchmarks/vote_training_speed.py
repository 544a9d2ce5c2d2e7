"""How long heads for votes take to train: `python -m benchmarks.vote_training_speed`.

The 34 answers of Galaxy Zoo DECaLS for 17,736 galaxies with 640 features of noise, 60 epochs of batches of 256: one head on
each loss, and the 16 of a sweep together.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
import torch

from benchmarks.measuring import describe_machine
from galaxies.data.question_files import open_tree
from galaxies.heads.batches import BatchOptions, ResidentBatches
from galaxies.heads.train_params import SweepParams, TrainParams
from galaxies.heads.trainer import Trainer
from galaxies.heads.vote_objective import VoteObjective
from galaxies.simulation.people import FEWEST_PEOPLE, MOST_PEOPLE

_NUM_GALAXIES, _NUM_FEATURES, _TREE = 17_736, 640, "gz_decals"
_RATES, _DECAYS = (1e-4, 3e-4, 1e-3, 3e-3), (0.1, 1.0, 3.0, 10.0)


def measure_seconds(features: torch.Tensor, votes: torch.Tensor, params: TrainParams) -> float:
    """Return how long a training takes, the batches made before."""
    sizes = [len(question.answers) for question in open_tree(_TREE).questions]
    train, val = (
        ResidentBatches(features[rows][:, None].clone(), votes[rows], BatchOptions(params.batch_size))
        for rows in (slice(None), slice(0, 1300))
    )
    trainer = Trainer(train, val, VoteObjective(train.targets, sizes, params.vote_loss), params)
    start = time.perf_counter()
    trainer.fit()
    return time.perf_counter() - start


def main() -> None:
    """Print the seconds of each, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    epochs = parser.parse_args().epochs
    generator, tree = np.random.default_rng(0), open_tree(_TREE)
    features = torch.from_numpy(generator.normal(size=(_NUM_GALAXIES, _NUM_FEATURES)).astype(np.float32))
    people = generator.integers(FEWEST_PEOPLE, MOST_PEOPLE + 1, _NUM_GALAXIES)
    counts = [generator.multinomial(people, np.full(len(part.answers), 1 / len(part.answers))) for part in tree.questions]
    votes = torch.from_numpy(np.hstack(counts).astype(np.float32))
    params = TrainParams(target="votes", questions=_TREE, num_epochs=epochs)
    print(describe_machine(torch.device("cpu")))
    one = measure_seconds(features, votes, params)
    print(f"one head, Dirichlet-multinomial: {one:.1f} s", flush=True)
    crossed = measure_seconds(features, votes, replace(params, vote_loss="cross_entropy"))
    print(f"one head, cross-entropy: {crossed:.1f} s", flush=True)
    sweep = SweepParams(learning_rate=_RATES, weight_decay=_DECAYS)
    many = measure_seconds(features, votes, replace(params, sweep=sweep))
    print(f"a sweep of 16, Dirichlet-multinomial: {many:.1f} s, {many / one:.1f} times one", flush=True)


if __name__ == "__main__":
    main()
