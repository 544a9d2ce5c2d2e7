"""Say how good the head is on the test galaxies: metrics/test.json, tables, and a contact sheet."""

import json
from pathlib import Path

import numpy as np
import torch

from galaxies.catalog import read_catalog, read_splits
from galaxies.evaluation import measure, measure_classes, tabulate_predictions
from galaxies.files import write_text
from galaxies.galaxy_file import GalaxyFile
from galaxies.head import load_head
from galaxies.plots import Tile, choose_galaxies, draw_contact_sheet
from galaxies.store import Store
from stages import run_stage

_TILES_PER_CLASS = 3
_COLUMNS = 6


def main() -> None:
    """Predict the test rows once and write all that follows from it."""
    catalog = read_catalog(Path("data/catalog.csv"))
    splits = read_splits(Path("data/splits.csv"), catalog)
    trained = load_head(Path("models/head.pt"))
    store = Store(Path("features") / f"{trained.recipe['layer']}.zarr")
    store.require(trained.recipe)

    rows = splits.rows("test")
    targets, names = splits.targets[rows], trained.class_names
    probabilities = trained.probabilities(torch.from_numpy(store.read_features()[rows])).numpy()
    predicted = probabilities.argmax(axis=1)
    majority = int(np.bincount(splits.targets[splits.rows("train")]).argmax())

    metrics = measure(targets, probabilities, majority)
    write_text(Path("metrics/test.json"), json.dumps(metrics, indent=2) + "\n")
    ids = [catalog.ids[row] for row in rows]
    tables = {
        "predictions": tabulate_predictions(rows, catalog.galaxy[rows], ids, targets, probabilities, names),
        "classes": measure_classes(targets, predicted, names),
    }
    for name, table in tables.items():
        write_text(Path(f"metrics/{name}.csv"), table.to_csv(index=False, lineterminator="\n"))

    shown = choose_galaxies(targets, len(names), per_class=_TILES_PER_CLASS, generator=np.random.default_rng(0))
    with GalaxyFile(Path("data/galaxies.h5")) as galaxies:
        images = np.concatenate([galaxies.read_images(catalog.galaxy[rows[[position]]]) for position in shown])
    tiles = [
        Tile(image, names[targets[position]], names[predicted[position]], float(probabilities[position].max()))
        for image, position in zip(images, shown, strict=True)
    ]
    title = f"Test galaxies drawn by chance, accuracy on all {len(rows):,}: {metrics['accuracy']:.1%}"
    draw_contact_sheet(Path("metrics/galaxies.png"), tiles, columns=_COLUMNS, title=title)


if __name__ == "__main__":
    run_stage(main)
