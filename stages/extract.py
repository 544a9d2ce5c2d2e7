"""Write the activations of one layer: features/<layer>.zarr.

Usage: python -m stages.extract LAYER. With ``--plan`` or ``--part I/N``, as `galaxies fill` says it, only the plan of the
forward pass is written, or a part of it filled, by any number of processes at once; nothing is published.
"""

import argparse
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from galaxies.backbones.spec import EMBEDDINGS, ExtractParams
from galaxies.data.bands import find_bands
from galaxies.data.catalog import Catalog
from galaxies.data.catalog_images import CatalogImages
from galaxies.data.checksums import open_checksums
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.errors import InputError
from galaxies.features.embeddings import identify_embeddings, store_embeddings
from galaxies.features.identity import Identity
from galaxies.features.passes import describe_stores, join_pass, open_unfinished
from galaxies.paths import CATALOG, CHECKSUMS, GALAXIES, store_path
from galaxies.runtime import RuntimeParams
from stages import main_repository, read_params, run_stage

if TYPE_CHECKING:
    from galaxies.backbones.backbone import Backbone

_logger = logging.getLogger("galaxies.extract")


def main() -> None:
    """Publish the store of the layer on the command line, or work on the plan of its forward pass."""
    parser = argparse.ArgumentParser()
    parser.add_argument("layer")
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--part")
    options = parser.parse_args()
    layer, params, catalog = options.layer, read_params("extract", ExtractParams), Catalog(CATALOG)
    if options.plan:
        _write_plan(layer, params, catalog)
    elif options.part is not None:
        _fill_part(layer, params, catalog, options.part)
    elif layer == EMBEDDINGS:
        _store_embeddings(params, catalog)
    else:
        _extract(layer, params, catalog)


def _store_embeddings(params: ExtractParams, catalog: Catalog) -> None:
    """Bring the embeddings of data/galaxies.h5 into the order of the catalog."""
    _logger.info("%s come as they are: of the section `extract` nothing but `layers` counts, no backbone is run.", EMBEDDINGS)
    with GalaxyFile(GALAXIES, needs_images=False) as galaxies:
        rows = CatalogImages(galaxies, catalog, None, open_checksums(CHECKSUMS, catalog=catalog.digest))
        identity = identify_embeddings(Identity.expected(params, EMBEDDINGS, catalog.digest), rows)
        with open_unfinished(main_repository(), identity) as stores:
            stores.begin({})
            store_embeddings(rows, identity=identity, store=stores[EMBEDDINGS])
            stores[EMBEDDINGS].publish(store_path(EMBEDDINGS))


def _extract(layer: str, params: ExtractParams, catalog: Catalog) -> None:
    """Publish the store of a layer; the first such call fills the stores of all missing layers in one forward pass."""
    # The code of the backbones takes seconds to import.
    from galaxies.features.extraction import extract

    backbone, identities = _identify(params, catalog)
    outs, runtime = {name: store_path(name) for name in identities}, read_params("runtime", RuntimeParams)
    with open_unfinished(main_repository(), identities[layer]) as stores:
        if chosen := stores.choose_layers(layer, identities, outs):
            with _open_images(params, catalog) as images:
                extract(images, backbone=backbone, identities=chosen, stores=stores, runtime=runtime)
        stores[layer].publish(outs[layer])


def _write_plan(layer: str, params: ExtractParams, catalog: Catalog) -> None:
    """Write the plan of a layer's forward pass: empty stores, and the conditions of all workers."""
    from galaxies.features.extraction import begin, prepare

    backbone, identities = _identify(params, catalog)
    _require_layer(layer, identities)
    outs, runtime = {name: store_path(name) for name in identities}, read_params("runtime", RuntimeParams)
    with open_unfinished(main_repository(), identities[layer]) as stores:
        folder = stores.work.path
        if chosen := stores.choose_layers(layer, identities, outs):
            with _open_images(params, catalog) as images:
                begin(prepare(images, backbone=backbone, identities=chosen, folder=folder, runtime=runtime), stores)
        _logger.info("%s", describe_stores(folder))


def _fill_part(layer: str, params: ExtractParams, catalog: Catalog, part: str) -> None:
    """Fill a part of the plan."""
    from galaxies.features.extraction import fill, prepare
    from galaxies.features.parts import parse_part

    chosen_part = parse_part(part)
    backbone, identities = _identify(params, catalog)
    _require_layer(layer, identities)
    runtime = read_params("runtime", RuntimeParams)
    with join_pass(main_repository(), identities[layer]) as stores:
        folder = stores.work.path
        if planned := stores.planned_layers(identities):
            with _open_images(params, catalog) as images:
                extraction = prepare(images, backbone=backbone, identities=planned, folder=folder, runtime=runtime)
                fill(extraction, stores, chosen_part)
        _logger.info("%s", describe_stores(folder))


def _require_layer(layer: str, identities: Mapping[str, Identity]) -> None:
    if layer not in identities:
        raise InputError(f"galaxies fill: found the layer {layer}, expected one of {', '.join(identities)} (extract.layers).")


def _identify(params: ExtractParams, catalog: Catalog) -> "tuple[Backbone, dict[str, Identity]]":
    """Return the network, and the identities of the stores of all its layers, by layer."""
    from galaxies.backbones.backbone import load_backbone

    with GalaxyFile(GALAXIES) as galaxies:
        places = None if params.bands is None else find_bands(galaxies.bands, params.bands, GALAXIES)
    layers = tuple(name for name in params.layers if name != EMBEDDINGS)
    backbone = load_backbone(params.spec, layers=layers, folder=main_repository())
    transform = replace(backbone.transform, places=places)
    return backbone, {
        name: Identity.expected(params, name, catalog.digest).found(backbone.weights_digest, transform) for name in layers
    }


@contextmanager
def _open_images(params: ExtractParams, catalog: Catalog) -> Iterator[CatalogImages]:
    with GalaxyFile(GALAXIES) as galaxies:
        yield CatalogImages(galaxies, catalog, params.bands, open_checksums(CHECKSUMS, catalog=catalog.digest))


if __name__ == "__main__":
    run_stage(main)
