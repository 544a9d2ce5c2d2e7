"""Train heads on the cached activations: models/head.pt, its curve, how training went, and how each setting did."""

import hashlib
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galaxies.backbones.ending import Ending, make_features
from galaxies.backbones.spec import ExtractParams
from galaxies.data.field_of_view import read_field
from galaxies.data.splits import divide_val, require_labels
from galaxies.features.passes import discard_unfinished
from galaxies.features.survey import Survey, open_survey
from galaxies.files import file_sha256, require_digest, write_csv, write_json
from galaxies.heads.batches import Batches, BatchOptions, open_batches
from galaxies.heads.checkpoint import Checkpoint, open_checkpoint
from galaxies.heads.class_meaning import ClassMeaning
from galaxies.heads.head import TrainedHead, load_head, save_head
from galaxies.heads.inference import map_rows
from galaxies.heads.known_targets import find_known, read_targets
from galaxies.heads.novelty import fit_novelty
from galaxies.heads.report import Fit, report_fit, report_training, tabulate_curve
from galaxies.heads.tasks import ClassTask, Task, make_task
from galaxies.heads.train_params import TrainParams, require_start, require_trainable
from galaxies.heads.trainer import Trainer
from galaxies.paths import FIELD_OF_VIEW, HEAD, METRICS
from galaxies.runtime import RuntimeParams
from stages import main_repository, read_params, run_stage, user_path


@dataclass(frozen=True)
class Material:
    """What is trained on. The test rows are not used."""

    survey: Survey
    task: Task
    train: NDArray[np.int64]  # rows that fit
    choosing: NDArray[np.int64]  # one half of val: choose the best epoch and setting
    calibrating: NDArray[np.int64]  # the other half

    def open_batches(self, rows: NDArray[np.int64], options: BatchOptions) -> Batches:
        """Return the batches of some of the rows."""
        return open_batches(self.survey.store, rows, self.task.targets(rows), options)


def main() -> None:
    """Fit on train rows, choose on one half of val, calibrate on the other, and write what came of it."""
    params, extract = read_params("train", TrainParams), read_params("extract", ExtractParams)
    runtime = read_params("runtime", RuntimeParams)
    require_trainable(params, extract)
    material = _open_material(params, extract)
    start, start_digest = _load_start(params)
    if start:
        require_start(start, params, extract.backbone, material.task.names)
    device = runtime.pick_device()
    ending = _make_ending(params, extract, device)
    options = BatchOptions(params.batch_size, params.augment == "d4", device, max(1, runtime.count_workers()))
    batches = material.open_batches(material.train, options)
    val_batches = material.open_batches(material.choosing, replace(options, augment=False))
    objective = material.task.make_objective(batches.targets, params)
    with _open_checkpoint(params, material, start_digest, device) as checkpoint:
        fits = Trainer(batches, val_batches, objective, params, ending=ending, start=start).fit(checkpoint)
    trained, outputs = _calibrate(fits.seeds, material, ending, device)
    save_head(HEAD, trained)
    write_csv(METRICS / "training.csv", tabulate_curve(fits.seeds[0]))
    write_csv(METRICS / "sweep.csv", fits.settings)
    counts = {"num_train": len(material.train), "num_val": len(material.choosing) + len(material.calibrating)}
    write_json(METRICS / "train.json", {**_report(fits.seeds[0], trained, outputs, material), **counts})


def _open_material(params: TrainParams, extract: ExtractParams) -> Material:
    survey = open_survey(params.layer, extract)
    # The store is recorded and sound, so nobody needs to publish it again.
    discard_unfinished(main_repository(), survey.store.identity)
    splits = survey.splits
    targets = read_targets(params, survey.catalog, folder=survey.folder, user_folder=main_repository())
    if targets is None:
        require_labels(splits)
        # Others may have targets, and no class.
        train, val = (rows[splits.targets[rows] >= 0] for rows in map(splits.rows, ("train", "val")))
    else:
        train, val = find_known(targets, splits)
    # One fixed division: heads of other seeds are chosen and calibrated on the same galaxies.
    kinds = splits.targets[val] if targets is None else np.zeros(len(val), np.int64)
    choosing, calibrating = divide_val(kinds, splits.group[val], generator=np.random.default_rng(0))
    task = ClassTask(splits.targets, splits.classes, train) if targets is None else make_task(targets, params, train)
    return Material(survey, task, train, val[choosing], val[calibrating])


def _load_start(params: TrainParams) -> tuple[TrainedHead | None, str | None]:
    """Return the head to start from and its digest."""
    if params.start_from is None:
        return None, None
    path = user_path(params.start_from)
    start, digest = load_head(path, folder=main_repository()), file_sha256(path)
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
    digest = hashlib.sha256(rows.tobytes())
    digest.update(np.ascontiguousarray(material.task.targets(rows)).tobytes())
    identity = {
        "params": asdict(params),
        "store": material.survey.store.key,
        "start": start_digest,
        "num_train": len(material.train),
        "rows_and_targets": digest.hexdigest(),
    }
    conditions = {"device": device.type, "num_threads": torch.get_num_threads(), "torch": torch.__version__}
    return open_checkpoint(main_repository(), identity, conditions)


def _calibrate(
    fits: tuple[Fit, ...], material: Material, ending: Ending | None, device: torch.device
) -> tuple[TrainedHead, Tensor]:
    """Return the head of the first seed, with those of the others, and its outputs for the rows that chose."""
    extract, width = partial(make_features, ending), fits[0].head.num_features
    train, choosing, calibrating = (
        map_rows(extract, material.survey.store, rows, width=width, device=device)
        for rows in (material.train, material.choosing, material.calibrating)
    )
    novelty, field, identity = fit_novelty(train, calibrating), read_field(FIELD_OF_VIEW), material.survey.store.identity
    with torch.inference_mode():
        meanings = [material.task.fit_meaning(fit.head(calibrating), material.calibrating) for fit in fits]
        outputs = fits[0].head(choosing)
    heads = [
        TrainedHead(fit.head, meaning, identity, field, novelty, ending) for fit, meaning in zip(fits, meanings, strict=True)
    ]
    return replace(heads[0], others=tuple(heads[1:])), outputs


def _report(fit: Fit, trained: TrainedHead, outputs: Tensor, material: Material) -> dict[str, float]:
    """Return what ``dvc exp show`` lists."""
    if not isinstance(trained.meaning, ClassMeaning):
        return report_training(fit)
    calibration = trained.meaning.calibration
    val_targets = material.survey.splits.targets[material.choosing]
    return report_fit(fit, calibration.temperature, calibration.probabilities(outputs).numpy(), val_targets)


if __name__ == "__main__":
    run_stage(main)
