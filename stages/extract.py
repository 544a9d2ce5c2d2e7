"""Write the activations of one layer: features/<layer>.zarr. Usage: python -m stages.extract LAYER."""

import sys

from galaxies.backbones.backbone import load_backbone
from galaxies.backbones.spec import ExtractParams
from galaxies.data.catalog import Catalog
from galaxies.data.catalog_images import CatalogImages
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.errors import InputError
from galaxies.features.extraction import extract
from galaxies.features.identity import Identity
from galaxies.features.store import Store
from galaxies.features.unfinished import open_unfinished
from galaxies.paths import CATALOG, GALAXIES, store_path
from galaxies.runtime import RuntimeParams
from stages import main_repository, read_params, run_stage


def main() -> None:
    """Publish the store of the layer on the command line; the first such call fills the stores of all missing layers."""
    layer = sys.argv[1]
    params = read_params("extract", ExtractParams)
    catalog = Catalog(CATALOG)
    backbone = load_backbone(params.spec, layers=params.layers, folder=main_repository())
    identities = {
        name: Identity.expected(params, name, catalog.digest).found(backbone.weights_digest, backbone.transform)
        for name in params.layers
    }
    key = identities[layer].pass_key
    with open_unfinished(main_repository(), identities[layer]) as stores:
        if not stores[layer].is_complete:
            # Resized images need no forward pass, so `input` makes a pass, and has a key, of its own.
            together = [name for name in params.layers if identities[name].pass_key == key and not stores[name].is_complete]
            missing = [name for name in together if name == layer or not _is_published(name, params, catalog)]
            with GalaxyFile(GALAXIES) as galaxies:
                extract(
                    CatalogImages(galaxies, catalog),
                    backbone=backbone,
                    identities={name: identities[name] for name in missing},
                    stores=stores,
                    runtime=read_params("runtime", RuntimeParams),
                )
        stores[layer].publish(store_path(layer))


def _is_published(layer: str, params: ExtractParams, catalog: Catalog) -> bool:
    """Tell whether the out of another layer is there already, and made under the present settings."""
    try:
        Store(store_path(layer)).require(Identity.expected(params, layer, catalog.digest))
    except InputError:
        return False
    return True


if __name__ == "__main__":
    run_stage(main)
