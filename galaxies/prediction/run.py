"""Predict any number of inputs in constant memory: decoded by several threads, written part by part, resumed after a kill.

Beside the result stands a work folder with the finished parts until all are there; parts that were made of other inputs, with
another head or other options are thrown away:

    .predictions.parquet.parts/
        adaptation.json   with --adapt: the mean and deviation of the inputs' features
        000000.parquet    the rows of the first part
        <key>.onnx        the network as ONNX Runtime takes it, where that runs it

A resumed run makes the same batches, and so the same bytes, as an uninterrupted one.
"""

import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from tqdm import tqdm

from galaxies.errors import InputError
from galaxies.prediction.adaptation import spread
from galaxies.prediction.metrics import measure_parts
from galaxies.prediction.model import Model
from galaxies.prediction.result_file import count_rows, join_parts, require_result_name, require_result_place, write_part
from galaxies.prediction.table import SCHEMA_VERSION, make_schema, tabulate_batch
from galaxies.sources.decoding import Decoded, decode_batches, silent_readers
from galaxies.sources.image_reader import ReadOptions
from galaxies.sources.inputs import Input, Listing, list_inputs, say_passed_over, survey_inputs
from galaxies.work_folder import open_work_folder, work_path_beside

# A kill costs at most this many rows. Of ten classes they are 200 kB.
_PART_ROWS = 1024

_ADAPTATION_NAME = "adaptation.json"

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


def predict_inputs(source: str, out: Path, model: Model, options: PredictOptions) -> dict[str, int]:
    """Write a row for each input that ``source`` names (``inputs.list_inputs``) to ``out``, in order.

    Returns:
        How many rows there are (``rows``), with an ``error``, ``is_novel``, and ``abstain``.

    Raises:
        InputError: ``source`` names no inputs, ``out`` no format or no place for a file, metrics are wanted of inputs without
            labels, or there are too few to adapt to.
    """
    for option, path in (("--out", out), ("--metrics", options.metrics)):
        if path is not None:
            require_result_place(option, path, source)
    require_result_name(out)
    listing = survey_inputs(tqdm(_list(source, model, options), "list", unit="input", delay=2))
    if passed_over := say_passed_over(source):
        _logger.warning("%s: %s", source, passed_over)
    if options.metrics is not None and not listing.is_labelled:
        raise InputError(f"--metrics: there are no labels; expected are the head's classes: {', '.join(model.class_names)}.")
    schema = _make_schema(model, options)
    with open_work_folder(work_path_beside(out)) as work, silent_readers():
        work.begin(_conditions(listing, model, options))
        model = model.for_images(listing.num_inputs, folder=work.path)
        if options.adapt:
            model = _adapt(source, model, options, listing.num_inputs, where=work.path / _ADAPTATION_NAME)
        parts = _plan_parts(work.path, listing.num_inputs, options)
        missing = dict(itertools.dropwhile(lambda part: part[0].exists(), parts.items()))
        start = next(iter(missing.values())).start if missing else listing.num_inputs
        batches = _decode(_list(source, model, options, start), model, options)
        tables = (_predict_batch(batch, model, listing, schema) for batch in batches)
        with tqdm(total=listing.num_inputs, initial=start, desc="predict", unit="galaxy", smoothing=0.05) as progress:
            for part, rows in missing.items():
                write_part(part, list(_take_rows(tables, len(rows), progress)), schema)
        join_parts(parts, out, schema)
        if options.metrics is not None:
            measure_parts(parts, model.trained, options.metrics)
        counts = count_rows(parts)
        work.discard()
    return counts


def describe_parts(folder: Path) -> str:
    """Say how far the prediction is whose parts stand in ``folder``."""
    return f"{len(list(folder.glob('*.parquet')))} parts of {_PART_ROWS} galaxies or fewer"


def _make_schema(model: Model, options: PredictOptions) -> pa.Schema:
    about = {
        "head_sha256": model.digest,
        "class_names": model.class_names,
        "weights_digest": model.trained.identity.weights_digest,
        "adapted": options.adapt,
    }
    return make_schema(model.class_names, about)


def _conditions(listing: Listing, model: Model, options: PredictOptions) -> dict[str, str | int | bool]:
    """Return all that determines the rows, also what may change their last bits."""
    return {
        "schema": SCHEMA_VERSION,
        "inputs": listing.digest,
        "head": model.digest,
        "batch_size": options.batch_size,
        "adapt": options.adapt,
        "images": repr(options.images),
        "device": model.device.type,
        "forward": model.choose_library(listing.num_inputs),
        "onnxruntime": version("onnxruntime"),
        "torch": torch.__version__,
        "num_threads": torch.get_num_threads(),
    }


def _list(source: str, model: Model, options: PredictOptions, start: int = 0) -> Iterator[Input]:
    """Yield the inputs from the one numbered ``start`` on."""
    bands = model.trained.field.channels.names_of_files
    listed = list_inputs(source, allow_outside=options.allow_outside, start=start, bands=bands)
    return listed if options.limit is None else itertools.islice(listed, options.limit - start)


def _decode(inputs: Iterable[Input], model: Model, options: PredictOptions) -> Iterator[list[Decoded]]:
    return decode_batches(
        inputs,
        model.trained.field,
        replace(options.images, bands=model.trained.bands),
        batch_size=options.batch_size,
        num_threads=options.num_workers,
        # On a CPU, decoding and predicting take turns with all cores; on a GPU they overlap.
        num_ahead=0 if model.device.type == "cpu" else 2,
    )


def _adapt(source: str, model: Model, options: PredictOptions, num_inputs: int, *, where: Path) -> Model:
    batches = _decode(spread(_list(source, model, options), num_inputs), model, options)
    images = ([decoded.image for decoded in batch if decoded.image is not None] for batch in batches)
    return model.adapt_to(images, where=where)


def _plan_parts(folder: Path, num_inputs: int, options: PredictOptions) -> dict[Path, range]:
    """Return the files of the parts, and which inputs stand in each: whole batches."""
    part_rows = options.batch_size * max(1, _PART_ROWS // options.batch_size)
    rows = (range(start, min(start + part_rows, num_inputs)) for start in range(0, num_inputs, part_rows))
    return {folder / f"{number:06d}.parquet": some for number, some in enumerate(rows)}


def _predict_batch(batch: Sequence[Decoded], model: Model, listing: Listing, schema: pa.Schema) -> pa.RecordBatch:
    predictions = model.predict_list([decoded.image for decoded in batch if decoded.image is not None])
    notes = ["another input has the same id" if listing.is_repeated(decoded.entry) else "" for decoded in batch]
    return tabulate_batch(batch, notes, predictions, schema)


def _take_rows(tables: Iterator[pa.RecordBatch], num_rows: int, progress: "tqdm[Any]") -> Iterator[pa.RecordBatch]:
    """Yield as many of the tables, which are whole batches, as have ``num_rows`` together."""
    while num_rows > 0:
        table = next(tables)
        num_rows -= len(table)
        progress.update(len(table))
        yield table
