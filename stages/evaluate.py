"""Say how good the head is on the test galaxies: metrics/test.json, tables, and a contact sheet."""

import json
from pathlib import Path

import numpy as np
import torch

from galaxies.catalog import read_catalog, read_splits
from galaxies.errors import InputError
from galaxies.evaluation import measure, tabulate_classes, tabulate_confusion, tabulate_predictions
from galaxies.files import write_text
from galaxies.galaxy_file import GalaxyFile
from galaxies.head import load_head
from galaxies.plots import Tile, choose_galaxies, draw_contact_sheet
from galaxies.store import Store
from stages import run_stage

_NUM_TILES, _COLUMNS = 30, 6


def main() -> None:
    """Predict the test rows once and write all that follows from it."""
    catalog = read_catalog(Path("data/catalog.csv"))
    splits = read_splits(Path("data/splits.csv"), catalog)
    trained = load_head(Path("models/head.pt"))
    names = trained.class_names
    if names != splits.classes:
        raise InputError(
            f"models/head.pt knows the classes {', '.join(names)}, data/splits.csv has {', '.join(splits.classes)}; "
            "`dvc repro` trains a head for these."
        )
    store = Store(Path("features") / f"{trained.recipe['layer']}.zarr")
    store.require(trained.recipe)

    rows = splits.rows("test")
    targets = splits.targets[rows]
    probabilities = trained.probabilities(torch.from_numpy(store.read_features(rows))).numpy()
    predicted = probabilities.argmax(axis=1)

    train_counts = np.bincount(splits.targets[splits.rows("train")], minlength=len(names))
    metrics = measure(targets, probabilities, train_counts=train_counts)
    write_text(Path("metrics/test.json"), json.dumps(metrics, indent=2) + "\n")
    ids = [catalog.ids[row] for row in rows]
    tables = {
        "predictions": tabulate_predictions(rows, catalog.galaxy[rows], ids, targets, probabilities, names),
        "confusion": tabulate_confusion(targets, predicted, names),
        "classes": tabulate_classes(targets, predicted, names),
    }
    for name, table in tables.items():
        write_text(Path(f"metrics/{name}.csv"), table.to_csv(index=False, lineterminator="\n"))

    shown = choose_galaxies(targets, num_galaxies=_NUM_TILES, generator=np.random.default_rng(0))
    with GalaxyFile(Path("data/galaxies.h5")) as galaxies:
        tiles = [
            Tile(
                galaxies.read_images(catalog.galaxy[rows[[position]]])[0],
                names[targets[position]],
                names[predicted[position]],
                float(probabilities[position].max()),
            )
            for position in shown
        ]
    title = f"Test galaxies drawn by chance; accuracy on all {len(rows):,}: {metrics['accuracy']:.1%}"
    draw_contact_sheet(Path("metrics/galaxies.png"), tiles, columns=_COLUMNS, title=title)


if __name__ == "__main__":
    run_stage(main)
