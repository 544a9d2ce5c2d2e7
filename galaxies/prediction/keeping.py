"""A survey of a user's own galaxies: its activations in a store, and beside it what was read, filled as `extract` fills stores.

The work stands beside the result, in ``.my_survey.zarr.parts`` or, where nothing is kept, ``.predictions.parquet.parts``:

    conditions.json    under which it is made
    inputs.arrow/json  the inputs, listed once
    <layer>.*          the store in the making, as ``features/unfinished.py`` says
    <layer>.table/     the parts beside it
    <key>.onnx         the network as ONNX Runtime takes it, where that runs it

A kept survey grows: blocks of which inputs and shard are as on record are taken over, the others are computed.

Legend: N rows, S image size, s that of the backbone, C bands or features, V views.
"""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor
from tqdm import tqdm

from galaxies.backbones.forward import Forward
from galaxies.backbones.onnx_network import kept_graphs
from galaxies.backbones.streams import has_streams
from galaxies.errors import InputError
from galaxies.features.blocks import Threads, fill_blocks
from galaxies.features.extraction import describe_conditions, plan_batch, plan_missing, require_room
from galaxies.features.identity import Identity
from galaxies.features.publishing import publish_files
from galaxies.features.shard_writer import ShardWriter
from galaxies.features.store import Store, plan_layout
from galaxies.features.unfinished import UnfinishedStore
from galaxies.files import write_json
from galaxies.prediction.input_images import InputImages
from galaxies.prediction.kept_table import CONDITIONS_NAME, TableWriter, list_parts, table_path
from galaxies.prediction.model import Model
from galaxies.prediction.unfinished_survey import Network, Survey, forget_changed, take_over
from galaxies.runtime import Library
from galaxies.sources.decoding import Decoder
from galaxies.sources.image_reader import ReadOptions
from galaxies.sources.listing import LISTING_NAMES, Listing
from galaxies.work_folder import WorkFolder

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FillOptions:
    """How a survey is read and computed."""

    images: ReadOptions  # what the user says of all images
    num_workers: int  # threads that decode
    batch_size: int  # images in one forward pass, at most
    kept: Path | None  # the finished survey whose blocks may be taken over


def open_network(model: Model, identity: Identity, *, library: Library, folder: Path, is_kept: bool) -> Network:
    """Return what gives the activations of the model's layer; where they are not kept, the features that its ending makes.

    A map that nobody keeps would only take disk: 100 GB of a million galaxies are not rare.
    """
    forward, layer = model.make_forward(library, folder), identity.layer
    head = None
    if model.trained.ending is not None and not is_kept:
        forward = _with_ending(model, forward)
        identity, head = replace(identity, dtype="float32"), model.digest
    noise = np.random.default_rng(0).random((64, 64, len(model.trained.bands)))
    image = noise.astype(np.float16) if model.trained.field.channels.dtype == "float16" else (256 * noise).astype(np.uint8)
    example = forward(model.resize([image]))[layer].cpu()
    return Network(identity, forward, plan_layout(example.numpy(), identity.dtype), example, head)


def _with_ending(model: Model, forward: Forward) -> Forward:
    layer = model.trained.identity.layer

    def compute(images: Tensor) -> dict[str, Tensor]:
        return {layer: model.trained.features(forward(images)[layer][:, 0])[:, None]}

    return replace(forward, compute=compute)


def fill_survey(
    work: WorkFolder,
    listing: Listing,
    model: Model,
    network: Network,
    *,
    options: FillOptions,
) -> Survey:
    """Fill the survey of the listed inputs in a work folder, continuing where an earlier run ended.

    Args:
        work: where it stands; what was made there under other conditions is thrown away.
        listing: N inputs.
        model: whose backbone is used.
        network: as :func:`open_network` makes it.
        options: how to read and compute.
    """
    batch_rows = plan_batch([network.layout], options.batch_size)
    conditions = describe_conditions(network.forward, model.device, batch_rows)
    survey = _open_survey(work, listing, network, conditions, options.kept)
    writer = ShardWriter(survey.store, network.identity.precision)
    plan, layer = plan_missing([writer], len(listing), batch_rows), network.identity.layer
    require_room(work.path, {layer: network.layout}, {layer: network.example}, len(listing), plan.num_rows)
    on_cpu = not has_streams(model.device)
    framing = network.identity.framing
    assert framing is not None  # Of every survey.
    with (
        Decoder(
            framing.field,
            replace(options.images, bands=model.trained.bands),
            num_threads=options.num_workers,
            with_checksums=True,
        ) as decoder,
        tqdm(
            total=len(listing), initial=len(listing) - plan.num_rows, desc="predict", unit="galaxy", smoothing=0.05
        ) as progress,
    ):
        for num_rows in fill_blocks(
            plan,
            InputImages(listing, decoder, model),
            forward=network.forward,
            writers={layer: writer},
            # On a CPU, decoding and predicting take turns with all cores; on a GPU they overlap.
            threads=Threads(0 if on_cpu else 2, 1 if on_cpu or not writer.is_compressed else max(1, options.num_workers // 2)),
            beside=TableWriter(survey.table, network.identity.key, listing.digest),
        ):
            progress.update(num_rows)
    write_json(survey.table / CONDITIONS_NAME, {"conditions": conditions})
    return survey


def _open_survey(
    work: WorkFolder, listing: Listing, network: Network, conditions: Mapping[str, object], kept: Path | None
) -> Survey:
    """Return the survey, with all blocks on record that need not be computed."""
    survey = Survey(UnfinishedStore(work.path, network.identity.layer), len(listing), network)
    head = {} if network.head is None else {"head": network.head}
    work.begin({**conditions, **head}, keep=[*kept_graphs(work.path), *LISTING_NAMES])
    survey.store.open(num_rows=len(listing), layout=network.layout, identity=network.identity)
    survey.table.mkdir(exist_ok=True)
    forget_changed(survey, listing)
    if kept is not None:
        take_over(survey, listing, kept, conditions)
    return survey


def publish_survey(survey: Survey, out: Path) -> None:
    """Give a complete survey its final names, ``out`` and the table beside it, and keep it in the work folder.

    Between the two there is a store without a table, which nobody opens: never one with the table of another.
    """
    table = table_path(out)
    shutil.rmtree(table, ignore_errors=True)
    survey.store.publish(out)
    publish_files(survey.table, list_parts(survey.table), table)


def require_keepable(out: Path) -> Path | None:
    """Return the survey that is kept at ``out`` already, None where none is. Raises InputError where it cannot stand there."""
    if out.suffix != ".zarr":
        raise InputError(f"--keep: found {out}, expected is a name that ends in .zarr, as my_survey.zarr.")
    if not out.exists():
        if table_path(out).exists() and not any(table_path(out).glob("[0-9]*.parquet")):
            raise InputError(f"--keep: {table_path(out)} is in the way, and no table of a survey; give another name.")
        return None
    identity = Store(out).identity
    if identity.framing is None:
        raise InputError(f"--keep: {out} is a store of the pipeline, not a kept survey; give another name.")
    return out
