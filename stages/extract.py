"""Write the activations of one layer: features/<layer>.zarr. Usage: python -m stages.extract LAYER."""

import logging
import sys
from dataclasses import replace

from galaxies.backbones.spec import EMBEDDINGS, ExtractParams
from galaxies.data.bands import find_bands
from galaxies.data.catalog import Catalog
from galaxies.data.catalog_images import CatalogImages
from galaxies.data.checksums import open_checksums
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.features.embeddings import identify_embeddings, store_embeddings
from galaxies.features.identity import Identity
from galaxies.features.unfinished import open_unfinished
from galaxies.paths import CATALOG, CHECKSUMS, GALAXIES, store_path
from galaxies.runtime import RuntimeParams
from stages import main_repository, read_params, run_stage

_logger = logging.getLogger("galaxies.extract")


def main() -> None:
    """Publish the store of the layer on the command line."""
    layer, params, catalog = sys.argv[1], read_params("extract", ExtractParams), Catalog(CATALOG)
    if layer == EMBEDDINGS:
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
    from galaxies.backbones.backbone import load_backbone
    from galaxies.features.extraction import extract

    with GalaxyFile(GALAXIES) as galaxies:
        places = None if params.bands is None else find_bands(galaxies.bands, params.bands, GALAXIES)
    layers = tuple(name for name in params.layers if name != EMBEDDINGS)
    backbone = load_backbone(params.spec, layers=layers, folder=main_repository())
    transform = replace(backbone.transform, places=places)
    identities = {
        name: Identity.expected(params, name, catalog.digest).found(backbone.weights_digest, transform) for name in layers
    }
    outs = {name: store_path(name) for name in layers}
    with open_unfinished(main_repository(), identities[layer]) as stores:
        if chosen := stores.choose_layers(layer, identities, outs):
            with GalaxyFile(GALAXIES) as galaxies:
                extract(
                    CatalogImages(galaxies, catalog, params.bands, open_checksums(CHECKSUMS, catalog=catalog.digest)),
                    backbone=backbone,
                    identities=chosen,
                    stores=stores,
                    runtime=read_params("runtime", RuntimeParams),
                )
        stores[layer].publish(outs[layer])


if __name__ == "__main__":
    run_stage(main)
