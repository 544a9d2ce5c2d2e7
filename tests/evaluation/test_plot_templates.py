"""The templates of `dvc plots`, filled by DVC's own renderer and drawn by Vega-Lite: every mark that should be there is."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import vl_convert
from dvc_render import VegaRenderer  # type: ignore[import-untyped]

from galaxies.evaluation.class_tables import tabulate_classes, tabulate_confusion
from galaxies.evaluation.intervals import Intervals, find_intervals
from galaxies.evaluation.label_errors import Suspect, tabulate_suspects
from galaxies.evaluation.predictions import tabulate_predictions
from galaxies.evaluation.reliability import tabulate_reliability
from galaxies.evaluation.strata import tabulate_strata
from galaxies.evaluation.threshold_curves import tabulate_abstention, tabulate_threshold_curves
from galaxies.evaluation.told import tell_votes
from galaxies.evaluation.told_tables import (
    tabulate_density,
    tabulate_residuals,
    tabulate_scores,
    tabulate_told_reliability,
)
from galaxies.evaluation.vote_scores import OF_ANSWERS
from galaxies.heads.head import Head
from galaxies.heads.report import Epoch, Fit, tabulate_curve, tabulate_settings
from galaxies.heads.train_params import Setting
from galaxies.heads.vote_meaning import VotePredictions
from tests.evaluation.test_told import SAID, TREE, VOTES
from tests.pipelines import REPOSITORY
from tests.toys import open_rows, toy_rows, toy_splits

TEMPLATES = REPOSITORY / ".dvc" / "plots"
NAMES = ("Disturbed", "Round Smooth", "Edge-on without Bulge")
TARGETS, PREDICTED = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 1])
PROBABILITIES = np.where(np.arange(3) == PREDICTED[:, None], 0.8, 0.1)
CATALOG = open_rows(toy_rows([bytes(32)] * 5, ids="abcde"))
SPLITS = toy_splits(TARGETS, ["test"] * 5, names=NAMES)
INTERVALS = find_intervals(TARGETS, PROBABILITIES, np.arange(5), generator=np.random.default_rng(0))
MANY_TARGETS, MANY_PROBABILITIES = np.tile(TARGETS, 8), np.tile(PROBABILITIES, (8, 1))
SUSPECTS = [Suspect(row, int(PREDICTED[row]), 0.9, 0.05, 7, 10) for row in (2, 3)]
EPOCHS = pd.DataFrame(
    [(0.1, 2 / number, 0.3, 0.4 + (number - 3) ** 2 / 10, 0.5) for number in range(1, 6)], range(1, 6), Epoch._fields
)
SAID_MANY = VotePredictions(TREE, np.tile(SAID.concentrations, (10, 1)), 10)
TOLD = tell_votes(VOTES.take(np.tile(np.arange(3), 10)), SAID_MANY)
DATA = {
    "training": tabulate_curve(Fit(Head(1, 2), 3, EPOCHS)),
    "suspected_labels": tabulate_suspects(SUSPECTS, CATALOG, SPLITS),
    "confusion": tabulate_confusion(TARGETS, PREDICTED, NAMES),
    "class_scores": tabulate_classes(TARGETS, PROBABILITIES, PROBABILITIES > 0.5, INTERVALS, NAMES),
    "confidence": tabulate_predictions(CATALOG, SPLITS, PROBABILITIES[:, :2]),
    "reliability": pd.concat(
        [tabulate_reliability(TARGETS, PROBABILITIES).assign(temperature=moment) for moment in ("before", "after")]
    ),
    "threshold_curves": tabulate_threshold_curves(TARGETS, PROBABILITIES, NAMES),
    "abstention": tabulate_abstention(TARGETS, PROBABILITIES),
    "sweep": tabulate_settings(
        [Setting(rate, decay, smoothing) for rate in (0.1, 0.01, 0.001) for decay in (0.0, 1.0) for smoothing in (0.0, 0.1)],
        val_loss=np.array([[np.inf, *range(11, 0, -1)]]),
        val_accuracy=np.full((1, 12), 0.5),
        best_epoch=np.ones((1, 12), np.int64),
    ),
    "strata": tabulate_strata(MANY_PROBABILITIES.argmax(axis=1) == MANY_TARGETS, {"redshift": np.arange(40) / 100}),
    "target_scores": tabulate_scores(TOLD, OF_ANSWERS, [Intervals(each, each - 0.1, each + 0.1) for each in np.eye(4)]),
    "target_density": tabulate_density(TOLD),
    "target_residuals": tabulate_residuals(TOLD, {"redshift": np.arange(30) / 100}),
    "target_reliability": tabulate_told_reliability(TOLD, ("smooth", "smooth", "bar", "bar")),
}
AXES = {
    "training": ("epoch", "loss"),
    "suspected_labels": ("label", "present_label"),
    "confusion": ("predicted", "label"),
    "class_scores": ("class_name", "f1"),
    "confidence": ("predicted", "label"),
    "reliability": ("confidence", "accuracy"),
    "threshold_curves": ("x", "y"),
    "abstention": ("answered", "accuracy"),
    "strata": ("low", "accuracy"),
    "sweep": ("learning_rate", "val_loss"),
    "target_scores": ("value", "name"),
    "target_density": ("true", "predicted"),
    "target_residuals": ("middle", "bias"),
    "target_reliability": ("predicted", "observed"),
}


def fill(template: str, revisions: tuple[str, ...] = ("workspace",)) -> dict[str, Any]:
    """Return the specification DVC makes: it reads every cell of a CSV as text, and adds the revision."""
    records = DATA[template].astype(str).to_dict("records")
    points = [{**record, "rev": revision, "filename": f"{template}.csv"} for revision in revisions for record in records]
    x, y = AXES[template]
    renderer = VegaRenderer(points, template, template=template, template_dir=str(TEMPLATES), x=x, y=y, title="A title")
    filled: dict[str, Any] = json.loads(json.dumps(renderer.get_filled_template()))
    return filled


def drawn_text(specification: dict[str, Any]) -> str:
    return vl_convert.vegalite_to_svg(specification)


@pytest.mark.parametrize("template", DATA)
def test_a_template_has_no_anchor_left(template: str) -> None:
    assert "<DVC_" not in json.dumps(fill(template))


@pytest.mark.parametrize("template", DATA)
@pytest.mark.parametrize("revisions", [("workspace",), ("workspace", "HEAD")], ids=["show", "diff"])
def test_a_template_draws_a_picture_legible_in_size(template: str, revisions: tuple[str, ...], tmp_path: Path) -> None:
    picture = vl_convert.vegalite_to_png(fill(template, revisions))
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 5000
    svg = drawn_text(fill(template, revisions))
    assert "A title" in svg
    assert all(revision in svg for revision in revisions)


@pytest.mark.parametrize("template", ["confusion", "class_scores"])
def test_classes_stand_in_their_own_order_and_not_by_the_alphabet(template: str) -> None:
    svg = drawn_text(fill(template))
    places = [svg.index(f">{name}<") for name in reversed(NAMES)]
    assert len(places) == 3
    heights = [_height_of(svg, name) for name in NAMES]
    assert heights == sorted(heights)


def _height_of(svg: str, name: str) -> float:
    """Return the y of the text ``name`` on the vertical axis: the last translate before it."""
    before = [svg[:index].rsplit("translate(", 1)[1] for index in _places(svg, f">{name}<")]
    upright = [text for text in before if "rotate" not in text.split(">")[0]]
    return float(upright[0].split(")")[0].split(",")[1])


def _places(text: str, part: str) -> list[int]:
    return [index for index in range(len(text)) if text.startswith(part, index)]


def test_the_confusion_matrix_has_shares_and_counts_of_pairs_that_occur() -> None:
    svg = drawn_text(fill("confusion"))
    assert ">67%<" in svg
    assert ">33%<" in svg
    assert len(_places(svg, ">0%<")) == 1  # That of the legend: empty cells are empty.
    assert svg.count('aria-roledescription="rect mark"') == 9


def test_suspects_are_counted_by_label_and_suggestion() -> None:
    svg = drawn_text(fill("suspected_labels"))
    cells = [part.split('"')[0] for part in svg.split('aria-label="suggested: ')[1:] if "rect" in part.split(">")[0]]
    assert sorted(cell.split("; galaxies: ")[0] for cell in cells) == [
        "Round Smooth; label: Disturbed",
        "Round Smooth; label: Round Smooth",
    ]


def test_the_curve_marks_the_epoch_that_was_kept_once_in_each_panel() -> None:
    svg = drawn_text(fill("training"))
    assert svg.count('aria-roledescription="point"') == 2
    assert svg.count('aria-roledescription="line mark"') == 4
    assert "epoch: 3" in svg.split('aria-roledescription="point"')[0].rsplit("aria-label", 1)[1]


def test_the_curves_of_two_revisions_share_their_axes() -> None:
    svg = drawn_text(fill("training", ("workspace", "HEAD")))
    assert svg.count('aria-roledescription="line mark"') == 8
    assert [svg.count(f">{title}<") for title in ("loss (nats)", "accuracy")] == [1, 1]


def test_the_bars_say_score_and_number_of_galaxies() -> None:
    svg = drawn_text(fill("class_scores"))
    assert "0.80 (n = 3)" in svg
    assert "0.00 (n = 0)" in svg
    two = drawn_text(fill("class_scores", ("workspace", "HEAD")))
    assert two.count('aria-roledescription="bar"') == 6


def test_the_confidences_are_divided_into_right_and_wrong() -> None:
    svg = drawn_text(fill("confidence"))
    bars = [part.split('"')[0] for part in svg.split('aria-label="') if "verdict" in part.split('"')[0]]
    assert sorted((bar.split("verdict: ")[1].split(";")[0], bar.split("galaxies: ")[1].split(";")[0]) for bar in bars) == [
        ("right", "4"),
        ("wrong", "1"),
    ]


def test_every_class_with_galaxies_has_a_curve_of_its_own_in_each_panel() -> None:
    """One line through the points of all classes would zigzag."""
    svg = drawn_text(fill("threshold_curves"))
    assert svg.count('aria-roledescription="line mark"') == 4
    assert drawn_text(fill("threshold_curves", ("workspace", "HEAD"))).count('aria-roledescription="line mark"') == 8


def test_every_panel_has_the_curves_that_its_axes_name() -> None:
    """Two revisions below each other: the ROC curves on the left, precision against recall on the right."""
    svg = drawn_text(fill("threshold_curves", ("workspace", "HEAD")))
    starts = re.findall(r'aria-label="(false positive rate|recall): 0%; [a-z ]+: (\d+%); class_name: Disturbed', svg)
    assert starts == [("false positive rate", "0%")] * 2 + [("recall", "100%")] * 2


def test_reliability_shows_both_temperatures_and_the_diagonal() -> None:
    svg = drawn_text(fill("reliability"))
    assert svg.count('aria-roledescription="line mark"') == 3
    assert svg.count('aria-roledescription="rule mark"') == 2


def test_the_strata_have_their_quantitys_name_and_a_point_each() -> None:
    svg = drawn_text(fill("strata"))
    assert ">redshift<" in svg
    assert svg.count('aria-roledescription="point"') == 4


def test_the_strata_of_two_revisions_do_not_hide_each_other() -> None:
    svg = drawn_text(fill("strata", ("workspace", "HEAD")))
    middles = re.findall(r'aria-label="middle: ([0-9.]+);[^"]*" role="graphics-symbol" aria-roledescription="point"', svg)
    assert len(set(middles)) == len(middles) == 8


def test_the_losses_of_the_sweep_can_be_told_apart_on_the_axis() -> None:
    """With three digits 0.3069 and 0.3085 shared labels."""
    setting = Setting(0.001, 1.0, 0.0)
    measured = {"val_accuracy": np.full((1, 1), 0.5), "best_epoch": np.ones((1, 1), np.int64)}
    records = [
        {**tabulate_settings([setting], val_loss=np.array([[loss]]), **measured).astype(str).iloc[0].to_dict(), "rev": revision}
        for loss, revision in ((0.3069, "workspace"), (0.3085, "HEAD"))
    ]
    points = [{**record, "filename": "sweep.csv"} for record in records]
    renderer = VegaRenderer(points, "sweep", template="sweep", template_dir=str(TEMPLATES), x="learning_rate", y="val_loss")
    svg = drawn_text(json.loads(json.dumps(renderer.get_filled_template())))
    labels = re.findall(r">(0\.30\d*)<", svg)
    assert len(labels) >= 3
    assert len(set(labels)) == len(labels)


def test_the_sweep_joins_the_learning_rates_and_rings_the_chosen_setting() -> None:
    svg = drawn_text(fill("sweep"))
    assert svg.count('aria-roledescription="line mark"') == 4
    # One setting broke down and has no point; the chosen one has a ring around its own.
    assert svg.count('aria-roledescription="point"') == 12
    assert "chosen: learning rate 0.001, weight decay 1" in svg
    assert "label smoothing 0.1" in svg
