"""Say how good the head is on the test galaxies: metrics/test.json, tables with intervals, and a figure."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.measurements import read_measurements
from galaxies.data.splits import Splits
from galaxies.data.targets import Targets
from galaxies.errors import InputError
from galaxies.evaluation.class_tables import empty_class_tables, tabulate_classes, tabulate_confusion
from galaxies.evaluation.contact_sheet import Tile, shorten
from galaxies.evaluation.intervals import Intervals, find_intervals
from galaxies.evaluation.plots import choose_galaxies, draw_figure, draw_told_figure, make_tile, make_told_tile
from galaxies.evaluation.predictions import list_galaxies, tabulate_predictions
from galaxies.evaluation.reliability import change_temperature, tabulate_reliability
from galaxies.evaluation.scores import list_intervals, measure, measure_calibration, measure_seeds, measure_views
from galaxies.evaluation.strata import tabulate_strata
from galaxies.evaluation.threshold_curves import tabulate_abstention, tabulate_threshold_curves
from galaxies.evaluation.told import Told
from galaxies.evaluation.told_report import plain_metrics, report_told, summarise_seeds, summarise_views
from galaxies.evaluation.told_tables import empty_tables, tabulate_density, tabulate_residuals, tabulate_told
from galaxies.features.survey import Survey, open_survey
from galaxies.files import write_csv, write_json
from galaxies.heads.head import TrainedHead, load_head
from galaxies.heads.inference import predict_rows, read_outputs
from galaxies.heads.known_targets import read_targets
from galaxies.heads.train_params import TrainParams
from galaxies.paths import GALAXIES, HEAD, MEASUREMENTS, METRICS
from stages import main_repository, read_params, run_stage

_NUM_TILES, _COLUMNS = 18, 6


@dataclass(frozen=True)
class Tested:
    """The test galaxies, and what the head says of them: B galaxies, K classes."""

    survey: Survey
    trained: TrainedHead
    rows: NDArray[np.int64]  # (B,) of the catalog
    probabilities: NDArray[np.float64]  # (B, K)

    @cached_property
    def targets(self) -> NDArray[np.int64]:
        """(B,) the true classes."""
        return self.survey.splits.targets[self.rows]

    @cached_property
    def group(self) -> NDArray[np.int64]:
        """(B,) the sky groups."""
        return self.survey.splits.group[self.rows]

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """(B,) the most probable classes."""
        predicted: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return predicted

    @cached_property
    def sets(self) -> NDArray[np.bool_]:
        """(B, K) the classes in each prediction set."""
        return self.trained.calibration.predict_sets(self.probabilities)

    @cached_property
    def intervals(self) -> Intervals:
        """Of the metrics."""
        return find_intervals(self.targets, self.probabilities, self.group, generator=np.random.default_rng(0))


def main() -> None:
    """Predict the test rows once and write all that follows from it; what does not apply has its header only."""
    trained, params = load_head(HEAD, folder=main_repository()), read_params("train", TrainParams)
    survey = open_survey(trained.identity.layer, trained.identity)
    targets = read_targets(params, survey.catalog, folder=survey.folder, user_folder=main_repository())
    if targets is None:
        _evaluate_classes(survey, trained)
    else:
        _evaluate_targets(survey, trained, targets)


def _evaluate_classes(survey: Survey, trained: TrainedHead) -> None:
    _require_classes(trained, survey.splits)
    rows = survey.splits.rows("test")
    rows = rows[survey.splits.targets[rows] >= 0]
    tested = Tested(survey, trained, rows, predict_rows(trained, survey.store, rows))
    metrics = _write_metrics(tested)
    with GalaxyFile(GALAXIES, needs_images=False) as galaxies:
        tables = _tabulate(tested, galaxies)
        tiles = _choose_tiles(tested, galaxies) if galaxies.has_images else []
    for name, table in {**tables, **empty_tables()}.items():
        write_csv(METRICS / f"{name}.csv", table)
    low, high = (float(end[0]) for end in (tested.intervals.low, tested.intervals.high))
    accuracy = f"{metrics['accuracy']:.1%} (95 %: {low:.1%} to {high:.1%})"
    title = f"{'Test galaxies drawn by chance; accuracy' if tiles else 'Accuracy'} on all {len(rows):,}: {accuracy}"
    draw_figure(METRICS / "galaxies.png", tiles, tables["confusion"], columns=_COLUMNS, title=title)


def _evaluate_targets(survey: Survey, trained: TrainedHead, targets: Targets) -> None:
    rows = survey.splits.rows("test")
    rows = rows[targets.known[rows]]
    known, meaning = targets.take(rows), trained.meaning
    outputs = read_outputs(trained, survey.store, rows)
    report = report_told(meaning, outputs, known, survey.splits.group[rows])
    write_json(METRICS / "test.json", report.metrics)
    write_json(METRICS / "intervals.json", report.intervals)
    write_json(METRICS / "calibration.json", report.calibration)
    others = [plain_metrics(member.meaning, read_outputs(member, survey.store, rows), known) for member in trained.others]
    first = plain_metrics(meaning, outputs, known)
    write_json(METRICS / "seeds.json", summarise_seeds([first, *others]))
    views = [outputs, *(read_outputs(trained, survey.store, rows, view=view) for view in range(1, survey.store.num_views))]
    mean = plain_metrics(meaning, torch.stack(views).mean(0), known) if len(views) > 1 else None
    write_json(METRICS / "views.json", summarise_views(first, mean, len(views)))
    with GalaxyFile(GALAXIES, needs_images=False) as galaxies:
        quantities = _measure_galaxies(survey, rows, galaxies)
        tiles = _choose_told_tiles(survey, rows, report.told, galaxies) if galaxies.has_images else []
        listed = list_galaxies(survey.catalog, survey.splits, rows, has_images=galaxies.has_images)
    tables = {
        "target_scores": report.scores,
        "target_density": tabulate_density(report.told),
        "target_residuals": tabulate_residuals(report.told, quantities),
        "target_reliability": report.reliability,
        "predictions": tabulate_told(report.told, listed),
    }
    for name, table in {**empty_class_tables(), **tables}.items():
        write_csv(METRICS / f"{name}.csv", table)
    title = f"Test galaxies drawn by chance, of {len(rows):,}: {', '.join(shorten(name, 40) for name in meaning.names[:2])}"
    draw_told_figure(METRICS / "galaxies.png", tiles, columns=_COLUMNS, title=title)


def _require_classes(trained: TrainedHead, splits: Splits) -> None:
    if trained.class_names != splits.classes:
        raise InputError(
            f"models/head.pt knows the classes {', '.join(trained.class_names)}, data/splits.parquet has "
            f"{', '.join(splits.classes)}; `dvc repro` trains a head for these."
        )


def _write_metrics(tested: Tested) -> dict[str, float]:
    """Write what is numbers and no table, and return those of metrics/test.json."""
    survey, trained, targets, first = tested.survey, tested.trained, tested.targets, tested.probabilities
    metrics = measure(targets, first, train_counts=np.array(trained.train_counts))
    write_json(METRICS / "test.json", metrics)
    write_json(METRICS / "intervals.json", list_intervals(tested.intervals))
    calibration = measure_calibration(
        targets,
        first,
        tested.sets,
        temperature=trained.calibration.temperature,
        confidence_threshold=trained.calibration.confidence_threshold,
    )
    write_json(METRICS / "calibration.json", calibration)
    further = [predict_rows(member, survey.store, tested.rows) for member in trained.others]
    write_json(METRICS / "seeds.json", measure_seeds(targets, [first, *further]))
    turned = [predict_rows(trained, survey.store, tested.rows, view=view) for view in range(1, survey.store.num_views)]
    write_json(METRICS / "views.json", measure_views(targets, [first, *turned], tested.group))
    return metrics


def _tabulate(tested: Tested, galaxies: GalaxyFile) -> dict[str, pd.DataFrame]:
    """Return the tables by their names in metrics/."""
    survey, targets, probabilities = tested.survey, tested.targets, tested.probabilities
    names = survey.splits.classes
    return {
        "classes": tabulate_classes(targets, probabilities, tested.sets, tested.intervals, names),
        "confusion": tabulate_confusion(targets, tested.predicted, names),
        "predictions": tabulate_predictions(survey.catalog, survey.splits, probabilities, has_images=galaxies.has_images),
        "reliability": _tabulate_reliability(targets, probabilities, tested.trained.calibration.temperature),
        "threshold_curves": tabulate_threshold_curves(targets, probabilities, names),
        "abstention": tabulate_abstention(targets, probabilities),
        "strata": _tabulate_strata(tested, galaxies),
    }


def _tabulate_reliability(targets: NDArray[np.int64], probabilities: NDArray[np.float64], temperature: float) -> pd.DataFrame:
    before = tabulate_reliability(targets, change_temperature(probabilities, 1 / temperature))
    after = tabulate_reliability(targets, probabilities)
    return pd.concat([before.assign(temperature="before"), after.assign(temperature="after")]).round(4)


def _tabulate_strata(tested: Tested, galaxies: GalaxyFile) -> pd.DataFrame:
    """Divide by what the catalogue and the images say."""
    return tabulate_strata(tested.predicted == tested.targets, _measure_galaxies(tested.survey, tested.rows, galaxies))


def _measure_galaxies(survey: Survey, rows: NDArray[np.int64], galaxies: GalaxyFile) -> dict[str, NDArray[np.float64]]:
    """Return what the catalogue and the images say of test rows, (B,) by name."""
    test = survey.splits.rows("test")
    indices, places = survey.catalog.take(rows).galaxy, np.searchsorted(test, rows)
    measured = read_measurements(MEASUREMENTS, test)
    return {
        "redshift": galaxies.redshift[indices],
        "pixel scale (arcsec/px)": galaxies.pxscale[indices],
        "half-light radius (share of the image)": measured.radius[places],
        "surface brightness (grey levels)": measured.brightness[places],
    }


def _choose_told_tiles(survey: Survey, rows: NDArray[np.int64], told: Told, galaxies: GalaxyFile) -> list[Tile]:
    shown = choose_galaxies(np.zeros(len(rows), np.int64), num_galaxies=_NUM_TILES, generator=np.random.default_rng(0))
    indices = survey.catalog.take(rows[shown]).galaxy
    images = [galaxies.read_pictures(np.array([index]))[0] for index in indices]
    return [make_told_tile(image, told, int(place)) for image, place in zip(images, shown, strict=True)]


def _choose_tiles(tested: Tested, galaxies: GalaxyFile) -> list[Tile]:
    shown = choose_galaxies(tested.targets, num_galaxies=_NUM_TILES, generator=np.random.default_rng(0))
    names, indices = tested.survey.splits.classes, tested.survey.catalog.take(tested.rows[shown]).galaxy
    tiles = []
    for place, index in zip(shown, indices, strict=True):
        label, predicted = tested.targets[place], tested.predicted[place]
        (image,) = galaxies.read_pictures(np.array([index]))
        tiles.append(make_tile(image, names[label], names[predicted], float(tested.probabilities[place, predicted])))
    return tiles


if __name__ == "__main__":
    run_stage(main)
