"""Train heads on the cached activations: models/head.pt, its curve, how training went, and how each setting did."""

import hashlib
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from galaxies.backbones.ending import Ending, make_features
from galaxies.backbones.spec import ExtractParams
from galaxies.data.field_of_view import read_field
from galaxies.data.splits import divide_val, require_labels
from galaxies.features.survey import Survey, open_survey
from galaxies.features.unfinished import discard_unfinished
from galaxies.files import file_sha256, require_digest, write_csv, write_json
from galaxies.heads.batches import Batches, BatchOptions, open_batches
from galaxies.heads.calibration import Calibration
from galaxies.heads.checkpoint import Checkpoint, open_checkpoint
from galaxies.heads.head import TrainedHead, load_head, save_head
from galaxies.heads.inference import map_rows
from galaxies.heads.novelty import fit_novelty
from galaxies.heads.objectives import ClassObjective
from galaxies.heads.report import Fit, report_fit, tabulate_curve
from galaxies.heads.train_params import TrainParams, require_start, require_trainable
from galaxies.heads.trainer import Trainer
from galaxies.paths import FIELD_OF_VIEW, HEAD, METRICS
from galaxies.runtime import RuntimeParams
from stages import main_repository, read_params, run_stage, user_path


@dataclass(frozen=True)
class Material:
    """What is trained on. The test rows are not used."""

    survey: Survey
    train: NDArray[np.int64]  # rows that fit
    choosing: NDArray[np.int64]  # one half of val: choose the best epoch and setting
    calibrating: NDArray[np.int64]  # the other half

    def open_batches(self, rows: NDArray[np.int64], options: BatchOptions) -> Batches:
        """Return the batches of some of the rows."""
        return open_batches(self.survey.store, rows, self.survey.splits.targets[rows], options)


def main() -> None:
    """Fit on train rows, choose on one half of val, calibrate on the other, and write what came of it."""
    params, extract = read_params("train", TrainParams), read_params("extract", ExtractParams)
    runtime = read_params("runtime", RuntimeParams)
    require_trainable(params, extract)
    material = _open_material(params, extract)
    start, start_digest = _load_start(params)
    if start:
        require_start(start, params, extract.backbone, material.survey.splits.classes)
    device = runtime.pick_device()
    ending = _make_ending(params, extract, device)
    options = BatchOptions(params.batch_size, params.augment == "d4", device, max(1, runtime.count_workers()))
    batches = material.open_batches(material.train, options)
    val_batches = material.open_batches(material.choosing, replace(options, augment=False))
    with _open_checkpoint(params, material, start_digest, device) as checkpoint:
        objective = ClassObjective(batches.targets, material.survey.splits.classes, params)
        trainer = Trainer(batches, val_batches, objective, params, ending=ending, start=start)
        fits = trainer.fit(checkpoint)
    trained, val_probabilities = _calibrate(fits.seeds, material, ending, device)
    save_head(HEAD, trained)
    write_csv(METRICS / "training.csv", tabulate_curve(fits.seeds[0]))
    write_csv(METRICS / "sweep.csv", fits.settings)
    val_targets = material.survey.splits.targets[material.choosing]
    report = report_fit(fits.seeds[0], trained.calibration.temperature, val_probabilities, val_targets)
    write_json(METRICS / "train.json", report)


def _open_material(params: TrainParams, extract: ExtractParams) -> Material:
    survey = open_survey(params.layer, extract)
    # The store is recorded and sound, so nobody needs to publish it again.
    discard_unfinished(main_repository(), survey.store.identity)
    splits, val = survey.splits, survey.splits.rows("val")
    require_labels(splits)
    # One fixed division: heads of other seeds are chosen and calibrated on the same galaxies.
    choosing, calibrating = divide_val(splits.targets[val], splits.group[val], generator=np.random.default_rng(0))
    return Material(survey, splits.rows("train"), val[choosing], val[calibrating])


def _load_start(params: TrainParams) -> tuple[TrainedHead | None, str | None]:
    """Return the head to start from and its digest."""
    if params.start_from is None:
        return None, None
    path = user_path(params.start_from)
    start, digest = load_head(path), file_sha256(path)
    require_digest(digest, params.start_from_sha256, key="train.start_from_sha256", what=str(path))
    return start, digest


def _make_ending(params: TrainParams, extract: ExtractParams, device: torch.device) -> Ending | None:
    if params.ending == "drop":
        return None
    # The code of the backbones takes seconds to import, and most trainings do without.
    from galaxies.backbones.backbone import make_ending

    return make_ending(extract.spec, params.layer, folder=main_repository()).to(device)


def _open_checkpoint(
    params: TrainParams, material: Material, start_digest: str | None, device: torch.device
) -> AbstractContextManager[Checkpoint]:
    """Return the checkpoint of everything that determines the result, made under the present conditions."""
    rows = np.concatenate([material.train, material.choosing])
    tables = np.stack([rows, material.survey.splits.targets[rows]])
    identity = {
        "params": asdict(params),
        "store": material.survey.store.key,
        "start": start_digest,
        "num_train": len(material.train),
        "rows_and_targets": hashlib.sha256(tables.tobytes()).hexdigest(),
    }
    conditions = {"device": device.type, "num_threads": torch.get_num_threads(), "torch": torch.__version__}
    return open_checkpoint(main_repository(), identity, conditions)


def _calibrate(
    fits: tuple[Fit, ...], material: Material, ending: Ending | None, device: torch.device
) -> tuple[TrainedHead, NDArray[np.float64]]:
    """Return the head of the first seed, with those of the others, and its probabilities of the rows that chose."""
    extract, width = partial(make_features, ending), fits[0].head.num_features
    train, choosing, calibrating = (
        map_rows(extract, material.survey.store, rows, width=width, device=device)
        for rows in (material.train, material.choosing, material.calibrating)
    )
    novelty, splits = fit_novelty(train, calibrating), material.survey.splits
    counts = np.bincount(splits.targets[material.train], minlength=len(splits.classes))
    field = read_field(FIELD_OF_VIEW)
    with torch.inference_mode():
        worth = [Calibration.fit(fit.head(calibrating), splits.targets[material.calibrating]) for fit in fits]
    heads = [
        TrainedHead(
            fit.head,
            calibration,
            splits.classes,
            material.survey.store.identity,
            tuple(counts.tolist()),
            field,
            novelty,
            ending,
        )
        for fit, calibration in zip(fits, worth, strict=True)
    ]
    return replace(heads[0], others=tuple(heads[1:])), heads[0].classify(choosing).numpy()


if __name__ == "__main__":
    run_stage(main)
