"""Say how good the head is on the test galaxies: metrics/test.json, tables with intervals, and a figure."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.measurements import read_measurements
from galaxies.data.splits import Splits
from galaxies.errors import InputError
from galaxies.evaluation.class_tables import tabulate_classes, tabulate_confusion
from galaxies.evaluation.contact_sheet import Tile
from galaxies.evaluation.intervals import find_intervals
from galaxies.evaluation.plots import choose_galaxies, draw_figure, make_tile
from galaxies.evaluation.predictions import tabulate_predictions
from galaxies.evaluation.reliability import change_temperature, tabulate_reliability
from galaxies.evaluation.scores import list_intervals, measure, measure_calibration, measure_seeds, measure_views
from galaxies.evaluation.strata import tabulate_strata
from galaxies.evaluation.threshold_curves import tabulate_abstention, tabulate_threshold_curves
from galaxies.features.survey import open_survey
from galaxies.files import write_csv, write_json
from galaxies.heads.head import TrainedHead, load_head
from galaxies.heads.inference import predict_rows
from galaxies.paths import GALAXIES, HEAD, MEASUREMENTS, METRICS
from stages import run_stage

_NUM_TILES, _COLUMNS = 18, 6


def main() -> None:
    """Predict the test rows once and write all that follows from it."""
    trained = load_head(HEAD)
    survey = open_survey(trained.identity.layer, trained.identity)
    splits, store = survey.splits, survey.store
    _require_classes(trained, splits)

    rows = splits.rows("test")
    indices = survey.catalog.take(rows).galaxy
    targets, group = splits.targets[rows], splits.group[rows]
    probabilities = predict_rows(trained, store, rows)

    train_counts = np.bincount(splits.targets[splits.rows("train")], minlength=len(splits.classes))
    metrics = measure(targets, probabilities, train_counts=train_counts)
    calibration = trained.calibration
    sets = calibration.predict_sets(probabilities)
    intervals = find_intervals(targets, probabilities, group, generator=np.random.default_rng(0))
    write_json(METRICS / "test.json", metrics)
    write_json(METRICS / "intervals.json", list_intervals(intervals))
    thresholds = {"temperature": calibration.temperature, "confidence_threshold": calibration.confidence_threshold}
    write_json(METRICS / "calibration.json", measure_calibration(targets, probabilities, sets, **thresholds))
    others = [predict_rows(other, store, rows) for other in trained.others]
    write_json(METRICS / "seeds.json", measure_seeds(targets, [probabilities, *others]))
    turned = [predict_rows(trained, store, rows, view=view) for view in range(1, store.num_views)]
    write_json(METRICS / "views.json", measure_views(targets, [probabilities, *turned], group))

    with GalaxyFile(GALAXIES) as galaxies:
        tables = {
            "classes": tabulate_classes(targets, probabilities, sets, intervals, splits.classes),
            "confusion": tabulate_confusion(targets, probabilities.argmax(axis=1), splits.classes),
            "predictions": tabulate_predictions(survey.catalog, splits, probabilities),
            "reliability": _tabulate_reliability(targets, probabilities, calibration.temperature),
            "threshold_curves": tabulate_threshold_curves(targets, probabilities, splits.classes),
            "abstention": tabulate_abstention(targets, probabilities),
            "strata": _tabulate_strata(galaxies, indices, rows, probabilities.argmax(axis=1) == targets),
        }
        tiles = _choose_tiles(galaxies, indices, targets, probabilities, splits.classes)
    for name, table in tables.items():
        write_csv(METRICS / f"{name}.csv", table)
    low, high = (float(end[0]) for end in (intervals.low, intervals.high))
    accuracy = f"{metrics['accuracy']:.1%} (95 %: {low:.1%} to {high:.1%})"
    title = f"Test galaxies drawn by chance; accuracy on all {len(rows):,}: {accuracy}"
    draw_figure(METRICS / "galaxies.png", tiles, tables["confusion"], columns=_COLUMNS, title=title)


def _require_classes(trained: TrainedHead, splits: Splits) -> None:
    if trained.class_names != splits.classes:
        raise InputError(
            f"models/head.pt knows the classes {', '.join(trained.class_names)}, data/splits.parquet has "
            f"{', '.join(splits.classes)}; `dvc repro` trains a head for these."
        )


def _tabulate_reliability(targets: NDArray[np.int64], probabilities: NDArray[np.float64], temperature: float) -> pd.DataFrame:
    before = tabulate_reliability(targets, change_temperature(probabilities, 1 / temperature))
    after = tabulate_reliability(targets, probabilities)
    return pd.concat([before.assign(temperature="before"), after.assign(temperature="after")]).round(4)


def _tabulate_strata(
    galaxies: GalaxyFile, indices: NDArray[np.int64], rows: NDArray[np.int64], is_right: NDArray[np.bool_]
) -> pd.DataFrame:
    """Divide by what the catalogue and the images say; ``indices`` are those of the test galaxies in galaxies.h5."""
    measured = read_measurements(MEASUREMENTS, rows)
    quantities = {
        "redshift": galaxies.redshift[indices],
        "pixel scale (arcsec/px)": galaxies.pxscale[indices],
        "half-light radius (share of the image)": measured.radius,
        "surface brightness (grey levels)": measured.brightness,
    }
    return tabulate_strata(is_right, quantities)


def _choose_tiles(
    galaxies: GalaxyFile,
    indices: NDArray[np.int64],
    targets: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    names: tuple[str, ...],
) -> list[Tile]:
    shown = choose_galaxies(targets, num_galaxies=_NUM_TILES, generator=np.random.default_rng(0))
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    return [
        make_tile(
            galaxies.read_images(indices[[place]])[0], names[targets[place]], names[predicted[place]], float(confidence[place])
        )
        for place in shown
    ]


if __name__ == "__main__":
    run_stage(main)
