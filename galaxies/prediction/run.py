"""Predict any number of inputs: fill a survey of their activations, then ask the head; and ask a head about a kept survey.

The result is written in one go when all is there: a million answers take less than a minute. What takes hours is the survey,
which goes on after a kill (``keeping``).
"""

import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tqdm import tqdm

from galaxies.errors import InputError
from galaxies.features.framing import Framing, widen_field
from galaxies.features.identity import Identity
from galaxies.features.store import Store
from galaxies.heads.head import TrainedHead
from galaxies.prediction.answers import AskedHead, ask_model
from galaxies.prediction.keeping import FillOptions, fill_survey, open_network, publish_survey, require_keepable
from galaxies.prediction.kept_table import KeptTable
from galaxies.prediction.metrics import Measurements
from galaxies.prediction.model import Model
from galaxies.prediction.result_file import Counts, require_result_name, require_result_place, write_result
from galaxies.prediction.stored_survey import StoredSurvey, open_survey
from galaxies.prediction.unfinished_survey import read_conditions
from galaxies.runtime import Library
from galaxies.sources.decoding import silent_readers
from galaxies.sources.image_reader import ReadOptions
from galaxies.sources.inputs import Input, list_inputs, say_passed_over
from galaxies.sources.listing import Listing, keep_listing
from galaxies.work_folder import WorkFolder, open_work_folder, work_path_beside

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PredictOptions:
    """What ``predict`` may be told beside input, head and result."""

    batch_size: int = 64  # images in one forward pass
    num_workers: int = 1  # threads that decode
    limit: int | None = None  # predict the first inputs only
    allow_outside: bool = False  # whether a catalogue may name files outside its folder
    metrics: Path | None = None  # where to write metrics of labelled inputs
    adapt: bool = False  # whether to standardise features by the inputs' own mean and deviation (``adaptation``)
    images: ReadOptions = field(default_factory=ReadOptions)  # what is said of all images
    keep: Path | None = None  # where to keep the activations; None throws them away
    field_arcsec: float | None = None  # that the images should show; None is the head's


def predict_inputs(source: str, out: Path, model: Model, options: PredictOptions) -> dict[str, int]:
    """Write a row for each input that ``source`` names (``inputs.list_inputs``) to ``out``, in order.

    Returns:
        How many rows there are (``rows``), with an ``error``, ``is_novel``, and ``abstain``.

    Raises:
        InputError: ``source`` names no inputs, ``out`` no format or no place for a file, metrics are wanted of inputs without
            labels, there are too few to adapt to, or what is kept at ``options.keep`` is of another network or field.
    """
    _require_places(source, out, options)
    kept = None if options.keep is None else require_keepable(options.keep)
    identity = _identify(model.trained, options, kept)
    with open_work_folder(work_path_beside(options.keep or out)) as work, silent_readers():
        _keep_listing(work, source, model.trained, options)
        with Listing(work.path) as listing:
            _require_labels(listing.is_labelled, model.trained, options)
            survey = _fill(work, listing, model, identity, options, kept)
        counts = _answer(survey, ask_model(model), out, options)
        work.discard()
    return counts


def predict_survey(source: Path, out: Path, asked: AskedHead, options: PredictOptions) -> dict[str, int]:
    """Write what a head says of a kept survey, or of a store of the pipeline; no image is read.

    Returns and raises as :func:`predict_inputs` does, and InputError where the head was trained on other features.
    """
    said = (options.keep, options.field_arcsec, options.allow_outside or None)
    if options.images != ReadOptions() or said != (None, None, None):
        raise InputError(
            f"{source} is a survey whose images were read already: --keep, --field, --as-is, --pixel-scale, --zero-point and "
            "--allow-outside have nothing to say of it."
        )
    _require_places(str(source), out, options)
    survey = open_survey(source)
    if options.metrics is not None:
        _require_labels(survey.table().column("label").null_count < len(survey), asked.trained, options)
    return _answer(survey, asked, out, options)


def is_survey(source: str) -> bool:
    """Tell whether a source is a store of activations and not images."""
    return (Path(source) / "zarr.json").is_file()


def _require_places(source: str, out: Path, options: PredictOptions) -> None:
    for option, path in (("--out", out), ("--metrics", options.metrics)):
        if path is not None:
            require_result_place(option, path, source)
    require_result_name(out)


def _require_labels(is_labelled: bool, trained: TrainedHead, options: PredictOptions) -> None:
    if options.metrics is not None and not is_labelled:
        names = ", ".join(trained.class_names)
        raise InputError(f"--metrics: there are no labels; expected are the head's classes: {names}.")


def _identify(trained: TrainedHead, options: PredictOptions, kept: Path | None) -> Identity:
    """Return the identity of the survey to fill: what was kept decides the field, else the user, else the head."""
    said, field = options.images, trained.field
    if options.field_arcsec is not None:
        field = widen_field(field, options.field_arcsec)
    framing = Framing(field, said.as_is, said.pxscale, said.zero_point)
    where = "--field" if kept is None else str(kept)
    if kept is not None:
        found = Store(kept).identity
        assert found.framing is not None
        if differences := found.answers(trained.identity):
            listing = "\n".join(f"  {line}" for line in differences)
            raise InputError(f"--keep: {kept} holds activations made under other settings:\n{listing}\nGive another name.")
        if replace(found.framing, field=field) != framing:
            raise InputError(
                f"--keep: {kept} was read with {found.framing.to_json()}, now {framing.to_json()} is asked for; give another "
                "name."
            )
        if options.field_arcsec is not None:
            found.framing.require(field, where=where)
        framing = found.framing
    framing.require(trained.field, where=where)
    return trained.identity.kept(framing) if kept is None else found


def _keep_listing(work: WorkFolder, source: str, trained: TrainedHead, options: PredictOptions) -> None:
    bands = trained.field.channels.names_of_files

    def list_all() -> Iterator[Input]:
        listed = list_inputs(source, allow_outside=options.allow_outside, bands=bands)
        return iter(tqdm(itertools.islice(listed, options.limit), "list", unit="input", delay=2))

    asked = {"allow_outside": options.allow_outside, "limit": options.limit, "bands": list(bands)}
    if keep_listing(work.path, source, asked, list_all) and (passed_over := say_passed_over(source)):
        _logger.warning("%s: %s", source, passed_over)


def _fill(
    work: WorkFolder, listing: Listing, model: Model, identity: Identity, options: PredictOptions, kept: Path | None
) -> StoredSurvey:
    """Return the survey of the inputs: published where it is kept, else where it is made."""
    network = open_network(
        model,
        identity,
        library=_choose_library(model, len(listing), kept),
        folder=work.path,
        is_kept=options.keep is not None,
    )
    survey = fill_survey(
        work,
        listing,
        model,
        network,
        options=FillOptions(options.images, options.num_workers, options.batch_size, kept),
    )
    if options.keep is not None:
        publish_survey(survey, options.keep)
        return open_survey(options.keep)
    store = Store(survey.store.path)
    table = KeptTable(survey.table, num_rows=len(listing), block_rows=network.layout.shard_rows, key=network.identity.key)
    return StoredSurvey(store, table, network.identity.framing, holds_features=network.head is not None)


def _choose_library(model: Model, num_images: int, kept: Path | None) -> Library:
    """Return what runs the backbone; a survey that grows goes on with what it was made with, where the choice is ours."""
    earlier = str(read_conditions(kept).get("forward", "")).partition(" ")[0] if kept is not None else ""
    is_free = model.wanted_library == "auto" and model.device.type == "cpu"
    if is_free and earlier in ("torch", "onnxruntime"):
        return "torch" if earlier == "torch" else "onnxruntime"
    return model.choose_library(num_images)


def _answer(survey: StoredSurvey, asked: AskedHead, out: Path, options: PredictOptions) -> dict[str, int]:
    """Write the answers, and the metrics where they are wanted; return what was counted."""
    if note := survey.require(asked.trained):
        _logger.warning("%s; they differ by less than 1 %%, and it answers", note)
    num_rows = len(survey) if options.limit is None else min(options.limit, len(survey))
    if options.adapt:
        asked = survey.adapt(asked, num_rows)
    counts, measurements = Counts(), Measurements(asked.trained)
    takers = [counts.add, *([] if options.metrics is None else [measurements.add])]
    write_result(out, survey.answer(asked, num_rows), asked.schema, takers)
    if options.metrics is not None:
        measurements.write(options.metrics)
    return counts.found
