"""What the outputs of a head for votes mean: what people would answer, how sure that is, and how many would be asked.

The head's concentrations fit the train galaxies better than others. So for each question validation rows that chose nothing say
how sharp they should be: the expected fractions by one temperature, their concentrations by one factor, both by the likelihood
of the votes. Legend: N calibration rows, B rows, A answers, Q questions, K outputs.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaincinv
from torch import Tensor

from galaxies.data.questions import Question, QuestionTree
from galaxies.data.targets import Votes
from galaxies.heads.vote_losses import dirichlet_multinomial_loss
from galaxies.heads.vote_objective import make_concentrations, make_membership

INTERVAL = 0.9
"""The share of galaxies whose fraction lies within its interval."""

# Below this what is fitted is mostly chance, as of a temperature of classes.
_FEWEST_ROWS = 20

# Of the logarithms of temperature and factor.
_BOUNDS = ((-1.5, 1.5), (-4.0, 3.0))
# A Gaussian prior about 0 of those logarithms, so few rows do not move them far.
_PRIOR_WIDTHS = np.array([0.5, 2.0])

# Shares are kept from 0, so that a temperature can act on them.
_LEAST_SHARE = 1e-6


@dataclass(frozen=True)
class VotePredictions:
    """What people would say of B galaxies."""

    tree: QuestionTree
    concentrations: NDArray[np.float64]  # (B, A)
    num_people: float  # that look at a galaxy

    @property
    def totals(self) -> NDArray[np.float64]:
        """(B, A) the sum of the concentrations of each answer's question."""
        return _spread(np.stack([self.concentrations[:, part].sum(axis=1) for part in self.tree.slices], axis=1), self.tree)

    @property
    def expected(self) -> NDArray[np.float64]:
        """(B, A) the fraction of people who would give each answer, of those who were asked."""
        return self.concentrations / self.totals

    @property
    def median(self) -> NDArray[np.float64]:
        """(B, A) what the fraction of each answer is as likely above as below; a mean is drawn towards the middle."""
        return self.quantile(0.5)

    @property
    def asked(self) -> NDArray[np.float64]:
        """(B, Q) how many people would be asked each question."""
        return self.num_people * self.tree.reach(self.expected)

    def interval(self, level: float = INTERVAL) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the ends of the central interval of each fraction, (B, A) each."""
        return self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)

    def quantile(self, level: float) -> NDArray[np.float64]:
        """Return the quantiles of the fractions, (B, A): each has a beta distribution; 1 where a question has one answer."""
        others = self.totals - self.concentrations
        is_alone = others <= 0
        quantile: NDArray[np.float64] = betaincinv(self.concentrations, np.where(is_alone, 1, others), level)
        return np.where(is_alone, 1.0, quantile)


@dataclass(frozen=True)
class VoteMeaning:
    """Of the K outputs of a head for votes."""

    KIND: ClassVar = "votes"

    tree: QuestionTree
    loss: str  # train.vote_loss
    num_people: float  # that looked at a train galaxy, on average
    temperatures: tuple[float, ...]  # (Q,) that the logarithms of the expected fractions are divided by
    factors: tuple[float, ...]  # (Q,) that the concentrations are multiplied by

    @classmethod
    def fit(cls, outputs: Tensor, votes: Votes, *, loss: str, num_people: float) -> Self:
        """Return what outputs (N, K) of rows that trained and chose nothing, and their votes, ask for."""
        raw = cls(votes.tree, loss, num_people, (1.0,) * len(votes.tree), (1.0,) * len(votes.tree))
        concentrations = raw.predict(outputs).concentrations
        fitted = [
            _fit_question(concentrations[:, part], votes.counts[:, part].astype(np.float64)) for part in votes.tree.slices
        ]
        return cls(votes.tree, loss, num_people, tuple(t for t, _ in fitted), tuple(f for _, f in fitted))

    @property
    def names(self) -> tuple[str, ...]:
        """What the head tells."""
        return self.tree.columns

    @property
    def sizes(self) -> list[int]:
        """(Q,) the number of answers of each question."""
        return [len(question.answers) for question in self.tree.questions]

    @property
    def num_outputs(self) -> int:
        """K."""
        return self.tree.num_answers + (len(self.tree) if self.loss == "dirichlet_multinomial" else 0)

    def predict(self, outputs: Tensor) -> VotePredictions:
        """Return what outputs (B, K) say."""
        raw = make_concentrations(outputs.double().T, make_membership(self.sizes).double()).T.numpy()
        sharpened = [
            _sharpen(raw[:, part], temperature, factor)
            for part, temperature, factor in zip(self.tree.slices, self.temperatures, self.factors, strict=True)
        ]
        return VotePredictions(self.tree, np.concatenate(sharpened, axis=1), self.num_people)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        questions = [
            {**asdict(question), "answers": list(question.answers), "answered": list(question.answered)}
            for question in self.tree.questions
        ]
        return {
            "tree": {"name": self.tree.name, "questions": questions},
            "loss": self.loss,
            "num_people": self.num_people,
            "temperatures": list(self.temperatures),
            "factors": list(self.factors),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_json` gave."""
        questions = tuple(
            Question(saved["name"], tuple(saved["answers"]), saved["after"], tuple(saved["answered"]))
            for saved in content["tree"]["questions"]
        )
        return cls(
            QuestionTree(content["tree"]["name"], questions),
            content["loss"],
            float(content["num_people"]),
            tuple(content["temperatures"]),
            tuple(content["factors"]),
        )


def _sharpen(concentrations: NDArray[np.float64], temperature: float, factor: float) -> NDArray[np.float64]:
    """Return the concentrations (B, answers of a question) after the temperature and the factor."""
    total = concentrations.sum(axis=1, keepdims=True)
    shares = np.maximum(concentrations / total, _LEAST_SHARE) ** (1 / temperature)
    sharpened: NDArray[np.float64] = factor * total * shares / shares.sum(axis=1, keepdims=True)
    return sharpened


def _fit_question(concentrations: NDArray[np.float64], counts: NDArray[np.float64]) -> tuple[float, float]:
    """Return temperature and factor that make the votes on one question most likely; 1 and 1 of fewer than 20 galaxies."""
    is_asked = counts.sum(axis=1) > 0
    if is_asked.sum() < _FEWEST_ROWS or counts.shape[1] < 2:
        return 1.0, 1.0
    votes, membership = torch.from_numpy(counts[is_asked].T), torch.ones(1, counts.shape[1], dtype=torch.float64)

    def loss(logarithms: NDArray[np.float64]) -> float:
        sharpened = torch.from_numpy(_sharpen(concentrations[is_asked], *np.exp(logarithms)).T.copy())
        prior = 0.5 * np.square(logarithms / _PRIOR_WIDTHS).sum()
        return float(dirichlet_multinomial_loss(sharpened, votes, membership).sum()) + float(prior)

    best = minimize(loss, np.zeros(2), method="L-BFGS-B", bounds=_BOUNDS)
    temperature, factor = np.exp(best.x).tolist()
    return temperature, factor


def _spread(of_questions: NDArray[np.float64], tree: QuestionTree) -> NDArray[np.float64]:
    """Return (B, Q) as (B, A): the number of its question for each answer."""
    return np.repeat(of_questions, [len(question.answers) for question in tree.questions], axis=1)
