"""Write the activations of one layer: features/<layer>.zarr. Usage: python -m stages.extract LAYER."""

import sys
from dataclasses import replace

from galaxies.backbones.backbone import load_backbone
from galaxies.backbones.spec import ExtractParams
from galaxies.data.bands import find_bands
from galaxies.data.catalog import Catalog
from galaxies.data.catalog_images import CatalogImages
from galaxies.data.checksums import open_checksums
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.features.extraction import extract
from galaxies.features.identity import Identity
from galaxies.features.unfinished import open_unfinished
from galaxies.paths import CATALOG, CHECKSUMS, GALAXIES, store_path
from galaxies.runtime import RuntimeParams
from stages import main_repository, read_params, run_stage


def main() -> None:
    """Publish the store of the layer on the command line; the first such call fills the stores of all missing layers."""
    layer = sys.argv[1]
    params = read_params("extract", ExtractParams)
    catalog = Catalog(CATALOG)
    backbone = load_backbone(params.spec, layers=params.layers, folder=main_repository())
    transform = replace(backbone.transform, places=_find_places(params.bands))
    identities = {
        name: Identity.expected(params, name, catalog.digest).found(backbone.weights_digest, transform)
        for name in params.layers
    }
    places = {name: store_path(name) for name in params.layers}
    with open_unfinished(main_repository(), identities[layer]) as stores:
        if chosen := stores.choose_layers(layer, identities, places):
            with GalaxyFile(GALAXIES) as galaxies:
                extract(
                    CatalogImages(galaxies, catalog, params.bands, open_checksums(CHECKSUMS, catalog=catalog.digest)),
                    backbone=backbone,
                    identities=chosen,
                    stores=stores,
                    runtime=read_params("runtime", RuntimeParams),
                )
        stores[layer].publish(places[layer])


def _find_places(bands: tuple[str, ...] | None) -> tuple[int, ...] | None:
    if bands is None:
        return None
    with GalaxyFile(GALAXIES) as galaxies:
        return find_bands(galaxies.bands, bands, GALAXIES)


if __name__ == "__main__":
    run_stage(main)
