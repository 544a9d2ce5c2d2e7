"""Train heads on the cached activations: models/head.pt, its curve, how training went, and how each setting did."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from galaxies.backbones.spec import ExtractParams
from galaxies.data.catalog import Catalog
from galaxies.data.field_of_view import read_field
from galaxies.data.splits import read_splits
from galaxies.features.identity import Identity
from galaxies.features.store import Store
from galaxies.features.unfinished import discard_unfinished
from galaxies.files import file_sha256, require_digest, write_text
from galaxies.heads.batches import open_batches
from galaxies.heads.calibration import divide_val
from galaxies.heads.checkpoint import open_checkpoint
from galaxies.heads.curve import report_fit, tabulate_curve
from galaxies.heads.head import TrainedHead, load_head, save_head
from galaxies.heads.inference import calibrate, predict_rows, read_features
from galaxies.heads.novelty import fit_novelty
from galaxies.heads.train_params import TrainParams, require_trainable
from galaxies.heads.training import fit_heads, require_start
from galaxies.runtime import RuntimeParams
from stages import main_repository, read_params, run_stage, user_path


def main() -> None:
    """Fit on train rows, choose on one half of val, calibrate on the other; the test rows are not used."""
    params, runtime, extract = (
        read_params("train", TrainParams),
        read_params("runtime", RuntimeParams),
        read_params("extract", ExtractParams),
    )
    require_trainable(params, extract)
    catalog = Catalog(Path("data/catalog.parquet"))
    splits = read_splits(Path("data/splits.parquet"), catalog)
    store = Store(Path("features") / f"{params.layer}.zarr")
    store.require(Identity.expected(extract, params.layer, catalog.digest))
    # The store is recorded and sound, so nobody needs to publish it again.
    discard_unfinished(main_repository(), store.identity)

    device, targets = runtime.pick_device(), splits.targets
    train, val = splits.rows("train"), splits.rows("val")
    # One fixed division: heads of other seeds are chosen and calibrated on the same galaxies.
    halves = divide_val(targets[val], splits.group[val], generator=np.random.default_rng(0))
    choosing, calibrating = (val[half] for half in halves)
    start, start_digest = _load_start(params)
    if start:
        require_start(start, params, extract.backbone, splits.classes)
    ending = None
    if params.ending == "keep":
        # The code of the backbones takes seconds to import, and most trainings do without.
        from galaxies.backbones.ending import make_ending

        ending = make_ending(extract.spec, params.layer, folder=main_repository()).to(device)

    batches = [
        open_batches(
            store,
            rows,
            targets[rows],
            batch_size=params.batch_size,
            augment=params.augment == "d4" and rows is train,
            device=device,
            num_workers=max(1, runtime.count_workers()),
        )
        for rows in (train, choosing)
    ]
    identity = {
        "params": asdict(params),
        "store": store.key,
        "start": start_digest,
        "rows": [train.tolist(), choosing.tolist()],
        "targets": targets[np.concatenate([train, choosing])].tolist(),
    }
    conditions = {"device": device.type, "num_threads": torch.get_num_threads(), "torch": torch.__version__}
    with open_checkpoint(main_repository(), identity, conditions) as checkpoint:
        fits = fit_heads(*batches, class_names=splits.classes, params=params, ending=ending, start=start, checkpoint=checkpoint)

    field = read_field(Path("data/field_of_view.json"))
    counts = tuple(np.bincount(targets[train], minlength=len(splits.classes)).tolist())
    raw = TrainedHead(fits.seeds[0].head, splits.classes, 1.0, (), store.identity, counts, field, ending=ending)
    novelty = fit_novelty(*(read_features(raw, store, rows, device=device) for rows in (train, calibrating)))
    members = [
        calibrate(replace(raw, head=fit.head, novelty=novelty), store, calibrating, targets[calibrating], device=device)
        for fit in fits.seeds
    ]
    trained = replace(members[0], others=tuple(members[1:]))
    save_head(Path("models/head.pt"), trained)
    curve = tabulate_curve(fits.seeds[0].epochs)
    for name, table in (("training", curve), ("sweep", fits.settings)):
        write_text(Path(f"metrics/{name}.csv"), table.to_csv(index=False, lineterminator="\n"))
    report = report_fit(fits.seeds[0], trained, predict_rows(trained, store, choosing, device=device), targets[choosing])
    write_text(Path("metrics/train.json"), json.dumps(report, indent=2) + "\n")


def _load_start(params: TrainParams) -> tuple[TrainedHead | None, str | None]:
    """Return the head to start from and its digest."""
    if params.start_from is None:
        return None, None
    path = user_path(params.start_from)
    start, digest = load_head(path), file_sha256(path)
    require_digest(digest, params.start_from_sha256, key="train.start_from_sha256", what=str(path))
    return start, digest


if __name__ == "__main__":
    run_stage(main)
