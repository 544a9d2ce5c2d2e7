"""Train a head on the cached activations: models/head.pt, its curve, and how training went."""

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch

from galaxies.calibration import divide_val, fit_temperature
from galaxies.catalog import read_catalog, read_splits
from galaxies.extraction import ExtractParams, expected_identity
from galaxies.files import write_text
from galaxies.head import TrainedHead, save_head
from galaxies.runtime import RuntimeParams
from galaxies.scratch import discard_scratch
from galaxies.store import Store
from galaxies.training import Epoch, TrainParams, fit_head
from stages import main_repository, read_params, run_stage


def main() -> None:
    """Fit on train rows, choose the epoch on one half of val, calibrate on the other; the test rows are not touched."""
    params, runtime = read_params("train", TrainParams), read_params("runtime", RuntimeParams)
    catalog = read_catalog(Path("data/catalog.csv"))
    splits = read_splits(Path("data/splits.csv"), catalog)
    store = Store(Path("features") / f"{params.layer}.zarr")
    store.require(expected_identity(read_params("extract", ExtractParams), params.layer, catalog))
    # The store is recorded and sound, so nobody needs to publish it again.
    discard_scratch(main_repository(), store.identity)

    features, targets, val_rows = store.read_features(), splits.targets, splits.rows("val")
    choosing, calibrating = (val_rows[part] for part in divide_val(targets[val_rows], splits.group[val_rows]))
    fit = fit_head(
        features,
        targets,
        train_rows=splits.rows("train"),
        val_rows=choosing,
        class_names=splits.classes,
        params=params,
        device=runtime.pick_device(),
    )
    with torch.inference_mode():
        logits = fit.head(torch.from_numpy(features[calibrating]))
    temperature = fit_temperature(logits, torch.from_numpy(targets[calibrating]))

    save_head(Path("models/head.pt"), TrainedHead(fit.head, splits.classes, temperature, store.identity))
    write_text(Path("metrics/training.csv"), tabulate_curve(fit.epochs).to_csv(index=False))
    best = fit.epochs[fit.best_epoch - 1]
    report = {
        "best_epoch": best.epoch,
        "train_accuracy": round(best.train_accuracy, 4),
        "val_accuracy": round(best.val_accuracy, 4),
        "val_loss": round(best.val_loss, 4),
        "temperature": round(temperature, 4),
        "features": fit.head.num_features,
        "classes": fit.head.num_classes,
    }
    write_text(Path("metrics/train.json"), json.dumps(report, indent=2) + "\n")


def tabulate_curve(epochs: tuple[Epoch, ...]) -> pd.DataFrame:
    """Return the training curve in long form, a row an epoch and split: epoch, split, loss, accuracy, learning_rate."""
    curve = pd.DataFrame([asdict(epoch) for epoch in epochs])
    parts = [
        pd.DataFrame(
            {
                "epoch": curve["epoch"],
                "split": split,
                "loss": curve[f"{split}_loss"].round(4),
                "accuracy": curve[f"{split}_accuracy"].round(4),
                "learning_rate": curve["learning_rate"],
            }
        )
        for split in ("train", "val")
    ]
    return pd.concat(parts)


if __name__ == "__main__":
    run_stage(main)
