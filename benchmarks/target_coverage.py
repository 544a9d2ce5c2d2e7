"""Whether intervals of votes and numbers cover what they promise: `python -m benchmarks.target_coverage`.

One simulated survey of 3,000 galaxies with the default backbone's features. For each of 20 seeds other people are asked, the
galaxies are divided anew (70 % train, 15 % val, 15 % test) and a head is trained and calibrated as the stage `train` does it.
Printed are means over the seeds, with the deviation of a single seed: of the 90 % intervals of numbers, of the true
probabilities of answers, and of the votes that were observed (with randomised ends, and with whole ones). Answers count where
at least half of the people who looked at a galaxy were asked.

The tags have no intervals; their calibration error and average precision stand below. With ``--efigi FILE``, a file in the
Galaxy10 schema, a column of noise is told of those galaxies: nothing of it can be explained, and its intervals must cover all
the same. Legend: N galaxies, C features.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from galaxies.backbones.backbone import load_backbone
from galaxies.backbones.forward import ForwardPass, make_forward
from galaxies.backbones.spec import ExtractParams
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.question_files import open_tree
from galaxies.data.targets import UNKNOWN_TAG, Numbers, Tags, Targets, Votes
from galaxies.evaluation.number_scores import OF_NUMBERS, OF_TAGS, measure_number, measure_tag
from galaxies.evaluation.told import ASKED_SHARE, asked_share, tell_numbers, tell_tags
from galaxies.evaluation.vote_coverage import cover_as_printed, cover_randomised, find_positions
from galaxies.heads.batches import BatchOptions, ResidentBatches
from galaxies.heads.meanings import Meaning
from galaxies.heads.number_meaning import NumberMeaning
from galaxies.heads.tag_meaning import TagMeaning
from galaxies.heads.tasks import make_task
from galaxies.heads.train_params import TrainParams
from galaxies.heads.trainer import Trainer
from galaxies.heads.vote_meaning import VoteMeaning
from galaxies.simulation.people import ask_people
from galaxies.simulation.survey import simulate_survey
from galaxies.simulation.survey_targets import TREE, simulate_targets

_NUM_GALAXIES, _IMAGE_SIZE = 3000, 256
_NUMBERS = {"size": "log10", "sersic_index": "linear", "inclination": "linear", "bar_strength": "linear"}
_TAGS = ("ring", "tails", "companion")
_VAL, _TEST = 0.15, 0.15


def compute_features(num_galaxies: int, num_workers: int) -> NDArray[np.float32]:
    """Return the default features of the simulated galaxies that are not blank, (N, C), in the order of their table."""
    params = ExtractParams()
    backbone = load_backbone(params.spec, layers=params.layers)
    forward = make_forward(backbone, ForwardPass(params.layers, params.pool), device=torch.device("cpu"))
    parts = []
    for block in simulate_survey(num_galaxies=num_galaxies, image_size=_IMAGE_SIZE, seed=0, num_workers=num_workers):
        images = np.asarray(block.images)
        images = images[np.ptp(images.reshape(len(images), -1), axis=1) > 0]
        for start in range(0, len(images), 64):
            parts.append(forward(torch.from_numpy(images[start : start + 64]))[params.layers[0]][:, 0].numpy())
    return np.concatenate(parts)


def compute_features_of_file(path: Path) -> NDArray[np.float32]:
    """Return the default features of the galaxies of a file, (N, C)."""
    params = ExtractParams()
    backbone = load_backbone(params.spec, layers=params.layers)
    forward = make_forward(backbone, ForwardPass(params.layers, params.pool), device=torch.device("cpu"))
    parts = []
    with GalaxyFile(path) as galaxies:
        for start in range(0, galaxies.num_galaxies, 64):
            images = galaxies.read_pictures(np.arange(start, min(start + 64, galaxies.num_galaxies)))
            parts.append(forward(torch.from_numpy(images))[params.layers[0]][:, 0].numpy())
    return np.concatenate(parts)


def cover_noise(features: NDArray[np.float32], params: TrainParams, seed: int) -> dict[str, float]:
    """Return what is explained of noise, and how much of it is covered."""
    noise = np.random.default_rng(seed).normal(size=(len(features), 1))
    numbers = Numbers(noise, np.full_like(noise, np.nan), ("noise",), ("",), ("linear",))
    meaning, outputs, test = fit_head(features, numbers, params, np.random.default_rng(seed))
    assert isinstance(meaning, NumberMeaning)
    told = tell_numbers(numbers.take(test), meaning.predict(outputs))
    measured = dict(zip(OF_NUMBERS, measure_number(told, 0, np.arange(len(test))), strict=True))
    return {"noise, coverage": measured["coverage"], "noise, R²": measured["r2"]}


def fit_head(
    features: NDArray[np.float32], targets: Targets, params: TrainParams, generator: np.random.Generator
) -> tuple[Meaning, torch.Tensor, NDArray[np.int64]]:
    """Return what a head's outputs mean, its outputs for the test rows, and those rows; the division is drawn."""
    order = generator.permutation(np.flatnonzero(targets.known))
    first, second = round(_TEST * len(order)), round((_TEST + _VAL) * len(order))
    test, val, train = (np.sort(part) for part in np.split(order, [first, second]))
    choosing, calibrating = val[::2], val[1::2]
    task = make_task(targets, params, train)
    options = BatchOptions(params.batch_size)
    batches, val_batches = (
        ResidentBatches(torch.from_numpy(features[rows][:, None].copy()), torch.from_numpy(task.targets(rows)), options)
        for rows in (train, choosing)
    )
    fit = Trainer(batches, val_batches, task.make_objective(batches.targets, params), params).fit().seeds[0]
    with torch.inference_mode():
        meaning = task.fit_meaning(fit.head(torch.from_numpy(features[calibrating])), calibrating)
        return meaning, fit.head(torch.from_numpy(features[test])), test


def cover_votes(
    features: NDArray[np.float32], probabilities: NDArray[np.float64], params: TrainParams, seed: int
) -> dict[str, float]:
    """Return the shares covered of one seed's votes."""
    generator, tree = np.random.default_rng(seed), open_tree(TREE)
    votes = Votes(ask_people(probabilities, tree, generator).astype(np.float32), tree)
    meaning, outputs, test = fit_head(features, votes, params, generator)
    assert isinstance(meaning, VoteMeaning)
    said, observed = meaning.predict(outputs), votes.take(test)
    counts = np.repeat(asked_share(observed) >= ASKED_SHARE, meaning.sizes, axis=1)
    low, high = said.interval()
    positions = find_positions(observed, said)
    covered = {
        "true probability": (low <= probabilities[test]) & (probabilities[test] <= high),
        "votes, randomised ends": cover_randomised(*positions, generator=generator),
        "votes, whole ends": cover_as_printed(*positions),
    }
    return {name: float(each[counts].mean()) for name, each in covered.items()}


def cover_numbers(features: NDArray[np.float32], table: pd.DataFrame, params: TrainParams, seed: int) -> dict[str, float]:
    """Return the shares covered of each number, and what is explained of it."""
    values = table[list(_NUMBERS)].to_numpy(np.float64)
    scales = tuple(_NUMBERS.values())
    numbers = Numbers(values, np.full_like(values, np.nan), tuple(_NUMBERS), ("",) * len(_NUMBERS), scales)  # type: ignore[arg-type]
    meaning, outputs, test = fit_head(features, numbers, params, np.random.default_rng(seed))
    assert isinstance(meaning, NumberMeaning)
    told, found = tell_numbers(numbers.take(test), meaning.predict(outputs)), {}
    for place, name in enumerate(_NUMBERS):
        measured = dict(zip(OF_NUMBERS, measure_number(told, place, np.arange(len(test))), strict=True))
        found |= {f"{name}, coverage": measured["coverage"], f"{name}, R²": measured["r2"]}
    return found


def score_tags(features: NDArray[np.float32], table: pd.DataFrame, params: TrainParams, seed: int) -> dict[str, float]:
    """Return average precision and calibration error of each tag."""
    values = table[list(_TAGS)].astype("float64").fillna(UNKNOWN_TAG).to_numpy(np.int8)
    tags = Tags(values, _TAGS)
    meaning, outputs, test = fit_head(features, tags, params, np.random.default_rng(seed))
    assert isinstance(meaning, TagMeaning)
    told, found = tell_tags(tags.take(test), meaning.predict(outputs)), {}
    for place, name in enumerate(_TAGS):
        measured = dict(zip(OF_TAGS, measure_tag(told, place, np.arange(len(test))), strict=True))
        found |= {f"{name}, {metric}": measured[metric] for metric in ("average_precision", "calibration_error", "base_rate")}
    return found


def format_means(found: Sequence[dict[str, float]]) -> str:
    """Return a line a name: mean over the seeds, and the deviation of one."""
    table = pd.DataFrame(found)
    return "\n".join(f"  {name:32} {table[name].mean():.4f} ± {table[name].std():.4f}" for name in table)


def main() -> None:
    """Print the coverage of votes and numbers, and how good tags are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--galaxies", type=int, default=_NUM_GALAXIES)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--features", type=Path, help="an .npy file to keep the features in, for another time")
    parser.add_argument("--efigi", type=Path, help="galaxies of which noise is told, instead of all else")
    options = parser.parse_args()
    if options.efigi:
        features, params = compute_features_of_file(options.efigi), TrainParams(target="number", columns=("noise",))
        print(f"{len(features)} galaxies of {options.efigi.name}, {options.seeds} seeds", flush=True)
        for loss in ("gaussian", "quantiles"):
            chosen = replace(params, number_loss=loss)
            print(
                f"{loss}:\n{format_means([cover_noise(features, chosen, seed) for seed in range(options.seeds)])}", flush=True
            )
        return
    if options.features and options.features.is_file():
        features = np.load(options.features)
    else:
        features = compute_features(options.galaxies, options.workers)
        if options.features:
            np.save(options.features, features)
    table, truth = simulate_targets(num_galaxies=options.galaxies, image_size=_IMAGE_SIZE, seed=0)
    assert len(table) == len(features), "the table and the images are of the same galaxies"
    probabilities, seeds = truth.drop(columns="id").to_numpy(np.float64), range(options.seeds)
    votes = TrainParams(target="votes", questions=TREE)
    print(f"{len(table)} galaxies, {len(seeds)} seeds\nvotes, Dirichlet-multinomial:", flush=True)
    print(format_means([cover_votes(features, probabilities, votes, seed) for seed in seeds]))
    crossed = replace(votes, vote_loss="cross_entropy")
    print("votes, cross-entropy:", flush=True)
    print(format_means([cover_votes(features, probabilities, crossed, seed) for seed in seeds]))
    numbers = TrainParams(target="number", columns=tuple(_NUMBERS))
    print("numbers, Gaussian:", flush=True)
    print(format_means([cover_numbers(features, table, numbers, seed) for seed in seeds]))
    print("numbers, quantiles:", flush=True)
    print(format_means([cover_numbers(features, table, replace(numbers, number_loss="quantiles"), seed) for seed in seeds]))
    print("tags:", flush=True)
    print(format_means([score_tags(features, table, TrainParams(target="tags", columns=_TAGS), seed) for seed in seeds]))


if __name__ == "__main__":
    main()
