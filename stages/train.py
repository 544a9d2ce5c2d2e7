"""Train a head on the cached activations: models/head.pt, its curve, and how training went."""

import json
from pathlib import Path

import numpy as np
import torch

from galaxies.calibration import divide_val, fit_temperature
from galaxies.catalog import read_catalog, read_splits
from galaxies.conformal import fit_set_thresholds
from galaxies.curve import report_fit, tabulate_curve
from galaxies.files import write_text
from galaxies.framing import FieldOfView
from galaxies.galaxy_file import GalaxyFile
from galaxies.head import TrainedHead, save_head
from galaxies.identity import ExtractParams, expected_identity
from galaxies.novelty import fit_novelty
from galaxies.runtime import RuntimeParams
from galaxies.scratch import discard_scratch
from galaxies.store import Store
from galaxies.training import TrainParams, fit_head
from stages import main_repository, read_params, run_stage


def main() -> None:
    """Fit on train rows, choose the epoch on one half of val, calibrate on the other; the test rows are not used."""
    params, runtime = read_params("train", TrainParams), read_params("runtime", RuntimeParams)
    catalog = read_catalog(Path("data/catalog.csv"))
    splits = read_splits(Path("data/splits.csv"), catalog)
    store = Store(Path("features") / f"{params.layer}.zarr")
    store.require(expected_identity(read_params("extract", ExtractParams), params.layer, catalog))
    # The store is recorded and sound, so nobody needs to publish it again.
    discard_scratch(main_repository(), store.identity)

    # From here on there are no test rows: positions count train and val rows only.
    used = np.flatnonzero(splits.split != "test")
    features, targets, split = store.read_features(used), splits.targets[used], splits.split[used]
    val = np.flatnonzero(split == "val")
    # One fixed division: heads of other seeds are chosen and calibrated on the same galaxies.
    halves = divide_val(targets[val], splits.group[used][val], generator=np.random.default_rng(0))
    choosing, calibrating = (val[half] for half in halves)
    fit = fit_head(
        features,
        targets,
        train_rows=np.flatnonzero(split == "train"),
        val_rows=choosing,
        class_names=splits.classes,
        params=params,
        device=runtime.pick_device(),
    )
    with torch.inference_mode():
        logits = fit.head(torch.from_numpy(features[calibrating]))
    temperature = fit_temperature(logits, torch.from_numpy(targets[calibrating]))
    probabilities = torch.softmax(logits.double() / temperature, dim=1).numpy()
    thresholds = tuple(fit_set_thresholds(targets[calibrating], probabilities).tolist())

    train = np.flatnonzero(split == "train")
    with GalaxyFile(Path("data/galaxies.h5")) as galaxies:
        field = FieldOfView.of_images(galaxies.image_size, galaxies.pxscale[catalog.galaxy[used[train]]])
    trained = TrainedHead(
        fit.head,
        splits.classes,
        temperature,
        thresholds,
        store.identity,
        train_counts=tuple(np.bincount(targets[train], minlength=len(splits.classes)).tolist()),
        field=field,
        novelty=fit_novelty(torch.from_numpy(features[train]), torch.from_numpy(features[calibrating])),
    )
    save_head(Path("models/head.pt"), trained)
    write_text(Path("metrics/training.csv"), tabulate_curve(fit.epochs).to_csv(index=False, lineterminator="\n"))
    report = report_fit(fit, trained, features[choosing], targets[choosing])
    write_text(Path("metrics/train.json"), json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    run_stage(main)
