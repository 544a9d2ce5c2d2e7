"""Simulated votes, numbers and tags: those of the galaxies that are drawn, and votes that scatter about a known truth."""

import numpy as np
import pandas as pd
import pytest

from galaxies.data.question_files import open_tree
from galaxies.simulation.morphology import Morphology
from galaxies.simulation.people import ask_people, draw_probabilities
from galaxies.simulation.survey import simulate_survey
from galaxies.simulation.survey_plan import plan_survey
from galaxies.simulation.survey_targets import TREE, simulate_targets

SPIRAL = Morphology(0.1, 8.0, 21.5, 0.8, 0.0, num_arms=2, arm_contrast=1.5, arm_pitch=0.5, bar_fraction=0.2)
SMOOTH = Morphology(0.1, 3.0, 20.5, 0.95, 0.0)
NEEDLE = Morphology(0.1, 9.0, 21.5, 0.15, 0.0, is_edge_on=True, dust_lane=0.5)


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    return simulate_targets(num_galaxies=2000, image_size=64, seed=3)


def test_people_see_what_is_there() -> None:
    tree = open_tree(TREE)
    galaxies = [SPIRAL] * 300 + [SMOOTH] * 300 + [NEEDLE] * 300
    probabilities = draw_probabilities(galaxies, tree, np.random.default_rng(0))
    for answers in tree.slices:
        np.testing.assert_allclose(probabilities[:, answers].sum(axis=1), 1)
    means = pd.DataFrame(
        probabilities.reshape(3, 300, -1).mean(axis=1), index=["spiral", "smooth", "needle"], columns=tree.columns
    )
    likely = {
        "spiral": ("shape_disk", "edge_on_no", "bar_yes", "arms_yes", "winding_loose"),
        "smooth": ("shape_smooth", "rounded_round", "bar_no", "arms_no"),
        "needle": ("shape_disk", "edge_on_yes"),
    }
    for kind, expected in likely.items():
        assert (means.loc[kind][list(expected)] > 0.75).all(), kind


def test_people_answer_what_they_are_asked() -> None:
    tree = open_tree(TREE)
    probabilities = draw_probabilities([SPIRAL, SMOOTH, NEEDLE] * 100, tree, np.random.default_rng(0))
    counts = ask_people(probabilities, tree, np.random.default_rng(1))
    totals = np.stack([counts[:, answers].sum(axis=1) for answers in tree.slices], axis=1)
    assert totals[:, 0].min() == 5
    assert totals[:, 0].max() == 40
    for number, parents in enumerate(tree.parents[1:], start=1):
        assert (totals[:, number] == counts[:, list(parents)].sum(axis=1)).all()


def test_a_survey_has_the_same_targets_each_time_and_others_with_another_seed(
    tables: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    for first, second in zip(tables, simulate_targets(num_galaxies=2000, image_size=64, seed=3), strict=True):
        pd.testing.assert_frame_equal(first, second)
    other, _ = simulate_targets(num_galaxies=2000, image_size=64, seed=4)
    assert not other["size"].equals(tables[0]["size"])
    # Golden: they are those of the images, which a seed makes for ever.
    assert tables[0][["id", "size", "sersic_index"]].to_numpy()[0].tolist() == GOLDEN


GOLDEN = ["sim-000000", 2.471955, 0.958144]


def test_the_targets_are_of_the_galaxies_that_are_drawn() -> None:
    table, _ = simulate_targets(num_galaxies=120, image_size=16, seed=5)
    blocks = list(simulate_survey(num_galaxies=120, image_size=16, seed=5, num_workers=0))
    ids = [name for block in blocks for name in block.ids or ()]
    is_blank = plan_survey(120, 16, 5).is_blank
    assert table["id"].tolist() == [name for name, blank in zip(ids, is_blank, strict=True) if not blank]
    pxscale = np.concatenate([block.pxscale for block in blocks])[~is_blank]
    # The largest galaxies have coarser images, and nothing but the size decides it; neighbours are all in native ones.
    native = pxscale.min()
    large = pxscale > native
    np.testing.assert_allclose(pxscale[large] / native, np.clip(table["size"][large] / 11, 1, 2), rtol=1e-6)


def test_votes_scatter_about_the_truth(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table, truth = tables
    counts, probabilities = table[["shape_smooth", "shape_disk"]].to_numpy(), truth[["shape_smooth", "shape_disk"]].to_numpy()
    total = counts.sum(axis=1)
    z = (counts[:, 0] - total * probabilities[:, 0]) / np.sqrt(total * probabilities[:, 0] * probabilities[:, 1])
    assert abs(z.mean()) < 0.1
    assert z.std() == pytest.approx(1, abs=0.06)
    assert probabilities.min() > 0


def test_numbers_and_tags_are_what_galaxies_have(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table, _ = tables
    assert table["size"].between(1.6, 17).all()
    assert table["sersic_index"].between(0.5, 6).all()
    discs = table["inclination"].notna()
    assert 0.4 < discs.mean() < 0.9
    assert table.loc[discs, "inclination"].between(0, 90).all()
    assert (table["bar_strength"].notna() == discs).all()
    for name in ("ring", "tails", "companion"):
        assert set(table[name].dropna()) == {0, 1}
        assert table[name].isna().mean() == pytest.approx(0.1, abs=0.03)
