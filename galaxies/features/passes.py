"""The work folder of a forward pass over the catalog: the stores of its layers in the making.

They share a folder, named by their identity without the layer:

    .dvc/tmp/extract/<key>/
        conditions.json    the plan's: under which every worker fills blocks
        <key>.onnx         the network as ONNX Runtime takes it, where that runs it
        <layer>.*          of each layer, as ``unfinished`` says; it stays until a later stage has opened the published store
        workers/           a lock for each process that fills a part of the plan, on whatever machine

The stage holds the folder's own lock: it waits until all workers have ended, and these wait for it.
"""

import os
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from galaxies.errors import InputError
from galaxies.features.identity import Identity
from galaxies.features.store import holds_store
from galaxies.features.unfinished import UnfinishedStore
from galaxies.work_folder import WorkFolder, find_work, is_in_use, locked, open_work_folder, work_path

_WORKERS = "workers"
_LATE_S = 600.0  # over which a rate is taken


@dataclass(frozen=True)
class UnfinishedStores:
    """The unfinished stores of one forward pass. Made by :func:`open_unfinished` and :func:`join_pass`."""

    work: WorkFolder

    def __getitem__(self, layer: str) -> UnfinishedStore:
        """Return the store of a layer, which need not be there yet."""
        return UnfinishedStore(self.work.path, layer)

    def begin(self, conditions: Mapping[str, object], *, keep: Collection[str] = ()) -> None:
        """Start or continue a run under ``conditions``: what may change bits although it is in no identity.

        Unfinished stores of a run under others are thrown away, for a store never mixes two devices or versions; a complete
        one stays, and what else in the folder ``keep`` names.
        """
        complete = [store for store in list_unfinished_stores(self.work.path) if store.is_complete]
        self.work.begin(conditions, keep=[*keep, *(name for store in complete for name in store.names)])

    def choose_layers(self, layer: str, identities: Mapping[str, Identity], places: Mapping[str, Path]) -> dict[str, Identity]:
        """Return what to fill in one forward pass: the layer, and others of the same pass that are nowhere yet.

        Args:
            layer: whose store is wanted now; nothing has to be filled where it is complete.
            identities: of all layers that are kept.
            places: where their stores will stand, by layer.
        """
        if self[layer].is_complete:
            return {}
        # Resized images need no forward pass, so `input` makes a pass, and has a key, of its own.
        together = {name: identity for name, identity in identities.items() if identity.pass_key == identities[layer].pass_key}
        return {
            name: identity
            for name, identity in together.items()
            if name == layer or not (self[name].is_complete or holds_store(places[name], identity))
        }

    def planned_layers(self, identities: Mapping[str, Identity]) -> dict[str, Identity]:
        """Return those of the layers that the plan has and that are not complete."""
        planned = {store.layer for store in list_unfinished_stores(self.work.path) if not store.is_complete}
        return {name: identity for name, identity in identities.items() if name in planned}


@contextmanager
def open_unfinished(root: Path, identity: Identity) -> Iterator[UnfinishedStores]:
    """Hold the work folder of the forward pass that ``identity`` is of while the block runs; a second process waits."""
    with open_work_folder(work_path(root, "extract", identity.pass_json())) as work:
        for lock in (work.path / _WORKERS).glob("*.lock"):
            with locked(lock.with_suffix("")):
                pass  # The worker has ended, and so has the file.
        yield UnfinishedStores(work)


@contextmanager
def join_pass(root: Path, identity: Identity) -> Iterator[UnfinishedStores]:
    """Work, beside others, on the plan of the forward pass that ``identity`` is of while the block runs.

    Raises InputError where there is no plan.
    """
    folder = work_path(root, "extract", identity.pass_json())
    with ExitStack() as stack:
        with locked(folder):
            if not list_unfinished_stores(folder):
                raise InputError(
                    f"{folder} holds no plan of these activations; `galaxies fill --plan` writes it, with this params.yaml."
                )
            (folder / _WORKERS).mkdir(exist_ok=True)
            stack.enter_context(locked(folder / _WORKERS / f"{socket.gethostname()}-{os.getpid()}"))
        yield UnfinishedStores(WorkFolder(folder))


def count_workers(folder: Path) -> int:
    """Return how many processes fill parts of the plan in the folder of a forward pass."""
    return sum(is_in_use(lock.with_suffix("")) for lock in (folder / _WORKERS).glob("*.lock"))


def format_progress(root: Path, *, now: float) -> Iterator[str]:
    """Yield a line for each plan in the repository at ``root``: shards, workers, rate of late and the time left at it.

    Args:
        root: the main repository.
        now: seconds since 1970.
    """
    folders = [folder for kind, folder in find_work(root) if kind == "extract"]
    if not folders:
        yield "No plan; `galaxies fill --plan` writes one."
    for folder in folders:
        stores = list_unfinished_stores(folder)
        num_missing = sum(all_ - done for done, all_ in (store.count_shards() for store in stores))
        num_late = sum(store.count_shards_since(now - _LATE_S) for store in stores)
        said = f"{folder.name}: {describe_stores(folder)}, {count_workers(folder)} at work"
        if num_missing and num_late:
            said += f", {60 * num_late / _LATE_S:.1f} shards/min, {num_missing * _LATE_S / num_late / 3600:.1f} h left"
        yield said


def discard_unfinished(root: Path, identity: Identity) -> None:
    """Throw away the work copy of a published store that a later stage has opened. A folder in use is left alone."""
    folder = work_path(root, "extract", identity.pass_json())
    if folder.is_dir():
        with suppress(BlockingIOError), locked(folder, wait=False):
            UnfinishedStore(folder, identity.layer).delete()
            if not list_unfinished_stores(folder) and not count_workers(folder):
                WorkFolder(folder).discard()


def list_unfinished_stores(folder: Path) -> list[UnfinishedStore]:
    """Return the stores of which a record stands in the folder of a forward pass."""
    return [UnfinishedStore(folder, file.stem) for file in sorted(folder.glob("*.record"))]


def describe_stores(folder: Path) -> str:
    """Say how far the stores in the folder of a forward pass are."""
    counts = ((store.layer, *store.count_shards()) for store in list_unfinished_stores(folder))
    return ", ".join(f"{layer} {done}/{all_} shards" for layer, done, all_ in counts) or "no shards"
