"""What outputs mean: honest fractions, intervals that cover, probabilities; and it comes back from a file as it was."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from galaxies.data.questions import Question, QuestionTree
from galaxies.data.targets import Numbers, Tags, Votes
from galaxies.errors import InputError
from galaxies.heads.head import Head, load_head, save_head
from galaxies.heads.meanings import Meaning
from galaxies.heads.number_meaning import NumberMeaning, Standard
from galaxies.heads.tag_meaning import TagMeaning
from galaxies.heads.vote_meaning import VoteMeaning, VotePredictions
from tests.heads.test_head import trained_head

TREE = QuestionTree("toy", (Question("smooth", ("yes", "no", "star")), Question("bar", ("yes", "no"), "smooth", ("no",))))


def as_outputs(concentrations: np.ndarray, *, totals: np.ndarray) -> torch.Tensor:
    """Return the outputs (B, A + Q) that mean these shares and totals."""
    return torch.from_numpy(np.hstack([np.log(concentrations), 3 * np.log(totals)]))


def test_predictions_by_hand() -> None:
    said = VotePredictions(TREE, np.array([[2.0, 6.0, 2.0, 1.0, 3.0]]), num_people=40)
    np.testing.assert_allclose(said.expected, [[0.2, 0.6, 0.2, 0.25, 0.75]])
    np.testing.assert_allclose(said.asked, [[40, 24]])
    np.testing.assert_allclose(said.median[0, 3], stats.beta(1, 3).median())
    low, high = said.interval()
    np.testing.assert_allclose([low[0, 1], high[0, 1]], stats.beta(6, 4).ppf([0.05, 0.95]))


def test_of_a_question_with_one_answer_all_give_it() -> None:
    tree = QuestionTree("one", (Question("galaxy", ("yes",)),))
    said = VotePredictions(tree, np.array([[3.0]]), num_people=5)
    assert (said.expected[0, 0], said.median[0, 0], said.interval()[0][0, 0]) == (1, 1, 1)


def test_a_head_that_is_too_sure_is_corrected() -> None:
    """Its fractions are too far from the middle, and its concentrations ten times too large."""
    generator = np.random.default_rng(0)
    shares = generator.dirichlet([2, 2], 3000)
    truth = np.stack([generator.dirichlet(8 * share) for share in shares])
    people = generator.integers(5, 40, 3000)
    counts = np.stack([generator.multinomial(n, p) for n, p in zip(people, truth, strict=True)]).astype(np.float32)
    tree = QuestionTree("bar", (Question("bar", ("yes", "no")),))
    outputs = as_outputs(shares**1.5, totals=np.full((3000, 1), 80.0))
    meaning = VoteMeaning.fit(outputs, Votes(counts, tree), loss="dirichlet_multinomial", num_people=20)
    assert meaning.temperatures[0] == pytest.approx(1.5, rel=0.05)
    assert meaning.factors[0] == pytest.approx(0.1, rel=0.1)
    low, high = meaning.predict(outputs).interval()
    assert ((low <= truth) & (truth <= high)).mean() == pytest.approx(0.9, abs=0.02)


def test_where_hardly_anybody_was_asked_nothing_is_corrected() -> None:
    votes = Votes(np.zeros((30, 5), np.float32), TREE)
    votes.counts[:19, :3] = 1
    meaning = VoteMeaning.fit(torch.zeros(30, 7), votes, loss="dirichlet_multinomial", num_people=3)
    assert (meaning.temperatures, meaning.factors) == ((1, 1), (1, 1))


def make_numbers(values: np.ndarray, **changes: object) -> Numbers:
    numbers = Numbers(values, np.full_like(values, np.nan), ("size",), ("arcsec",), ("log10",))
    return replace(numbers, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("loss", ["gaussian", "quantiles"])
def test_intervals_of_numbers_cover_whatever_the_head_is_worth(loss: str) -> None:
    generator = np.random.default_rng(0)
    covered = []
    for _ in range(60):
        numbers = make_numbers(10 ** generator.standard_cauchy((400, 1)).clip(-20, 20))
        standard = Standard.fit(numbers)
        outputs = torch.from_numpy(generator.normal(size=(400, 2 if loss == "gaussian" else 3)))
        meaning = NumberMeaning.fit(outputs[:200], numbers.take(np.arange(200)), standard, loss=loss)
        said, truth = meaning.predict(outputs[200:]), numbers.values[200:]
        assert ((said.low <= said.value) & (said.value <= said.high)).all()
        covered.append(((said.low <= truth) & (truth <= said.high)).mean())
    assert np.mean(covered) == pytest.approx(0.9, abs=0.015)


def test_a_number_is_told_in_its_unit() -> None:
    numbers = make_numbers(np.array([[1.0], [100.0], [np.nan]]))
    standard = Standard.fit(numbers)
    assert (standard.means, standard.deviations) == ((1.0,), (1.0,))
    np.testing.assert_array_equal(standard.targets(numbers), [[-1, 0], [1, 0], [np.nan, 0]])
    said = NumberMeaning(standard, "gaussian", (2.0,)).predict(torch.tensor([[0.0, math.log(0.5)]]))
    assert [said.value.item(), said.low.item(), said.high.item()] == pytest.approx([10, 1, 100])


def test_too_few_to_promise_an_interval() -> None:
    numbers = make_numbers(np.array([[1.0], [2.0], [np.nan]]))
    standard = Standard.fit(numbers)
    said = NumberMeaning.fit(torch.zeros(3, 2), numbers, standard, loss="gaussian").predict(torch.zeros(1, 2))
    assert said.high.item() >= 1e300


def test_a_constant_number_has_an_interval_without_width() -> None:
    numbers = make_numbers(np.full((50, 1), 3.0), scales=("linear",))
    standard = Standard.fit(numbers)
    said = NumberMeaning.fit(torch.zeros(50, 2), numbers, standard, loss="gaussian").predict(torch.zeros(1, 2))
    assert (said.low.item(), said.value.item(), said.high.item()) == (3, 3, 3)


def test_a_number_that_no_train_galaxy_has_is_refused() -> None:
    with pytest.raises(InputError, match=r"no train galaxy has a known size; leave it out of train.columns"):
        Standard.fit(make_numbers(np.full((3, 1), np.nan)))


def test_tags_become_honest_probabilities_and_unknown_ones_say_nothing() -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(size=(4000, 1))
    values = (generator.random((4000, 1)) < 1 / (1 + np.exp(-truth))).astype(np.int8)
    values[:500] = -1
    outputs = torch.from_numpy(3 * truth + 1)
    outputs[:500] = 1e6
    meaning = TagMeaning.fit(outputs, Tags(values, ("ring",)))
    assert meaning.slopes[0] == pytest.approx(1 / 3, rel=0.1)
    assert meaning.offsets[0] == pytest.approx(-1 / 3, abs=0.1)
    assert TagMeaning.fit(outputs[:509], Tags(values[:509], ("ring",))).slopes == (1.0,)


STANDARD = Standard(("z", "size"), ("", "kpc"), ("linear", "log10"), (0.1, 1.0), (0.05, 0.5))


@pytest.mark.parametrize(
    "meaning",
    [
        VoteMeaning(TREE, "dirichlet_multinomial", 40.5, (1.0, 1.25), (0.5, 1.0)),
        VoteMeaning(TREE, "cross_entropy", 40.5, (1.0, 1.25), (0.5, 1.0)),
        NumberMeaning(STANDARD, "quantiles", (0.1, math.inf)),
        NumberMeaning(STANDARD, "gaussian", (1.6, 1.7)),
        TagMeaning(("ring", "bar"), (1.0, 0.5), (0.0, -1.0)),
    ],
    ids=str,
)
def test_a_meaning_comes_back_from_disk_and_is_no_class(meaning: Meaning, tmp_path: Path) -> None:
    head = Head(5, meaning.num_outputs).eval()
    trained = replace(trained_head(), head=head, meaning=meaning, others=())
    trained = replace(trained, others=(replace(trained, head=Head(5, meaning.num_outputs).eval()),))
    save_head(tmp_path / "head.pt", trained)
    loaded = load_head(tmp_path / "head.pt")
    assert loaded.meaning == meaning
    features = torch.rand(2, 5)
    assert torch.equal(loaded.others[0].outputs(features), trained.others[0].outputs(features))
    with pytest.raises(InputError, match=rf"This head tells {meaning.KIND} \(.*and a head for classes is needed"):
        _ = loaded.class_names
