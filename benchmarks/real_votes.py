"""Heads for votes against ridge regression, on the same features of real galaxies: `python -m benchmarks.real_votes [FOLDER]`.

FOLDER, by default ``real/votes`` below GALAXIES_TEST_DATA, holds ``votes.csv`` with debiased votes of Galaxy Zoo 2 and
``images/<id>.jpg``. Five folds over the rows in the file's order; everything is chosen inside the training part of a fold.

Each question has a linear head of its own, which `galaxies.heads.trainer` trains on the Dirichlet-multinomial likelihood by
L-BFGS. An inner cross-validation trains one for each of its parts and each penalty; the mean of the heads of the penalty whose
held-out votes are likeliest gives the median, after a calibration on those votes. The expected fraction is the mean of ridge
regression's and of that of the heads whose held-out fractions have the smallest error: a share chosen by held-out fractions did
no better than one half. Ridge regression is scikit-learn's RidgeCV on standardised features and the column as it stands, 0
where nobody was asked; all rows are measured, as the column stands.

The features are means over the eight views of an image; beside that stands ridge regression on one view alone.
Legend: N galaxies, V views, C features, A answers of a question, K outputs.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from galaxies.backbones.backbone import load_backbone
from galaxies.backbones.forward import ForwardPass, make_forward
from galaxies.backbones.spec import ExtractParams
from galaxies.data.question_files import open_tree
from galaxies.data.questions import QuestionTree
from galaxies.data.targets import Votes
from galaxies.data.vote_columns import OddSums, choose_form, read_counts
from galaxies.evaluation.vote_scores import log_likelihood
from galaxies.heads.batches import BatchOptions, ResidentBatches
from galaxies.heads.train_params import TrainParams
from galaxies.heads.trainer import Trainer
from galaxies.heads.vote_meaning import VoteMeaning
from galaxies.heads.vote_objective import VoteObjective

QUESTIONS = {
    "smooth": ("t01_smooth_or_features", "a01_smooth"),
    "edge-on": ("t02_edgeon", "a04_yes"),
    "bar": ("t03_bar", "a06_bar"),
    "spiral": ("t04_spiral", "a08_spiral"),
}
"""Of each question the answer that is predicted."""

_NUM_FOLDS, _NUM_INNER = 5, 5
_RIDGE_PENALTIES = np.logspace(-2, 6, 17)
_PENALTIES = (0.3, 1.0, 2.0, 4.0, 8.0, 16.0)
PARAMS = TrainParams(target="votes", questions="gz2", optimizer="lbfgs", num_epochs=60)


Values = NDArray[np.float64]


@dataclass(frozen=True)
class Said:
    """What is told of a fraction, (N,) each."""

    expected: Values
    median: Values
    alone: Values  # the expected fraction of the heads, without the blend


def read_galaxies(folder: Path) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Return the table of votes and the features of all views of its images, (N, V, C)."""
    table = pd.read_csv(folder / "votes.csv", dtype={"id": str})
    params = ExtractParams()
    (layer,) = params.layers
    backbone = load_backbone(params.spec, layers=params.layers)
    forward = make_forward(backbone, ForwardPass((layer,), params.pool, views=8), device=torch.device("cpu"))
    parts = []
    for start in range(0, len(table), 32):
        names = table["id"].iloc[start : start + 32]
        images = np.stack([np.asarray(Image.open(folder / "images" / f"{name}.jpg").convert("RGB")) for name in names])
        parts.append(forward(torch.from_numpy(images))[layer].numpy())
    return table, np.concatenate(parts)


def read_votes(table: pd.DataFrame, tree: QuestionTree, question: str) -> Votes:
    """Return the debiased votes on one question as the product reads them."""
    columns = {name.lower(): table[name].to_numpy(np.float64) for name in table.select_dtypes("number")}
    place = tree.index(question)
    way = [tree.questions[before].name for before in (*tree.ancestors(place), place)]
    form = choose_form(tree, list(columns), kind="debiased", chosen=way)

    def refuse(column: str, is_wrong: NDArray[np.bool_], expected: str) -> None:
        assert not is_wrong.any(), (column, expected)

    return Votes(read_counts(form, columns, refuse, OddSums()), form.tree).select([question])


def fit_ridge(features: NDArray[np.float32], fraction: Values, test: NDArray[np.float32]) -> Values:
    """Return what ridge regression on features (N, C) says of others."""
    model = make_pipeline(StandardScaler(), RidgeCV(alphas=_RIDGE_PENALTIES)).fit(features, fraction)
    told: Values = model.predict(test)
    return told


def fit_heads(features: NDArray[np.float32], votes: Votes, fraction: Values, test: NDArray[np.float32]) -> Said:
    """Return what is told of the first answer of a question.

    Args:
        features: of the training part, (N, C).
        votes: of it.
        fraction: the column as it stands, (N,).
        test: features of other galaxies.
    """
    parts = list(KFold(_NUM_INNER, shuffle=True, random_state=1).split(features))
    tried = [_cross_fit(features, votes, test, parts, penalty) for penalty in _PENALTIES]
    asked = np.flatnonzero(votes.known)

    def likelihood(outputs: tuple[Tensor, Tensor]) -> float:
        raw = _meaning(votes)
        return float(log_likelihood(votes.take(asked), raw.predict(outputs[0][asked])).sum())

    held_out_outputs, outputs = max(tried, key=likelihood)
    meaning = VoteMeaning.fit(held_out_outputs[asked], votes.take(asked), loss=PARAMS.vote_loss, num_people=40.0)
    # The likeliest penalty is not that of the best mean.
    expected = min(
        ([_meaning(votes).predict(part).expected[:, 0] for part in each] for each in tried),
        key=lambda told: float(np.square(told[0] - fraction).mean()),
    )
    blend = (expected[1] + fit_ridge(features, fraction, test)) / 2
    return Said(np.clip(blend, 0, 1), meaning.predict(outputs).median[:, 0], expected[1])


def _cross_fit(
    features: NDArray[np.float32],
    votes: Votes,
    test: NDArray[np.float32],
    parts: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    penalty: float,
) -> tuple[Tensor, Tensor]:
    """Return the outputs for held-out rows (N, K), and the mean of the heads' outputs for ``test``."""
    params = replace(PARAMS, weight_decay=penalty)
    held_out_outputs, of_test = torch.empty(len(votes), votes.counts.shape[1] + 1), []
    for train, held_out in parts:
        batches, val = (_open(features, votes, rows[votes.known[rows]]) for rows in (train, held_out))
        objective = VoteObjective(batches.targets, [votes.counts.shape[1]], params.vote_loss)
        head = Trainer(batches, val, objective, params).fit().seeds[0].head
        with torch.inference_mode():
            held_out_outputs[held_out] = head(torch.from_numpy(features[held_out]))
            of_test.append(head(torch.from_numpy(test)))
    return held_out_outputs, torch.stack(of_test).mean(0)


def _meaning(votes: Votes) -> VoteMeaning:
    return VoteMeaning(votes.tree, PARAMS.vote_loss, 40.0, (1.0,), (1.0,))


def _open(features: NDArray[np.float32], votes: Votes, rows: NDArray[np.int64]) -> ResidentBatches:
    options = BatchOptions(PARAMS.batch_size)
    return ResidentBatches(torch.from_numpy(features[rows][:, None].copy()), torch.from_numpy(votes.counts[rows]), options)


def compare_methods(table: pd.DataFrame, features: NDArray[np.float32], tree: QuestionTree, name: str) -> pd.DataFrame:
    """Return what each method says of one fraction, and what is true: a column each, a row a galaxy."""
    question, answer = QUESTIONS[name]
    votes, fraction = read_votes(table, tree, question), table[f"{question}_{answer}_debiased"].to_numpy(np.float64)
    columns = ("train mean", "train median", "ridge, one view", "ridge", "ours", "our median", "our heads alone")
    said = pd.DataFrame(np.nan, index=range(len(table)), columns=["true", *columns]).assign(true=fraction)
    views = features.mean(axis=1)
    for train, test in KFold(_NUM_FOLDS, shuffle=True, random_state=0).split(views):
        ours = fit_heads(views[train], votes.take(train), fraction[train], views[test])
        said.loc[test, columns[0]], said.loc[test, columns[1]] = fraction[train].mean(), np.median(fraction[train])
        said.loc[test, columns[2]] = fit_ridge(features[train, 0], fraction[train], features[test, 0])
        said.loc[test, columns[3]] = fit_ridge(views[train], fraction[train], views[test])
        said.loc[test, columns[4]], said.loc[test, columns[5]] = ours.expected, ours.median
        said.loc[test, columns[6]] = ours.alone
    return said


def format_methods(said: pd.DataFrame, name: str) -> str:
    """Return a line a method: both errors, and how much less they are than those of ridge, with paired standard errors."""
    heads = f"{'less than ridge':>17} {'on one view':>16}"
    lines = [f"{name:17} {'RMSE':>6} {heads}  {'MAD':>6} {heads}"]
    true = said["true"].to_numpy()
    errors = {method: said[method].to_numpy() - true for method in said.columns[1:]}
    for method, error in errors.items():
        against = [errors[line] for line in ("ridge", "ridge, one view")]
        squares = "".join(_format_gain(*_gain_of_rmse(line, error)) for line in against)
        sizes = "".join(_format_gain(*_gain_of_mad(line, error)) for line in against)
        rmse, mad = np.sqrt(np.square(error).mean()), np.abs(error).mean()
        lines.append(f"  {method:15} {rmse:6.4f}{squares}  {mad:6.4f}{sizes}")
    return "\n".join(lines)


def _format_gain(gain: float, spread: float) -> str:
    return f"  {gain:+.4f} ± {spread:.4f}"


def _gain_of_mad(line: Values, error: Values) -> tuple[float, float]:
    """Return by how much the second mean absolute error is lower, and the standard error of that."""
    gains = np.abs(line) - np.abs(error)
    return float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains)))


def _gain_of_rmse(line: Values, error: Values) -> tuple[float, float]:
    """Return by how much the second RMSE is lower, and the standard error of that: the delta method over galaxies."""
    first, second = (np.sqrt(np.square(part).mean()) for part in (line, error))
    moves = np.square(line) / (2 * first) - np.square(error) / (2 * second)
    return float(first - second), float(moves.std(ddof=1) / np.sqrt(len(line)))


def main() -> None:
    """Print a table a question."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="with votes.csv and images/")
    folder = parser.parse_args().folder
    if folder is None:
        data = os.environ.get("GALAXIES_TEST_DATA")
        if data is None:
            raise SystemExit("Name a folder, or set GALAXIES_TEST_DATA: real/votes below it is taken.")
        folder = Path(data) / "real" / "votes"
    torch.manual_seed(0)
    table, features = read_galaxies(folder)
    tree = open_tree("gz2")
    print(f"{len(table)} galaxies, {features.shape[2]} features, {features.shape[1]} views", flush=True)
    for name in QUESTIONS:
        print(format_methods(compare_methods(table, features, tree, name), name), flush=True)


if __name__ == "__main__":
    main()
